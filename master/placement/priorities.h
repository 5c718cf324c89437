/* priorities.h - of which priority how many pods there are.
 *
 * Pure. O(log priorities that there are). */
#pragma once

#include "master/placement/order.h"

struct priorities {
    struct order counts; /* by priority; what is in it is owned */
};

void priorities_fini(struct priorities *priorities);

/* `to` is empty. */
void priorities_copy(struct priorities *to, const struct priorities *from);

/* One pod more, or one less of those that were added. */
void priorities_add(struct priorities *priorities, int32_t priority);
void priorities_take(struct priorities *priorities, int32_t priority);

/* INT32_MAX: there is none. O(1). */
int32_t priorities_lowest(const struct priorities *priorities);
