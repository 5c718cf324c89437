/* container_child.h - from a fork of kpod to the container's program. */
#pragma once

#include "kontor/v1/bundle.pb-c.h"
#include "node/supervisor/container_root.h"

struct container_child {
    const Kontor__V1__BundleContainer *container;
    struct container_root root;
    bool alone;         /* in its pod: /dev/shm is its own */
    const char *cgroup; /* the container's own */
    int init;           /* pidfd of the pod's pid 1: whose namespaces */
    int output;         /* becomes stdout */
    int errors;         /* becomes stderr */
    int report;         /* start_report */
    int filter;         /* syscall_filter_enter()'s */
};

/* In the new process, which is in the pod's pid namespace by birth. */
_Noreturn void container_child_run(const struct container_child *child);
