/* pod_init.h - the pod's pid 1. */
#pragma once

#include "base/error.h"
#include "node/supervisor/users.h"

#include <stdint.h>
#include <sys/types.h>

struct pod_init {
    int netns; /* the pod's network namespace */
    const struct users *users;
    const char *cgroup;
    const char *hostname;
    const char *empty_folder; /* absolute; what it mounts its own root on */
    uint64_t shm_bytes;       /* of POD_INIT_SHM, for containers; 0: none */
};

/* In its mount namespace, to be shared by the pod's containers. */
#define POD_INIT_SHM "/shm"

/* Start it, in namespaces of its own: pid, ipc, uts, mount, cgroup, and the
 * pod's network. *pidfd and *report are the caller's; on `report` comes a
 * start_report when it failed, or one whose code is 0 when the namespaces
 * are ready. It ends, and all of the pod with it, when the caller does. */
int pod_init_start(const struct pod_init *init, pid_t *pid, int *pidfd,
                   int *report, struct error *why);
