/* Text from outside: what is UTF-8, and what becomes of what is not. */
#include "base/lang.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *rule;
    const char *text;
    const char *clean;
} texts[] = {
    {"nothing", "", ""},
    {"ASCII", "web-1", "web-1"},
    {"two bytes", "\xc3\xa9", "\xc3\xa9"},
    {"three bytes", "\xe2\x82\xac", "\xe2\x82\xac"},
    {"four bytes, the last character", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
    {"a byte too many", "\xc3\xa9\xa9", "\xc3\xa9?"},
    {"a byte too few", "a\xe2\x82", "a??"},
    {"another character where a byte is missing", "\xe2\x82z", "??z"},
    {"too long a form of /", "\xc0\xaf", "??"},
    {"too long a form, three bytes", "\xe0\x9f\xbf", "???"},
    {"too long a form, four bytes", "\xf0\x8f\xbf\xbf", "????"},
    {"half of a surrogate pair", "\xed\xa0\x80", "???"},
    {"beyond the last character", "\xf4\x90\x80\x80", "????"},
    {"a byte that is never used", "\xff", "?"},
};

static void texts_are_judged_and_cleaned(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        bool same = strcmp(texts[i].text, texts[i].clean) == 0;
        char out[16];
        size_t length = utf8_clean(out, sizeof out, texts[i].text);

        if (strcmp(out, texts[i].clean) != 0 || length != strlen(out) ||
            utf8_valid(texts[i].text) != same)
            fail_msg("%s: \"%s\"", texts[i].rule, out);
        assert_true(utf8_valid(out));
    }
}

static void a_cut_falls_between_characters(void **state)
{
    static const char text[] = "a\xe2\x82\xacz";
    static const char *const cut[] = {
        "", "a", "a", "a", "a\xe2\x82\xac", "a\xe2\x82\xacz", "a\xe2\x82\xacz"};
    char out[8];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cut); i++) {
        assert_int_equal(utf8_clean(out, i + 1, text), strlen(cut[i]));
        assert_string_equal(out, cut[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_judged_and_cleaned),
        cmocka_unit_test(a_cut_falls_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
