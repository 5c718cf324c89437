/* health.h - is a container well? A process of ours asks, each time anew.
 *
 * A command runs in the container as it would by exec; HTTP and TCP are
 * asked for on the pod's loopback, by a process that has nothing else of the
 * pod but its network, no privileges and no time beyond its limit. */
#pragma once

#include "base/error.h"
#include "kontor/v1/types.pb-c.h"

#include <stdbool.h>
#include <sys/types.h>

struct container;

struct health {
    const Kontor__V1__HealthCheck *check; /* NULL: none; always passed */
    pid_t pid;                            /* of who asks; 0: nobody */
    uint64_t due_ms;                      /* to ask, or to give an answer up */
    unsigned failures;                    /* in a row */
    bool passed;                          /* the last one did */
};

/* A run begins: nothing is known of it yet. */
void health_reset(struct health *health, const Kontor__V1__HealthCheck *check,
                  uint64_t now_ms);

/* Ask, or end who takes too long, if that is due. */
void health_step(struct health *health, const struct container *container,
                 uint64_t now_ms);

/* A child of ours was reaped: was it this one? Its answer counts. */
bool health_on_exit(struct health *health, const struct container *container,
                    pid_t pid, int wait_status);

/* So many in a row, after the start period, that it is the end. */
bool health_lost(const struct health *health);

/* Nobody is to ask any more. */
void health_stop(struct health *health);
