/* link_hold.h - orders that a node does not take are not sent again at once:
 * each kind waits by itself, longer each time, and its reason is kept. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Zeroes are one that holds nothing back. */
struct link_hold {
    uint64_t until_ms;   /* monotonic */
    uint64_t backoff_ms; /* of the last time; 0: the last order was taken */
    char *reason;        /* owned; NULL: the last order was taken */
};

/* The node did not take an order: wait, 50 ms and doubling to 5 s. True when
 * the reason is another one than the last time, so that it is to be told. */
bool link_hold_back(struct link_hold *hold, const struct error *why,
                    uint64_t now_ms);

/* It took one: nothing waits any more. Frees what was kept. */
void link_hold_release(struct link_hold *hold);
