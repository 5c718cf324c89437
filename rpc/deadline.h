/* deadline.h - many points in time, the nearest at hand: a binary heap.
 *
 * Adding and removing cost O(log n). Pure: time comes in. */
#pragma once

#include "base/lang.h"

#include <stdbool.h>
#include <stdint.h>

/* Embedded in what has a deadline. All zero: not set. */
struct deadline {
    uint64_t at_ms;
    size_t place; /* in the heap, counted from 1; 0: not in it */
    void (*expired)(struct deadline *deadline);
};

struct deadlines {
    struct deadline **heap; /* owned; [0] is the nearest */
    size_t count;
    size_t capacity;
};

void deadlines_fini(struct deadlines *deadlines);

/* Set or move a deadline. */
void deadlines_set(struct deadlines *deadlines, struct deadline *deadline,
                   uint64_t at_ms);

/* Harmless when it is not set. */
void deadlines_remove(struct deadlines *deadlines, struct deadline *deadline);

/* The nearest, or NULL. */
struct deadline *deadlines_first(const struct deadlines *deadlines);

static inline bool deadline_is_set(const struct deadline *deadline)
{
    return deadline->place > 0;
}
