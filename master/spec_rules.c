/* What a spec says of where it may go, checked word by word. */
#include "master/spec_check.h"

#include "base/utf8.h"
#include "master/placement/placement.h"

#include <string.h>

static int check_word(const char *field, size_t number, const char *word,
                      struct error *why)
{
    size_t length = strlen(word);

    if (length == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT, "spec.%s[%zu] is empty",
                         field, number);
    if (length > SPEC_LABEL_MAX || !utf8_valid(word))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.%s[%zu] is not UTF-8 of %d bytes at most", field,
                         number, SPEC_LABEL_MAX);
    return 0;
}

static int check_count(const char *field, size_t count, struct error *why)
{
    if (count <= SPEC_RULES_MAX)
        return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "spec.%s has %zu, %d are allowed", field, count,
                     SPEC_RULES_MAX);
}

static int check_constraints(const Kontor__V1__PodSpec *spec, struct error *why)
{
    if (check_count("constraints", spec->n_constraints, why) != 0)
        return why->code;
    for (size_t i = 0; i < spec->n_constraints; i++) {
        const Kontor__V1__Constraint *one = spec->constraints[i];

        if (check_word("constraints", i, one->key, why) != 0)
            return error_wrap(why, "the key of");
        if (one->n_values == 0 || one->n_values > SPEC_RULES_MAX)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "spec.constraints[%zu] names %zu values, 1 to %d "
                             "are allowed",
                             i, one->n_values, SPEC_RULES_MAX);
        for (size_t k = 0; k < one->n_values; k++) {
            if (check_word("constraints", i, one->values[k], why) != 0)
                return error_wrap(why, "a value of");
        }
    }
    return 0;
}

static int check_apps(const char *field, char *const *apps, size_t count,
                      struct error *why)
{
    if (count > PLACEMENT_APPS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.%s has %zu apps, %d are allowed", field, count,
                         PLACEMENT_APPS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!app_name_valid(apps[i]))
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "spec.%s[%zu] \"%.80s\" cannot be an app's name",
                             field, i, apps[i]);
    }
    return 0;
}

int spec_check_rules(const Kontor__V1__PodSpec *spec, struct error *why)
{
    if (check_constraints(spec, why) != 0 ||
        check_apps("anti", spec->anti, spec->n_anti, why) != 0 ||
        check_apps("with", spec->with, spec->n_with, why) != 0 ||
        check_count("tolerations", spec->n_tolerations, why) != 0)
        return why->code;
    for (size_t i = 0; i < spec->n_tolerations; i++) {
        if (check_word("tolerations", i, spec->tolerations[i]->key, why) != 0)
            return error_wrap(why, "the key of");
    }
    if (spec->spread[0] && check_word("spread", 0, spec->spread, why) != 0)
        return why->code;
    if (spec->priority < -SPEC_PRIORITY_MAX ||
        spec->priority > SPEC_PRIORITY_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "spec.priority is %d, between -%d and %d is allowed",
                         spec->priority, SPEC_PRIORITY_MAX, SPEC_PRIORITY_MAX);
    return 0;
}
