/* Orders of an old term, also after the node was started again. */
#include "base/fd.h"
#include "node/term.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static int dir = -1;

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/kontor-term-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0;
}

static int tear_down(void **state)
{
    struct error why;

    (void)state;
    fd_close(&dir);
    return folder_remove(AT_FDCWD, folder, &why);
}

static void expect(struct term *term, uint64_t order, int code)
{
    struct error why;

    assert_int_equal(term_check(term, order, &why), code);
}

static void an_older_term_is_refused(void **state)
{
    struct term term;
    struct error why;

    (void)state;
    assert_int_equal(term_open(&term, dir, &why), 0);
    expect(&term, 7, 0);
    expect(&term, 7, 0);
    expect(&term, 6, ERROR_FAILED_PRECONDITION);
    expect(&term, 9, 0);
    expect(&term, 8, ERROR_FAILED_PRECONDITION);
}

static void what_was_seen_is_known_after_a_restart(void **state)
{
    struct term term;
    struct term again;
    struct error why;

    (void)state;
    assert_int_equal(term_open(&term, dir, &why), 0);
    expect(&term, UINT64_MAX - 1, 0);
    assert_int_equal(term_open(&again, dir, &why), 0);
    expect(&again, UINT64_MAX - 2, ERROR_FAILED_PRECONDITION);
    expect(&again, UINT64_MAX - 1, 0);
}

static void an_older_session_is_refused(void **state)
{
    struct term term;
    struct error why;

    (void)state;
    assert_int_equal(term_open(&term, dir, &why), 0);
    expect(&term, 7, 0);
    term_begin_session(&term, 3);
    term_begin_session(&term, 2); /* late */
    assert_int_equal(term_check_session(&term, 2, &why),
                     ERROR_FAILED_PRECONDITION);
    assert_int_equal(term_check_session(&term, 3, &why), 0);
    assert_int_equal(term_check_session(&term, 0, &why), 0);
    expect(&term, 8, 0); /* of another leader, which counts anew */
    assert_int_equal(term_check_session(&term, 1, &why), 0);
}

static void a_damaged_file_is_refused(void **state)
{
    static const char *const contents[] = {"", "x\n", "12",
                                           "99999999999999999999\n"};
    struct term term;
    struct error why;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
        assert_int_equal(file_exchange(dir, "term", contents[i],
                                       strlen(contents[i]), 0600, &why),
                         0);
        assert_int_equal(term_open(&term, dir, &why), ERROR_DATA_LOSS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_older_term_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_was_seen_is_known_after_a_restart,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_older_session_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_refused, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
