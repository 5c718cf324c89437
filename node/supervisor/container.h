/* container.h - one container of the pod: started, logged, ended, and
 * whether and when it runs again.
 *
 *             (pid 1 is there)      (exec)
 *   WAITING ----------> STARTING ----------> RUNNING
 *      ^                    |  (it ended)       |
 *      | (due)              v                   v
 *   BACKOFF <------------ ENDING <--------------+
 *                            |  (policy, or stopped, or hopeless)
 *                            v
 *                          ENDED
 *
 * In ENDING the main process is reaped and what it left behind in the
 * container's cgroup is being killed; its output is read to the end before
 * the next run begins. */
#pragma once

#include "kontor/v1/bundle.pb-c.h"
#include "node/cgroup/cgroup.h"
#include "node/supervisor/health.h"
#include "node/supervisor/log_file.h"
#include "node/supervisor/start_report.h"
#include "node/supervisor/users.h"

#include <stdbool.h>
#include <sys/types.h>

enum container_state {
    CONTAINER_WAITING,
    CONTAINER_STARTING,
    CONTAINER_RUNNING,
    CONTAINER_ENDING,
    CONTAINER_BACKOFF,
    CONTAINER_ENDED
};

enum { CONTAINER_STREAMS = 2 };

struct container {
    enum container_state state;
    const Kontor__V1__Bundle *bundle; /* borrowed */
    const Kontor__V1__BundleContainer *spec;
    uint8_t index;
    const struct users *users; /* borrowed */
    const char *pod_folder;    /* borrowed, absolute, as is: */
    const char *layer_folder;  /* where its writable layer is */
    char cgroup[CGROUP_PATH_MAX];
    struct log_file *log; /* borrowed */

    pid_t pid;  /* of the main process; 0: reaped */
    int gate;   /* it waits there for pid 1; -1: it does not */
    int report; /* start_report comes here; -1: closed */
    int streams[CONTAINER_STREAMS]; /* its stdout and stderr; -1: closed */
    uint64_t started_ms;            /* monotonic */
    uint64_t started_wall_ms;
    uint64_t finished_wall_ms; /* 0 while it runs */
    uint64_t oom_before;

    uint64_t due_ms;   /* ENDING: look again; BACKOFF: start again */
    uint32_t delay_ms; /* of the next look or start */
    uint32_t backoff_ms;
    unsigned restarts;

    unsigned told; /* the state that was told of last */
    bool told_ready;
    struct health health; /* of this run */
    struct health ready;
    bool unhealthy; /* it was killed for it */

    struct error failure; /* code 0, or why this run did not start */
    /* Of the last run that has ended. */
    int exit_code; /* -1: a signal */
    int signal;
    bool oom_killed;
};

void container_init(struct container *container,
                    const Kontor__V1__Bundle *bundle, size_t index);

/* WAITING -> STARTING, or ENDING when that failed. `init` is the pidfd of
 * pid 1. While that is not `ready`, one that is alone does all but execute. */
void container_start(struct container *container, int init, bool ready);
void container_go_on(struct container *container);

/* The report pipe is readable: STARTING -> RUNNING on success. */
void container_on_report(struct container *container);

/* A stream is readable: take some of it into the log. */
void container_on_output(struct container *container, int stream);

/* The main process is reaped: -> ENDING. */
void container_on_exit(struct container *container, int wait_status);

/* When something is due in ENDING or BACKOFF, do it. `stopped`: it is not
 * to run again. */
void container_step(struct container *container, bool stopped);

/* When container_step() should be called next; UINT64_MAX: no need. */
uint64_t container_due_ms(const struct container *container);

/* Ask it to end: its stop signal; SIGKILL if it has not begun. */
void container_stop(struct container *container);

/* It runs, and its checks say so. */
bool container_ready(const struct container *container);

/* A child of ours was reaped: was it one that asks how the container is? */
bool container_on_answer(struct container *container, pid_t pid,
                         int wait_status);

bool container_succeeded(const struct container *container);

/* What it is in, as it is told; `reason` is filled in. */
void container_tell(const struct container *container,
                    Kontor__V1__ContainerStatus *status, char *reason,
                    size_t size);

/* "exit code 3", "killed by signal 9" ... of the last run. */
void container_describe(const struct container *container, char *text,
                        size_t size);
