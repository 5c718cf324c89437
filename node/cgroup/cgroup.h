/* cgroup.h - a pod's control group, the same on cgroup v1 and v2.
 *
 * A group is named by a path relative to each hierarchy's mount point, such
 * as "kontor/n1/pod-17". On v1 it stands in the cpu, memory, pids and freezer
 * hierarchies (those that exist), and in blkio and devices when io has a limit
 * or devices are denied; on v2 once in the unified one. Both backends stand
 * behind this header; which one is decided by what is mounted. Linked into
 * kpod too: no allocation, no logging.
 *
 * knode makes a pod's group with its limits and removes it in the end; kpod
 * makes a child group for each container, so that one container's processes
 * can be killed and the others' not.
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
    /* A second, each of read from and written to the whole disk `io_device`;
     * 0: as it is. On v1 nobody is charged for what the page cache writes
     * later: there it holds for reads, O_DIRECT, O_SYNC and fsync(2). */
    uint64_t io_bytes;
    dev_t io_device;
    /* Who is in the group or beneath it opens no device but terminals and
     * those of devices.h, wherever the node is; nodes may be made. Never taken
     * back from a group. */
    bool deny_devices;
};

/* Can they be kept here? FAILED_PRECONDITION names the controller that is
 * missing. */
int cgroup_check(const struct cgroup_limits *limits, struct error *why);

/* Create the group (and its parents) and set its limits. One that exists is
 * reused; its children can have limits, too. `limits` NULL: a plain group
 * beneath one that has limits, which are left as they are. Errors name the file
 * and the value; FAILED_PRECONDITION when a limit is asked for that no
 * hierarchy here can keep. */
int cgroup_create(const char *path, const struct cgroup_limits *limits,
                  struct error *why);

/* Set the limits of a group that stands beneath one which has limits. */
int cgroup_limit(const char *path, const struct cgroup_limits *limits,
                 struct error *why);

/* Move a process in. 0 is the caller, which must have a single thread. On v2
 * a group whose children have limits takes no process itself; "self" beneath
 * it does then. */
int cgroup_enter(const char *path, pid_t pid, struct error *why);

/* How many processes the OOM killer has taken from the group and those
 * beneath it (on v1: from the group alone). */
uint64_t cgroup_oom_kills(const char *path);

struct cgroup_usage {
    uint64_t cpu_ns;       /* since the group was made */
    uint64_t memory_bytes; /* less file pages that nobody used lately */
};

/* What the group and its children use; what is not there or not counted is
 * 0. */
void cgroup_usage(const char *path, struct cgroup_usage *out);

/* SIGKILL everything in the group and its children, and lift the group's limit
 * on io: who waits for it does not die. They are dying when this returns, and
 * on v1 one may have slipped through: await cgroup_empty(), and call again
 * while it is not. A group that is not there is success. */
int cgroup_kill(const char *path, struct error *why);

/* No living process is in the group or its children. */
bool cgroup_empty(const char *path);

/* Remove an empty group and its child groups. FAILED_PRECONDITION while a
 * process is left in it; not there is success. */
int cgroup_remove(const char *path, struct error *why);

/* Call `each` for every child group of `path`, with its own path. One that
 * has no children, or is not there, is success. */
int cgroup_children(const char *path,
                    void (*each)(void *data, const char *child), void *data,
                    struct error *why);
