#include "client/schedule_rules.h"

#include "base/label.h"
#include "client/message.h"
#include "client/taint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int check_count(const char *option, const struct option_strings *words,
                       struct error *why)
{
    if (words->count <= RULES_MAX)
        return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "--%s: at most %d are allowed", option, RULES_MAX);
}

/* A copy that may be cut to pieces. */
static int copy(char text[RULE_TEXT_MAX], const char *from, struct error *why)
{
    size_t length = strlen(from);

    if (length >= RULE_TEXT_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "longer than %d characters", RULE_TEXT_MAX - 1);
    memcpy(text, from, length + 1);
    return 0;
}

/* ---- selectors: zone=a, zone!=a, zone in (a,b), zone not in (a,b) ---- */

static char *skip_spaces(char *at)
{
    return at + strspn(at, " ");
}

/* The text up to `end` without the spaces around it, terminated there. */
static char *trim(char *at, char *end)
{
    at = skip_spaces(at);
    while (end > at && end[-1] == ' ')
        end--;
    *end = '\0';
    return at;
}

/* If `word` stands at *at, move behind it. */
static bool take(char **at, const char *word)
{
    size_t length = strlen(word);

    if (strncmp(*at, word, length) != 0)
        return false;
    *at = skip_spaces(*at + length);
    return true;
}

static int add_value(Kontor__V1__Constraint *out, char *value,
                     struct error *why)
{
    if (value[0] == '\0')
        return error_set(why, ERROR_INVALID_ARGUMENT, "a value is missing");
    if (label_check_value(value, strlen(value), why) != 0)
        return (int)why->code;
    if (out->n_values == RULES_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "at most %d values are allowed", RULES_MAX);
    out->values[out->n_values++] = value;
    return 0;
}

/* "(a,b)" at `at`, and nothing more. */
static int read_list(char *at, Kontor__V1__Constraint *out, struct error *why)
{
    char *close = strchr(at, ')');
    char *comma;

    if (at[0] != '(' || !close)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "behind in there must stand values in brackets: "
                         "(a,b)");
    if (*skip_spaces(close + 1) != '\0')
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%s\" behind the ) is too much",
                         skip_spaces(close + 1));
    *close = '\0';
    for (at++; (comma = strchr(at, ',')); at = comma + 1) {
        if (add_value(out, trim(at, comma), why) != 0)
            return (int)why->code;
    }
    return add_value(out, trim(at, close), why);
}

/* The values and none_of, from the sign on. */
static int read_sign(char *at, Kontor__V1__Constraint *out, struct error *why)
{
    out->none_of = take(&at, "not ");
    if (take(&at, "in"))
        return read_list(at, out, why);
    if (!out->none_of && take(&at, "="))
        return add_value(out, trim(at, at + strlen(at)), why);
    if (!out->none_of && take(&at, "!=")) {
        out->none_of = true;
        return add_value(out, trim(at, at + strlen(at)), why);
    }
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "behind the key there must stand =, !=, in (...) or not "
                     "in (...)");
}

static int read_selector(char *text, Kontor__V1__Constraint *out,
                         struct error *why)
{
    char *key = skip_spaces(text);
    size_t length = strcspn(key, " =!(,)");
    char *sign = skip_spaces(key + length);

    if (label_check_key(key, length, why) != 0 ||
        read_sign(sign, out, why) != 0)
        return (int)why->code;
    key[length] = '\0';
    out->key = key;
    return 0;
}

static int make_constraints(struct schedule_rules *rules,
                            const struct option_strings *words,
                            Kontor__V1__PodSpec *spec, struct error *why)
{
    if (check_count("constraint", words, why) != 0)
        return (int)why->code;
    for (size_t i = 0; i < words->count; i++) {
        Kontor__V1__Constraint *out = &rules->constraints[i];

        kontor__v1__constraint__init(out);
        out->values = rules->values[i];
        if (copy(rules->selectors[i], words->values[i], why) != 0 ||
            read_selector(rules->selectors[i], out, why) != 0)
            return error_wrap(why, "--constraint \"%.80s\"", words->values[i]);
        rules->constraint_list[i] = out;
    }
    spec->constraints = rules->constraint_list;
    spec->n_constraints = words->count;
    return 0;
}

/* ---- the others ---- */

static int make_tolerations(struct schedule_rules *rules,
                            const struct option_strings *words,
                            Kontor__V1__PodSpec *spec, struct error *why)
{
    if (check_count("toleration", words, why) != 0)
        return (int)why->code;
    for (size_t i = 0; i < words->count; i++) {
        if (copy(rules->tolerated[i], words->values[i], why) != 0 ||
            taint_cut(rules->tolerated[i], &rules->tolerations[i], why) != 0)
            return error_wrap(why, "--toleration \"%.80s\"", words->values[i]);
        rules->toleration_list[i] = &rules->tolerations[i];
    }
    spec->tolerations = rules->toleration_list;
    spec->n_tolerations = words->count;
    return 0;
}

static int make_priority(const char *text, int32_t *priority, struct error *why)
{
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (text[0] == '\0' || text[0] == ' ' || text[0] == '+' || *end != '\0' ||
        errno != 0 || value < INT32_MIN || value > INT32_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "--priority: \"%s\" is not a whole number", text);
    *priority = (int32_t)value;
    return 0;
}

int schedule_rules_make(struct schedule_rules *rules,
                        const struct rules_options *options,
                        Kontor__V1__PodSpec *spec, struct error *why)
{
    if (make_constraints(rules, &options->constraints, spec, why) != 0 ||
        make_tolerations(rules, &options->tolerations, spec, why) != 0)
        return (int)why->code;
    if (options->spread) {
        if (label_check_key(options->spread, strlen(options->spread), why) != 0)
            return error_wrap(why, "--spread");
        spec->spread = message_text(options->spread);
    }
    spec->anti = message_texts(options->anti.values);
    spec->n_anti = options->anti.count;
    spec->with = message_texts(options->with.values);
    spec->n_with = options->with.count;
    return options->priority
               ? make_priority(options->priority, &spec->priority, why)
               : 0;
}
