/* series.h - things with numbers that only grow: found by number, walked in
 * their order.
 *
 * An array, 16 bytes a thing. What is taken out leaves a hole; there are never
 * more holes than things, and none at the end. All zero is an empty series. */
#pragma once

#include <stdint.h>

struct series_item {
    uint64_t number;
    void *what; /* borrowed; NULL: a hole */
};

struct series {
    struct series_item *items; /* owned */
    uint32_t end;
    uint32_t holes;
    uint32_t capacity;
};

void series_fini(struct series *series); /* leaves the things alone */

/* `number` is greater than that of anything in it. */
void series_append(struct series *series, uint64_t number, void *what);

/* It must be in. Not during series_walk(). Amortised O(log n). */
void series_remove(struct series *series, uint64_t number);

static inline uint32_t series_count(const struct series *series)
{
    return series->end - series->holes;
}

/* NULL when there is none. O(log n); the neighbours, and the holes between. */
void *series_find(const struct series *series, uint64_t number);
void *series_after(const struct series *series, uint64_t number);
void *series_before(const struct series *series, uint64_t number);

/* One after another: the next, NULL at the end. `*at` is 0 at first. */
void *series_walk(const struct series *series, uint32_t *at);
