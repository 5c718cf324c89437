/* container_child.h - from a fork of kpod to the container's program. */
#pragma once

#include "kontor/v1/bundle.pb-c.h"
#include "node/supervisor/container_root.h"

#include <sys/ioctl.h>

struct container_child {
    const Kontor__V1__BundleContainer *container;
    struct container_root root;
    const struct users *users;
    bool alone;          /* in its pod: /dev/shm is its own */
    const char *cgroup;  /* the container's own */
    int init;            /* pidfd of the pod's pid 1: whose namespaces */
    int gate;            /* a byte comes when pid 1 is ready; -1: it is */
    int joined;          /* pidfd of a process of the container that runs, to
                            become another one in it; -1: begin it */
    int input;           /* becomes stdin; -1: /dev/null */
    int output;          /* becomes stdout */
    int errors;          /* becomes stderr */
    bool terminal;       /* instead of these three, a new one's; its other end
                            goes through `report` */
    struct winsize size; /* of the terminal */
    int report;          /* where `fail` tells */
    /* How: start_report_fail() or another. */
    void (*fail)(int report, int exit_code, const struct error *why);
    int filter; /* syscall_filter_enter()'s */
};

/* In the new process, which is in the pod's pid namespace by birth. */
_Noreturn void container_child_run(const struct container_child *child);
