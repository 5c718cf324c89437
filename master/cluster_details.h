/* cluster_details.h - what a node says of a pod's containers, counted, shared
 * by the pod and the events that tell of it.
 *
 * Pure. NULL: nothing was said. Not looked into, only kept and told. */
#pragma once

#include "kontor/v1/types.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

/* A report of more is taken as one of nothing. */
enum { DETAILS_MAX_BYTES = 8192 };

struct details {
    uint32_t references;
    uint32_t length;
    Kontor__V1__PodStatus *message; /* owned: ready and containers alone */
    uint8_t bytes[];                /* the same, serialised */
};

/* Owned by the caller. */
struct details *details_new(const Kontor__V1__PodStatus *status);

struct details *details_take(struct details *details);
void details_drop(struct details *details);

/* Are they those that details_new() makes of `status`? */
bool details_are(const struct details *details,
                 const Kontor__V1__PodStatus *status);

/* Put those of `status` in place of *details. True when it changed. */
bool details_replace(struct details **details,
                     const Kontor__V1__PodStatus *status);

/* Have `status` borrow them. */
void details_tell(const struct details *details, Kontor__V1__PodStatus *status);
