/* log.h - the log in memory: what follows a base, by index.
 *
 * Invariants:
 * 1. entries [first, last] are contiguous; base is first - 1.
 * 2. runs name the term of every entry in order; terms only grow.
 * 3. base <= snapshot_index <= last; all up to snapshot_index is committed.
 * 4. base_term is 0 when it is not known (a restart with a tail before the
 *    snapshot) or base is 0. */
#pragma once

#include "raft/core/message.h"

/* Neighbouring entries of one term. */
struct raft_run {
    uint64_t first_index;
    uint64_t term;
};

struct raft_log {
    struct raft_entry *entries; /* owned; those of the log start at `start` */
    size_t start;
    size_t count;
    size_t capacity;
    uint64_t first_index;
    uint64_t base_term;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    struct raft_run *runs; /* owned */
    size_t run_count;
    size_t run_capacity;
};

void raft_log_init(struct raft_log *log, uint64_t first_index);
void raft_log_fini(struct raft_log *log);

static inline uint64_t raft_log_last(const struct raft_log *log)
{
    return log->first_index + log->count - 1;
}

const struct raft_entry *raft_log_at(const struct raft_log *log,
                                     uint64_t index);

/* False when the term of `index` is not known: beyond the log or before what
 * is left of it. Index 0 has term 0. */
bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *term);
uint64_t raft_log_last_term(const struct raft_log *log);

/* Put `entry` last; its payload is shared. Amortised O(1). */
void raft_log_append(struct raft_log *log, const struct raft_entry *entry);

/* Drop entries from `from` on. O(dropped). */
void raft_log_truncate(struct raft_log *log, uint64_t from);

/* Record a snapshot at `index` and drop entries before `keep_from`. */
void raft_log_compact(struct raft_log *log, uint64_t index, uint64_t keep_from);

/* Drop all; the log goes on after a snapshot at `index`. */
void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term);

/* The largest index <= `index` whose term is <= `term`, not looking before
 * the base: where two logs may still be equal (end of section 5.3). O(terms
 * in the log). */
uint64_t raft_log_floor(const struct raft_log *log, uint64_t index,
                        uint64_t term);
