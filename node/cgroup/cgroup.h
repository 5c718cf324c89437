/* cgroup.h - a pod's control group, the same on cgroup v1 and v2.
 *
 * A group is named by a path relative to each hierarchy's mount point, such
 * as "kontor/n1/pod-17". On v1 it stands in the cpu, memory, pids and freezer
 * hierarchies (those that exist), on v2 once in the unified one. Both
 * backends stand behind this header; which one is decided by what is
 * mounted. Linked into kpod too: no allocation, no logging.
 *
 * https://docs.kernel.org/admin-guide/cgroup-v2.html, .../cgroup-v1/ */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { CGROUP_PATH_MAX = 256 };

struct cgroup_limits {
    uint32_t cpu_milli;    /* 0: no limit */
    uint64_t memory_bytes; /* swap included where it is accounted; 0: none */
    uint64_t pids;         /* 0: no limit */
};

/* Create the group (and its parents) and set its limits. One that exists is
 * reused. Errors name the file and the value. */
int cgroup_create(const char *path, const struct cgroup_limits *limits,
                  struct error *why);

/* Move a process in: 0 is the caller. */
int cgroup_enter(const char *path, pid_t pid, struct error *why);

/* How many processes the OOM killer has taken from the group. */
uint64_t cgroup_oom_kills(const char *path);

/* SIGKILL everything in the group and its children. A group that is not
 * there is success. */
int cgroup_kill(const char *path, struct error *why);

bool cgroup_empty(const char *path);

/* Remove an empty group and its child groups. FAILED_PRECONDITION while a
 * process is left in it; not there is success. */
int cgroup_remove(const char *path, struct error *why);

/* Call `each` for every child group of `path`, with its own path. */
int cgroup_children(const char *path,
                    void (*each)(void *data, const char *child), void *data,
                    struct error *why);
