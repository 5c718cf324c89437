/* cgroup_group.h - a control group of a test's own, on the hierarchies of this
 * machine. As root. */
#pragma once

#include <sys/types.h>

extern char group[64]; /* kontor-test-PID */

/* Needs a `struct error why`. */
#define must(call)                                  \
    do {                                            \
        if ((call) != 0)                            \
            fail_msg("%s: %s", #call, why.message); \
    } while (0)

/* Before all tests. */
void name_group(void);

/* Run `child` in the group at `path`; the pid is the caller's to wait for. */
pid_t run_in_group(const char *path, void (*child)(void));

/* Until nobody is in it. */
void kill_group(const char *path);

/* For cmocka's teardown: the group, and who is in it. */
int clean_group(void **state);
