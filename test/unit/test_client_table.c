/* Columns, colours and words for people. */
#include "client/progress.h"
#include "client/show.h"
#include "client/table.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const char *const headings[] = {"NAME", "STATUS", "REASON", NULL};

static char *printed(const struct table *table, bool colours)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    table_print(table, out, colours);
    fclose(out);
    return text;
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    struct table *table = table_new(headings);
    char *text;

    (void)state;
    table_cell(table, "web-1");
    table_cell_coloured(table, COLOUR_GOOD, "Running");
    table_cell(table, "%s", "");
    table_cell(table, "caf\xc3\xa9-%d", 12);
    table_cell_coloured(table, COLOUR_WARN, "Pending");
    table_cell(table, "memory short");
    text = printed(table, false);
    assert_string_equal(text, "NAME     STATUS   REASON\n"
                              "web-1    Running\n"
                              "caf\xc3\xa9-12  Pending  memory short\n");
    free(text);
    table_free(table);
}

static void colours_take_no_width(void **state)
{
    struct table *table = table_new(headings);
    char *text;

    (void)state;
    table_cell(table, "web-1");
    table_cell_coloured(table, COLOUR_BAD, "Failed");
    table_cell(table, "why");
    text = printed(table, true);
    assert_string_equal(text, "NAME   STATUS  REASON\n"
                              "web-1  \033[31mFailed\033[0m  why\n");
    free(text);
    table_free(table);
}

/* What a server says must not move the cursor or forge a line. */
static void control_characters_are_shown(void **state)
{
    struct table *table = table_new(headings);
    char *text;

    (void)state;
    table_cell(table, "a\nb");
    table_cell(table, "\033[2J");
    table_cell(table, "c\x7f\xc2\x9b\xc2\xa9");
    text = printed(table, false);
    assert_string_equal(text, "NAME  STATUS  REASON\n"
                              "a?b   ?[2J    c???\xc2\xa9\n");
    free(text);
    table_free(table);
}

static const struct {
    uint64_t done, total;
    const char *text;
} amounts[] = {
    {0, 0, ""},
    {19293798, 43201331, "18.3/41.1 MiB  44%"},
    {0, 43201331, "0.0/41.1 MiB  0%"},
    {43201331, 43201331, "41.1/41.1 MiB  100%"},
    {50, 43, "43/43 B  100%"},
    {512, 2048, "0.5/2.0 KiB  25%"},
    {UINT64_MAX - 1, UINT64_MAX, "16777215.9/16777215.9 TiB  100%"},
};

static void progress_has_one_unit(void **state)
{
    char text[SHOW_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(amounts); i++)
        assert_string_equal(
            show_progress(text, amounts[i].done, amounts[i].total),
            amounts[i].text);
}

static const struct {
    uint64_t now, then;
    const char *text;
} ages[] = {
    {5000, 0, "-"},        {5000, 5000, "0s"},
    {5000, 9000, "0s"}, /* clocks differ */
    {64999, 5000, "59s"},  {245000, 5000, "4m"},
    {7205000, 5000, "2h"}, {3 * 86400000ull + 5000, 5000, "3d"},
};

static void ages_are_short(void **state)
{
    char text[QUANTITY_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ages); i++)
        assert_string_equal(show_age(text, ages[i].now, ages[i].then),
                            ages[i].text);
}

static void every_phase_has_a_name(void **state)
{
    const ProtobufCEnumDescriptor *phases = &kontor__v1__pod_phase__descriptor;

    (void)state;
    for (unsigned i = 0; i < phases->n_values; i++)
        assert_string_not_equal(
            show_phase((Kontor__V1__PodPhase)phases->values[i].value),
            "Unknown");
    assert_string_equal(show_phase((Kontor__V1__PodPhase)99), "Unknown");
    assert_false(show_phase_is_final(KONTOR__V1__POD_PHASE__POD_STOPPING));
    assert_true(show_phase_is_final(KONTOR__V1__POD_PHASE__POD_STOPPED));
}

static void a_pod_says_how_it_ended(void **state)
{
    Kontor__V1__Pod pod = KONTOR__V1__POD__INIT;
    Kontor__V1__PodStatus status = KONTOR__V1__POD_STATUS__INIT;
    char reason[SHOW_REASON_MAX];

    (void)state;
    assert_string_equal(show_pod_reason(reason, &pod), "");
    assert_string_equal(show_phase(show_pod_phase(&pod)), "Pending");
    pod.status = &status;
    status.exit_code = 3;
    assert_string_equal(show_pod_reason(reason, &pod), "exit code 3");
    status.exit_code = -1;
    status.signal = 11;
    assert_string_equal(show_pod_reason(reason, &pod), "killed by signal 11");
    status.oom_killed = true;
    assert_string_equal(show_pod_reason(reason, &pod), "out of memory");
    status.reason = (char[]){"no such image"};
    assert_string_equal(show_pod_reason(reason, &pod), "no such image");
}

static void resources_are_listed(void **state)
{
    Kontor__V1__Resources some = KONTOR__V1__RESOURCES__INIT;
    char text[SHOW_REASON_MAX];

    (void)state;
    assert_string_equal(show_resources(text, NULL), "nothing");
    assert_string_equal(show_resources(text, &some), "nothing");
    some.cpu_milli = 500;
    some.memory_bytes = 1 << 30;
    some.net_bits = 100000000;
    assert_string_equal(show_resources(text, &some),
                        "cpu 0.5, memory 1.0Gi, net 100M");
}

static void the_time_stands_in_its_column(void **state)
{
    char line[PROGRESS_LINE_MAX];
    const char *text = "web-1  placed on n2 (index 48213, term 7)";

    (void)state;
    assert_string_equal(progress_timed(line, text, 3),
                        "web-1  placed on n2 (index 48213, term 7)"
                        "                  3 ms");
    progress_timed(line, "web-1  running  10.42.2.7", 1934);
    assert_ptr_equal(strstr(line, "1.9 s") - 59, line);
}

/* Off a terminal a line that changes is not repeated more than once a
 * second, and never the same twice. */
static void progress_is_rare_in_a_log(void **state)
{
    struct progress progress;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    (void)state;
    progress = (struct progress){.out = out};
    progress_update(&progress, "1%\033", 1000);
    progress_update(&progress, "2%", 1500);
    progress_update(&progress, "3%", 2000);
    progress_update(&progress, "3%", 9000);
    progress_line(&progress, "done");
    fclose(out);
    assert_string_equal(text, "1%?\n3%\ndone\n");
    free(text);
}

static void progress_is_rewritten_on_a_terminal(void **state)
{
    struct progress progress;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    (void)state;
    progress = (struct progress){.out = out, .in_place = true};
    progress_update(&progress, "1%", 1000);
    progress_update(&progress, "2%", 1001);
    progress_line(&progress, "done");
    fclose(out);
    assert_string_equal(text, "\r1%\033[K\r2%\033[K\r\033[Kdone\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(colours_take_no_width),
        cmocka_unit_test(control_characters_are_shown),
        cmocka_unit_test(progress_has_one_unit),
        cmocka_unit_test(ages_are_short),
        cmocka_unit_test(every_phase_has_a_name),
        cmocka_unit_test(a_pod_says_how_it_ended),
        cmocka_unit_test(resources_are_listed),
        cmocka_unit_test(the_time_stands_in_its_column),
        cmocka_unit_test(progress_is_rare_in_a_log),
        cmocka_unit_test(progress_is_rewritten_on_a_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
