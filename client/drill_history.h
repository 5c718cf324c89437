/* drill_history.h - what clients asked of the cluster, and when it answered.
 *
 * A pod is a register: Schedule writes a value into it (the request id, which
 * the pod carries), GetPod reads it. The file that it is written to is what
 * test/linear/check reads. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DRILL_NAME_MAX = 80 };

enum drill_result {
    DRILL_UNKNOWN, /* it may have been done, or may still be */
    DRILL_OK,
    DRILL_FAIL, /* it was not done and never will be */
};

struct drill_operation {
    unsigned client;
    bool is_read;
    enum drill_result result;
    uint64_t invoked_ns; /* CLOCK_MONOTONIC, like returned_ns */
    uint64_t returned_ns;
    uint64_t value;           /* a read that found nothing: 0 */
    char pod[DRILL_NAME_MAX]; /* its name; "": never learned */
};

struct drill_history {
    struct drill_operation *operations; /* owned; in order of invocation */
    size_t count;
    size_t capacity;
};

/* Note that an operation begins now. Returns its position: the address of
 * one changes with the next. */
size_t drill_history_begin(struct drill_history *history, unsigned client,
                           bool is_read);
void drill_history_fini(struct drill_history *history);

/* When the first write was acknowledged that began after `fault_ns`; 0: none
 * was. O(operations since then). */
uint64_t drill_history_recovered_ns(const struct drill_history *history,
                                    uint64_t fault_ns);

/* The longest time around [from_ns, until_ns] without a write being
 * acknowledged: from the last acknowledgement before it on. O(n log n). */
uint64_t drill_history_silence_ns(const struct drill_history *history,
                                  uint64_t from_ns, uint64_t until_ns);

/* Write it to `path`, an operation a line. */
int drill_history_save(const struct drill_history *history, const char *path,
                       struct error *why);
