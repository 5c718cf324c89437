/* cluster_spec.h - pod specs, each different one stored once.
 *
 * Pure. Two specs are the same when their serialised bytes are. */
#pragma once

#include "base/error.h"
#include "base/map.h"
#include "master/placement/resources.h"

/* Of one spec, serialised. */
enum { SPEC_MAX_BYTES = 64 << 10 };

/* More of anything than a node could have; keeps sums in 64 bits. */
#define SPEC_AMOUNT_MAX (UINT64_C(1) << 50)

struct spec {
    struct map_link by_bytes;
    unsigned references;
    uint32_t number; /* scratch for a snapshot being written */
    struct resources want;
    Kontor__V1__PodSpec *message; /* owned */
    uint32_t length;
    uint8_t bytes[]; /* serialised */
};

struct specs {
    struct map map; /* of struct spec, by bytes */
};

void specs_init(struct specs *specs);
void specs_fini(struct specs *specs); /* all must have been dropped */

/* The stored spec that equals `message`, with a reference for the caller.
 * INVALID_ARGUMENT: too large, absurd amounts, no containers. */
int specs_intern(struct specs *specs, const Kontor__V1__PodSpec *message,
                 struct spec **out, struct error *why);

struct spec *spec_take(struct spec *spec);
void specs_drop(struct specs *specs, struct spec *spec);
