/* report.h - the pod's status: on disk, and to those who are connected. */
#pragma once

#include "base/error.h"
#include "kontor/v1/bundle.pb-c.h"
#include "kontor/v1/types.pb-c.h"
#include "node/supervisor/exec.h"
#include "node/supervisor/supervisor.h"

#include <stdbool.h>
#include <stdint.h>

enum { REPORT_CLIENTS_MAX = 8, REPORT_REASON_MAX = 192 };

struct report_container {
    Kontor__V1__ContainerStatus status;
    char reason[REPORT_REASON_MAX];
};

struct report {
    Kontor__V1__PodStatus status; /* its strings are borrowed or `reason` */
    char reason[ERROR_MESSAGE_MAX];
    struct report_container containers[SUPERVISOR_CONTAINERS_MAX];
    Kontor__V1__ContainerStatus *list[SUPERVISOR_CONTAINERS_MAX];
    int listener;                    /* SUPERVISOR_SOCKET_FD, or -1 */
    int clients[REPORT_CLIENTS_MAX]; /* -1: none */
};

void report_init(struct report *report, int listener);

/* Set phase and reason; report_publish() makes it known. */
void report_enter(struct report *report, Kontor__V1__PodPhase phase,
                  const char *format, ...) PRINTF_LIKE(3, 4);

/* Replace status.pb and send to all clients. `durable`: on disk when this
 * returns, whatever happens to the machine then. A full disk, which the pod
 * may have filled itself, has room for it where the last one was. A client
 * that does not read is dropped; it finds status.pb. The error is the file's;
 * clients are told all the same. */
int report_publish(struct report *report, bool durable, struct error *why);

/* Someone connects: send the status. One too many is turned away. */
void report_accept(struct report *report);

/* A client sent something or went. What it sent, with the descriptors that
 * came along (the rest are -1), or NULL; both the caller's. */
Kontor__V1__SupervisorMessage *report_receive(struct report *report, int client,
                                              int fds[EXEC_DESCRIPTORS_MAX]);
