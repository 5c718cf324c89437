/* Filters of system calls are compiled once. What they let through is tried by
 * test_escape.c. */
#include "base/fd.h"
#include "node/pod/syscalls.h"

#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { CAPABILITIES_THAT_OPEN_NOTHING = 1 << CAP_NET_RAW | 1 << CAP_MKNOD };

static struct syscalls *filters;

static int make(void **state)
{
    (void)state;
    filters = syscalls_new();
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    syscalls_free(filters);
    return 0;
}

/* Which file it is: the same one as long as it was not compiled again. */
static struct stat filter_of(uint64_t capabilities)
{
    CLEANUP(fd_close) int fd = -1;
    struct error why;
    struct stat info;

    if (syscalls_open(filters, capabilities, &fd, &why) != 0)
        fail_msg("%s", why.message);
    assert_int_equal(fstat(fd, &info), 0);
    assert_true(info.st_size > 0);
    return info;
}

static void a_filter_is_compiled_once(void **state)
{
    const uint64_t admin = 1ull << CAP_SYS_ADMIN;
    struct stat none = filter_of(0);
    struct stat more = filter_of(admin);

    (void)state;
    assert_int_not_equal(more.st_ino, none.st_ino);
    assert_int_not_equal(more.st_size, none.st_size);
    assert_int_equal(filter_of(0).st_ino, none.st_ino);
    assert_int_equal(filter_of(CAPABILITIES_THAT_OPEN_NOTHING).st_ino,
                     none.st_ino);
    assert_int_equal(filter_of(CAPABILITIES_THAT_OPEN_NOTHING | admin).st_ino,
                     more.st_ino);
}

static struct stat filter_number(uint64_t number)
{
    return filter_of(number << CAP_SYS_PTRACE);
}

/* Five capabilities have 32 sets: what came second is compiled again after so
 * many, the last is still there, and so is the first. */
static void few_are_kept(void **state)
{
    struct stat none = filter_of(0);
    struct stat second = filter_number(1);
    struct stat again, last;

    (void)state;
    for (uint64_t i = 2; i <= SYSCALLS_KEPT_MAX; i++)
        last = filter_number(i);
    assert_int_equal(filter_number(SYSCALLS_KEPT_MAX).st_ino, last.st_ino);
    assert_int_equal(filter_of(0).st_ino, none.st_ino);
    again = filter_number(1);
    assert_int_equal(again.st_size, second.st_size);
    assert_int_not_equal(again.st_ino, second.st_ino);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_filter_is_compiled_once, make,
                                        unmake),
        cmocka_unit_test_setup_teardown(few_are_kept, make, unmake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
