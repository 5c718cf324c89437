/* Where a pod may go, as schedule's options say it: what is understood, and
 * what is refused with which words. */
#include "client/schedule_rules.h"

#include "base/lang.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int make(const struct rules_options *options, Kontor__V1__PodSpec *spec,
                struct error *why)
{
    static struct schedule_rules rules;

    kontor__v1__pod_spec__init(spec);
    return schedule_rules_make(&rules, options, spec, why);
}

static const struct {
    const char *selector;
    const char *read; /* "zone in a,b"; NULL: refused */
    const char *says;
} selectors[] = {
    {"zone=a", "zone in a", NULL},
    {"zone!=a", "zone not in a", NULL},
    {"zone in (a,b)", "zone in a,b", NULL},
    {"zone in(a)", "zone in a", NULL},
    {"  zone  in  ( a , b )  ", "zone in a,b", NULL},
    {"zone not in (a,b)", "zone not in a,b", NULL},
    {" zone = a ", "zone in a", NULL},
    {"zone != a", "zone not in a", NULL},
    {"in=x", "in in x", NULL},
    {"a.b/c-d_e=F.1", "a.b/c-d_e in F.1", NULL},
    {"", NULL, "a key is"},
    {"=a", NULL, "\"\": a key is"},
    {"-zone=a", NULL, "\"-zone\": a key is"},
    {"zo*ne=a", NULL, "\"zo*ne\": a key is"},
    {"zone", NULL, "behind the key there must stand =, !="},
    {"zone>3", NULL, "\"zone>3\": a key is"},
    {"zone > 3", NULL, "behind the key there must stand =, !="},
    {"zone notin (a)", NULL, "behind the key there must stand =, !="},
    {"zone not = a", NULL, "behind the key there must stand =, !="},
    {"zone=", NULL, "a value is missing"},
    {"zone==a", NULL, "\"=a\": a value is"},
    {"zone=a,b", NULL, "\"a,b\": a value is"},
    {"zone=a b", NULL, "\"a b\": a value is"},
    {"zone in a,b", NULL, "values in brackets"},
    {"zone in (a,b", NULL, "values in brackets"},
    {"zone inside (a)", NULL, "values in brackets"},
    {"zone in ()", NULL, "a value is missing"},
    {"zone in (a,)", NULL, "a value is missing"},
    {"zone in (a,,b)", NULL, "a value is missing"},
    {"zone in (a) or b", NULL, "\"or b\" behind the ) is too much"},
};

static void show(const Kontor__V1__Constraint *constraint, char text[128])
{
    size_t used = (size_t)snprintf(text, 128, "%s %sin", constraint->key,
                                   constraint->none_of ? "not " : "");

    for (size_t i = 0; i < constraint->n_values; i++)
        used += (size_t)snprintf(text + used, 128 - used, "%c%s",
                                 i > 0 ? ',' : ' ', constraint->values[i]);
}

static void selectors_are_read_strictly(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(selectors); i++) {
        struct rules_options options = {
            .constraints = {{selectors[i].selector}, 1}};
        Kontor__V1__PodSpec spec;
        struct error why = {0};
        char text[128] = "";

        if (make(&options, &spec, &why) == 0)
            show(spec.constraints[0], text);
        else
            assert_non_null(strstr(why.message, "--constraint \""));
        if (strcmp(text, selectors[i].read ? selectors[i].read : "") != 0 ||
            (selectors[i].says && !strstr(why.message, selectors[i].says)))
            fail_msg("%s: \"%s\", \"%s\"", selectors[i].selector, text,
                     why.message);
    }
}

static const struct {
    const char *text, *key, *value; /* key NULL: refused */
    const char *says;
} tolerations[] = {
    {"gpu", "gpu", "", NULL},
    {"gpu=yes", "gpu", "yes", NULL},
    {"gpu:NoSchedule", "gpu", "", NULL},
    {"gpu=yes:NoSchedule", "gpu", "yes", NULL},
    {"gpu=yes:NoExecute", NULL, NULL, "\"NoExecute\" is no effect"},
    {"gpu:", NULL, NULL, "\"\" is no effect"},
    {"", NULL, NULL, "a key is"},
    {"=yes", NULL, NULL, "a key is"},
    {"gpu=a=b", NULL, NULL, "\"a=b\": a value is"},
};

static void tolerations_are_taints(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tolerations); i++) {
        struct rules_options options = {
            .tolerations = {{tolerations[i].text}, 1}};
        Kontor__V1__PodSpec spec;
        struct error why = {0};
        int code = make(&options, &spec, &why);

        if ((code == 0) != (tolerations[i].key != NULL))
            fail_msg("%s: \"%s\"", tolerations[i].text, why.message);
        if (code == 0) {
            assert_string_equal(spec.tolerations[0]->key, tolerations[i].key);
            assert_string_equal(spec.tolerations[0]->value,
                                tolerations[i].value);
        } else if (!strstr(why.message, tolerations[i].says)) {
            fail_msg("%s: \"%s\"", tolerations[i].text, why.message);
        }
    }
}

static void priorities_are_whole_numbers(void **state)
{
    static const struct {
        const char *text;
        int32_t value;
        bool good;
    } rows[] = {
        {"0", 0, true},   {"-5", -5, true},   {"1000000", 1000000, true},
        {"", 0, false},   {"high", 0, false}, {"1.5", 0, false},
        {"+1", 0, false}, {" 1", 0, false},   {"99999999999", 0, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rules_options options = {.priority = rows[i].text};
        Kontor__V1__PodSpec spec;
        struct error why = {0};
        int code = make(&options, &spec, &why);

        if ((code == 0) != rows[i].good || spec.priority != rows[i].value)
            fail_msg("%s: %d, \"%s\"", rows[i].text, spec.priority,
                     why.message);
    }
}

static void all_of_it_is_said(void **state)
{
    struct rules_options options = {
        .constraints = {{"zone=a", "disk!=hdd"}, 2},
        .anti = {{"web", "db"}, 2},
        .with = {{"cache"}, 1},
        .spread = "host",
    };
    Kontor__V1__PodSpec spec;
    struct error why;

    (void)state;
    assert_int_equal(make(&options, &spec, &why), 0);
    assert_int_equal(spec.n_constraints, 2);
    assert_string_equal(spec.constraints[1]->key, "disk");
    assert_int_equal(spec.n_anti, 2);
    assert_string_equal(spec.anti[1], "db");
    assert_int_equal(spec.n_with, 1);
    assert_string_equal(spec.with[0], "cache");
    assert_string_equal(spec.spread, "host");
    assert_int_equal(spec.n_tolerations, 0);
    options.spread = "a b";
    assert_int_equal(make(&options, &spec, &why), ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(why.message, "--spread: \"a b\": a key is"));
}

/* More than there is room for. */
static void too_much_is_refused(void **state)
{
    struct rules_options options = {.constraints = {.count = RULES_MAX + 1}};
    Kontor__V1__PodSpec spec;
    struct error why;
    char list[RULE_TEXT_MAX + 1] = "zone in (a";

    (void)state;
    assert_int_equal(make(&options, &spec, &why), ERROR_INVALID_ARGUMENT);
    assert_string_equal(why.message, "--constraint: at most 32 are allowed");
    for (int i = 1; i < RULES_MAX; i++)
        strcat(list, ",b");
    options.constraints = (struct option_strings){{list}, 1};
    strcat(list, ")");
    assert_int_equal(make(&options, &spec, &why), 0);
    assert_int_equal(spec.constraints[0]->n_values, RULES_MAX);
    list[strlen(list) - 1] = '\0';
    strcat(list, ",c)");
    assert_int_equal(make(&options, &spec, &why), ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(why.message, "at most 32 values"));
    memset(list, 'a', RULE_TEXT_MAX);
    list[RULE_TEXT_MAX] = '\0';
    assert_int_equal(make(&options, &spec, &why), ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(why.message, "longer than 511"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selectors_are_read_strictly),
        cmocka_unit_test(tolerations_are_taints),
        cmocka_unit_test(priorities_are_whole_numbers),
        cmocka_unit_test(all_of_it_is_said),
        cmocka_unit_test(too_much_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
