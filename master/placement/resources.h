/* resources.h - amounts in the four dimensions that are given out.
 *
 * Pure. Every loop over dimensions goes in the order of the enum. */
#pragma once

#include "kontor/v1/types.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

enum resource_kind {
    RESOURCE_CPU,    /* thousandths of a core */
    RESOURCE_MEMORY, /* bytes */
    RESOURCE_DISK,   /* bytes */
    RESOURCE_NET,    /* bits per second */
    RESOURCE_COUNT
};

/* What a pod asks of a node, or what a node has or has left. */
struct resources {
    uint64_t amount[RESOURCE_COUNT];
};

/* "cpu", "memory", "disk", "net". */
const char *resource_name(enum resource_kind kind);

/* All of `want` is there. */
static inline bool resources_fit(const struct resources *room,
                                 const struct resources *want)
{
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        if (want->amount[i] > room->amount[i])
            return false;
    }
    return true;
}

static inline void resources_add(struct resources *sum,
                                 const struct resources *more)
{
    for (int i = 0; i < RESOURCE_COUNT; i++)
        sum->amount[i] += more->amount[i];
}

/* a - b, and 0 where that would be negative. */
static inline struct resources resources_less(const struct resources *a,
                                              const struct resources *b)
{
    struct resources left;

    for (int i = 0; i < RESOURCE_COUNT; i++)
        left.amount[i] =
            a->amount[i] > b->amount[i] ? a->amount[i] - b->amount[i] : 0;
    return left;
}

static inline bool resources_none(const struct resources *resources)
{
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        if (resources->amount[i] > 0)
            return false;
    }
    return true;
}

enum { RESOURCE_SHARE_ONE = 1 << 16 };

/* part / whole in 1/65536, rounded down; 0 when whole is 0. */
uint32_t resource_share(uint64_t part, uint64_t whole);

/* NULL is nothing. */
struct resources resources_of(const Kontor__V1__Resources *message);

/* cpu is cut at UINT32_MAX. */
void resources_tell(const struct resources *resources,
                    Kontor__V1__Resources *message);
