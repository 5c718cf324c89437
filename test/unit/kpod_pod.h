/* kpod_pod.h - for tests: a pod run by the real kpod, from an image made of
 * busybox. As root. */
#pragma once

#include "kontor/v1/bundle.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
    KPOD_POD_AWAIT_MS = 15000,
    KPOD_POD_LOG_MAX = 65536,
    KPOD_POD_FIRST_ID = 77 << 16, /* for example */
};

struct kpod_pod {
    char folder[64];
    char cgroup[64];
    Kontor__V1__Bundle *bundle; /* one container, changed by the test */
    uint64_t pids;              /* at most; 0: no limit */
    pid_t kpod;
    int socket; /* connected to kpod.sock */
    int exited; /* kpod's wait status, once it ended */
    char log[KPOD_POD_LOG_MAX];
    Kontor__V1__PodStatus *status; /* the last one seen */
};

/* Of the pods to come, the first id of their user namespace; 0: they have
 * none. */
extern uint32_t kpod_pod_first_id;

/* A folder with the image, and a bundle that runs `script` by sh(1) once. */
struct kpod_pod *kpod_pod_new(const char *script);

/* Kill and remove all of it; fails the test when a mount is left. */
void kpod_pod_free(struct kpod_pod *pod);

/* Another container of the same image. */
void kpod_pod_add(struct kpod_pod *pod, const char *name, const char *script);

/* The next status. */
void kpod_pod_next(struct kpod_pod *pod);

/* Ask kpod to start a program; the descriptors stay the caller's. */
void kpod_pod_send_exec(const struct kpod_pod *pod,
                        const Kontor__V1__StartExec *asked, const int *fds,
                        size_t count);

/* Run `script` in the first container, until it ends. */
void kpod_pod_exec(struct kpod_pod *pod, const char *script);

/* Write the bundle and start kpod. */
void kpod_pod_start(struct kpod_pod *pod);

/* Read statuses until one has the phase; fails the test after a while. */
const Kontor__V1__PodStatus *kpod_pod_await(struct kpod_pod *pod,
                                            Kontor__V1__PodPhase phase);

/* Wait until kpod ended; what status.pb says. Fails the test when a process
 * of the pod is left. */
const Kontor__V1__PodStatus *kpod_pod_end(struct kpod_pod *pod);

/* Start and end. */
const Kontor__V1__PodStatus *kpod_pod_run(struct kpod_pod *pod);

void kpod_pod_stop(struct kpod_pod *pod, uint32_t grace_ms);

/* What a stream (1, 2; 0 both) says in log.1 and log, as a string. Borrowed
 * until the next call. */
const char *kpod_pod_log(struct kpod_pod *pod, int stream);

/* A line of output is awaited in the log. */
void kpod_pod_await_log(struct kpod_pod *pod, const char *text);

/* Replace a string, or the list of one container's arguments (until NULL). */
void kpod_pod_set(char **field, const char *value);
void kpod_pod_set_argv(struct kpod_pod *pod, ...) __attribute__((sentinel));

/* Is the program built to be small, not to be checked? */
bool kpod_pod_sanitized(void);
