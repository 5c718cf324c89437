/* linear.h - can what clients saw be explained by one register that did one
 * operation at a time, each at some moment while it was under way?
 *
 * Wing and Gong, "Testing and Verifying Concurrent Objects" (1993): try the
 * operations that may come first, one after the other, and go back where it
 * leads nowhere; with what Lowe added in "Testing for Linearizability" (2017):
 * never look twice at the same set of operations done with the same value. A
 * history of many registers is linearizable when each register's is (Herlihy
 * and Wing 1990), so each is looked at alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINEAR_PENDING UINT64_MAX

struct linear_operation {
    bool is_read;
    uint64_t value;       /* written or read; 0: nothing, as at the beginning */
    uint64_t invoked_ns;  /* < returned_ns */
    uint64_t returned_ns; /* LINEAR_PENDING: a write that may have been done
                             at any time since, or never */
    unsigned client;
    unsigned line; /* of the file, for people */
};

/* Is the history of one register linearizable? Operations are in any order.
 * Exponential at worst; in practice O(n * those under way at one time). */
bool linear_check(const struct linear_operation *operations, size_t count);

/* `operations`, not linearizable, becomes what is so already when nothing of
 * it can be left out: the shortest beginning of the history without what does
 * not matter. A write that is read stays. Returns how many are left; they are
 * first, in order of invocation. */
size_t linear_shrink(struct linear_operation *operations, size_t count);
