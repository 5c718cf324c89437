/* test_cgroup_devices.c - who is denied devices opens none, on the hierarchies
 * of this machine, and on v2 where it is mounted beside them. As root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/cgroup/backend.h"
#include "test/unit/cgroup_group.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static char file_name[80];

/* Exits with the number of the first step that went otherwise. Opening a loop
 * device, which may be there or not, hurts nobody. */
static void child_opens(void)
{
    if (open("/dev/null", O_RDWR) < 0 || open("/dev/urandom", O_RDONLY) < 0)
        _exit(1);
    if (open("/dev/ptmx", O_RDWR | O_NOCTTY) < 0)
        _exit(2);
    if (mknod(file_name, S_IFBLK | 0600, makedev(7, 0)) != 0)
        _exit(3);
    if (open(file_name, O_RDONLY) >= 0 || errno != EPERM)
        _exit(4);
    /* The kernel's log: of memory's devices some are given. */
    unlink(file_name);
    if (mknod(file_name, S_IFCHR | 0600, makedev(1, 11)) != 0)
        _exit(5);
    if (open(file_name, O_RDONLY) >= 0 || errno != EPERM)
        _exit(6);
}

static int clean_node(void **state)
{
    unlink(file_name);
    return clean_group(state);
}

static void expect_opened(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    unlink(file_name);
}

/* In the group and beneath it, also when the group was there before. */
static void devices_are_denied(void **state)
{
    struct cgroup_limits limits = {.deny_devices = true};
    struct error why;
    char child[80];

    (void)state;
    snprintf(file_name, sizeof file_name, "/var/tmp/%s", group);
    snprintf(child, sizeof child, "%s/c0", group);
    must(cgroup_create(group, &limits, &why));
    expect_opened(run_in_group(group, child_opens));
    must(cgroup_create(child, NULL, &why));
    must(cgroup_create(group, &limits, &why));
    expect_opened(run_in_group(child, child_opens));
}

/* Whose cgroup namespace begins with the child may write to its files. */
static void no_child_allows_itself_more(void **state)
{
    struct cgroup_limits limits = {.deny_devices = true};
    struct cgroup_mounts mounts;
    struct error why;
    char child[80];

    (void)state;
    must(cgroup_mounts_find(&mounts, "/proc/self/mountinfo", &why));
    if (mounts.backend != &cgroup_v1)
        skip();
    snprintf(child, sizeof child, "%s/c0", group);
    must(cgroup_create(group, &limits, &why));
    must(cgroup_create(child, NULL, &why));
    must(cgroup_file_write(mounts.roots[CGROUP_DEVICES], child, "devices.deny",
                           "c 1:3 rwm", &why));
    must(cgroup_file_write(mounts.roots[CGROUP_DEVICES], child, "devices.allow",
                           "c 1:3 rwm", &why));
    assert_int_equal(cgroup_file_write(mounts.roots[CGROUP_DEVICES], child,
                                       "devices.allow", "b *:* rwm", &why),
                     ERROR_PERMISSION_DENIED);
    /* Others have no group there. */
    must(cgroup_remove(group, &why));
    limits.deny_devices = false;
    must(cgroup_create(group, &limits, &why));
    must(cgroup_create(child, NULL, &why));
    assert_false(cgroup_file_exists(mounts.roots[CGROUP_DEVICES], group,
                                    "cgroup.procs"));
}

/* One program, however often it is asked for. */
static void v2_devices_are_denied(void **state)
{
    static const char root[] = "/sys/fs/cgroup/unified";
    struct cgroup_mounts mounts = {.backend = &cgroup_v2};
    struct error why;
    char child[80];
    int gate[2];
    pid_t pid;

    (void)state;
    if (!cgroup_file_exists(root, ".", "cgroup.controllers"))
        skip(); /* then devices_are_denied() is of v2 */
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        strncpy(mounts.roots[i], root, sizeof mounts.roots[i] - 1);
    snprintf(file_name, sizeof file_name, "/var/tmp/%s", group);
    snprintf(child, sizeof child, "%s/c0", group);
    must(cgroup_create_on(&mounts, child, NULL, &why));
    for (int i = 0; i < 100; i++)
        must(cgroup_device_program(root, group, &why));
    assert_int_equal(pipe(gate), 0);
    pid = fork();
    if (pid == 0) {
        char byte;

        close(gate[1]);
        if (read(gate[0], &byte, 1) == 0)
            child_opens();
        _exit(0);
    }
    must(cgroup_v2.enter(root, child, pid, &why));
    close(gate[0]);
    close(gate[1]);
    expect_opened(pid);
    must(cgroup_remove_on(&mounts, group, &why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(devices_are_denied, clean_node),
        cmocka_unit_test_teardown(no_child_allows_itself_more, clean_group),
        cmocka_unit_test_teardown(v2_devices_are_denied, clean_node),
    };

    name_group();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
