/* history.h - a recorded history (kctl drill --record): a line of JSON for
 * each operation,
 *
 *   {"client": 3, "kind": "write", "key": "web-1", "value": "4a0c",
 *    "invoke_ns": 120, "return_ns": 190, "result": "ok"}
 *
 * kind: write or read; result: ok, fail (never done) or unknown, where
 * return_ns is null; the value of a read that found nothing is null. */
#pragma once

#include "base/error.h"
#include "test/linear/linear.h"

#include <stdio.h>

/* A register and what was done to it. */
struct history_key {
    char *name;                          /* owned */
    struct linear_operation *operations; /* owned */
    size_t count;
};

struct history {
    struct history_key *keys; /* owned; in order of their first line */
    size_t count;
    char **values; /* owned; a value's text is at its number */
    size_t value_count;
    size_t operations; /* in all keys */
};

/* Read a history; operations without effect (reads without an answer, what
 * failed) are not kept. INVALID_ARGUMENT names the line and what is wrong. */
int history_read(struct history *out, FILE *file, struct error *why);
void history_fini(struct history *history);

/* The first key whose register is not linearizable, or NULL; what is left of
 * its operations shows it (linear_shrink()). Borrowed. */
struct history_key *history_check(struct history *history);

/* "line 3  client 1  write 4a0c  0.012 .. 0.310 ms  ok", for each. */
void history_print(const struct history *history, const struct history_key *key,
                   FILE *out);
