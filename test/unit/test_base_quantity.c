/* Amounts: what is understood, what is refused and with which words. */
#include "base/quantity.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum amount_kind { CPU, BYTES, NET, DURATION };

static int parse(enum amount_kind kind, const char *text, uint64_t *value,
                 struct error *why)
{
    uint32_t milli = 0;
    int code;

    switch (kind) {
    case CPU:
        code = quantity_parse_cpu(text, &milli, why);
        *value = milli;
        return code;
    case BYTES:
        return quantity_parse_bytes(text, value, why);
    case NET:
        return quantity_parse_net(text, value, why);
    case DURATION:
        return quantity_parse_duration(text, value, why);
    }
    return -1;
}

static void amounts_are_understood(void **state)
{
    static const struct {
        enum amount_kind kind;
        const char *text;
        uint64_t value;
    } rows[] = {
        {CPU, "2", 2000},
        {CPU, "0.5", 500},
        {CPU, "500m", 500},
        {CPU, "1.25", 1250},
        {BYTES, "0", 0},
        {BYTES, "1G", UINT64_C(1) << 30},
        {BYTES, "1Gi", UINT64_C(1) << 30},
        {BYTES, "1GB", 1000000000},
        {BYTES, "1.5K", 1536},
        {BYTES, "64M", 64u << 20},
        {BYTES, "4096", 4096},
        {NET, "100M", 100000000},
        {NET, "1.5G", 1500000000},
        {NET, "10Mbit", 10000000},
        {DURATION, "150ms", 150},
        {DURATION, "1.5s", 1500},
        {DURATION, "2h", 7200000},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct error why = {0};
        uint64_t value = 0;

        if (parse(rows[i].kind, rows[i].text, &value, &why) != 0)
            fail_msg("%s: %s", rows[i].text, why.message);
        if (value != rows[i].value)
            fail_msg("%s: %" PRIu64, rows[i].text, value);
    }
}

static void others_are_refused_by_name(void **state)
{
    static const struct {
        enum amount_kind kind;
        const char *text;
        const char *says;
    } rows[] = {
        {CPU, "", "no amount of cpu"},
        {CPU, "-1", "no amount of cpu"},
        {CPU, "2 cores", "no unit of cpu"},
        {CPU, "5000000", "too large"},
        {BYTES, "512m", "did you mean 512M?"},
        {BYTES, "1e9", "no unit of bytes"},
        {BYTES, "9000000T", "too large"},
        {BYTES, "99999999999999999999", "no amount of bytes"},
        {BYTES, "1.G", "no unit"},
        {NET, "10m", "did you mean 10M?"},
        {NET, "10MB", "no unit of bits"},
        {DURATION, "10", "no unit of time"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct error why = {0};
        uint64_t value = 77;

        if (parse(rows[i].kind, rows[i].text, &value, &why) !=
            ERROR_INVALID_ARGUMENT)
            fail_msg("%s: accepted as %" PRIu64, rows[i].text, value);
        if (!strstr(why.message, rows[i].says))
            fail_msg("%s: says %s", rows[i].text, why.message);
    }
}

static void amounts_are_shown(void **state)
{
    char text[QUANTITY_TEXT_MAX];

    (void)state;
    assert_string_equal(quantity_format_cpu(text, 2000), "2");
    assert_string_equal(quantity_format_cpu(text, 500), "0.5");
    assert_string_equal(quantity_format_cpu(text, 1250), "1.25");
    assert_string_equal(quantity_format_bytes(text, 1u << 30), "1.0Gi");
    assert_string_equal(quantity_format_bytes(text, 412u << 20), "412Mi");
    assert_string_equal(quantity_format_bytes(text, 100), "100");
    assert_string_equal(quantity_format_bytes(text, UINT64_MAX), "16383Pi");
    assert_string_equal(quantity_format_net(text, 100000000), "100M");
    assert_string_equal(quantity_format_net(text, 1000000000), "1G");
    assert_string_equal(quantity_format_net(text, 1500000000), "1.5G");
    assert_string_equal(quantity_format_duration(text, 3), "3 ms");
    assert_string_equal(quantity_format_duration(text, 1900), "1.9 s");
    assert_string_equal(quantity_format_duration(text, 240000), "4m");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts_are_understood),
        cmocka_unit_test(others_are_refused_by_name),
        cmocka_unit_test(amounts_are_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
