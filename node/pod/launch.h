/* launch.h - all that stands between an address and a running kpod: network
 * namespace, control group, folders, bundle, lock, socket, spawn.
 *
 * Blocks for some milliseconds, so it runs on one of libuv's workers, with a
 * thread beside it for the network; it touches nothing but its own structure.
 * kpod inherits its lock and its listening socket, so there is no moment at
 * which a kpod lives and its lock is free, and connecting to it never has to be
 * tried twice. */
#pragma once

#include "base/error.h"
#include "kontor/v1/bundle.pb-c.h"
#include "node/cgroup/cgroup.h"
#include "node/net/net.h"
#include "node/pod/syscalls.h"

#include <sys/types.h>

struct pod_launch {
    /* In; borrowed. */
    const char *folder;
    const char *kpod;
    const char *cgroup;
    struct cgroup_limits limits; /* io_device: found out here */
    struct syscalls *filters;
    uint64_t disk_bytes; /* 0: no limit */
    struct net *net;
    struct net_pod net_pod;
    Kontor__V1__Bundle *bundle; /* completed with where the pod lives */
    /* Out. When `why` has a code, nothing runs; what was made is left for
     * pod_clean_run(). */
    pid_t pid;  /* of kpod, our child until it is waited for */
    int pidfd;  /* the caller's */
    int socket; /* connected to kpod.sock, the caller's */
    struct error why;
};

void pod_launch_run(struct pod_launch *launch);
