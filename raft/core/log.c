#include "raft/core/log.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

void raft_log_init(struct raft_log *log, uint64_t first_index)
{
    assert(first_index > 0);
    *log = (struct raft_log){.first_index = first_index};
}

void raft_log_fini(struct raft_log *log)
{
    raft_log_truncate(log, log->first_index);
    free(log->entries);
    free(log->runs);
}

const struct raft_entry *raft_log_at(const struct raft_log *log, uint64_t index)
{
    assert(index >= log->first_index && index <= raft_log_last(log));
    return &log->entries[log->start + (size_t)(index - log->first_index)];
}

/* The term at the snapshot's index is kept, as the entry after it is checked
 * against it (section 7). */
bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *term)
{
    if (index > raft_log_last(log))
        return false;
    if (index >= log->first_index)
        *term = raft_log_at(log, index)->term;
    else if (index == log->snapshot_index)
        *term = log->snapshot_term; /* 0 at index 0 */
    else if (index + 1 == log->first_index && log->base_term != 0)
        *term = log->base_term;
    else if (index == 0)
        *term = 0;
    else
        return false;
    return true;
}

uint64_t raft_log_last_term(const struct raft_log *log)
{
    uint64_t term = 0;
    bool known = raft_log_term(log, raft_log_last(log), &term);

    assert(known); /* invariant 3 */
    return term;
}

/* Room for one more entry. Space that compaction left in front is used again
 * once it is the larger part, so each entry is moved O(1) times. */
static void make_room(struct raft_log *log)
{
    if (log->start + log->count < log->capacity)
        return;
    if (log->start > log->count) {
        memmove(log->entries, log->entries + log->start,
                log->count * sizeof *log->entries);
        log->start = 0;
        return;
    }
    log->capacity = log->capacity ? 2 * log->capacity : 64;
    log->entries =
        memory_resize(log->entries, log->capacity * sizeof *log->entries);
}

static void note_run(struct raft_log *log, uint64_t index, uint64_t term)
{
    if (log->run_count && log->runs[log->run_count - 1].term == term)
        return;
    if (log->run_count == log->run_capacity) {
        log->run_capacity = log->run_capacity ? 2 * log->run_capacity : 16;
        log->runs =
            memory_resize(log->runs, log->run_capacity * sizeof *log->runs);
    }
    log->runs[log->run_count++] = (struct raft_run){index, term};
}

void raft_log_append(struct raft_log *log, const struct raft_entry *entry)
{
    make_room(log);
    log->entries[log->start + log->count] = *entry;
    raft_payload_take(entry->payload);
    log->count++;
    note_run(log, raft_log_last(log), entry->term);
}

/* An entry that differs goes with all that follow it (section 5.3). */
void raft_log_truncate(struct raft_log *log, uint64_t from)
{
    assert(from >= log->first_index);
    while (raft_log_last(log) >= from) {
        log->count--;
        raft_payload_drop(log->entries[log->start + log->count].payload);
    }
    while (log->run_count && log->runs[log->run_count - 1].first_index >= from)
        log->run_count--;
}

/* The run that holds `index`, which is in the log. */
static size_t run_of(const struct raft_log *log, uint64_t index)
{
    size_t low = 0;
    size_t high = log->run_count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (log->runs[middle].first_index <= index)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Drop entries before `keep_from`, which is at most last + 1. */
static void drop_front(struct raft_log *log, uint64_t keep_from)
{
    size_t dropped = (size_t)(keep_from - log->first_index);
    size_t runs = log->run_count;

    if (dropped == 0)
        return;
    log->base_term = raft_log_at(log, keep_from - 1)->term;
    if (dropped < log->count)
        runs = run_of(log, keep_from);
    for (size_t i = 0; i < dropped; i++)
        raft_payload_drop(log->entries[log->start + i].payload);
    log->start += dropped;
    log->count -= dropped;
    log->first_index = keep_from;
    log->run_count -= runs;
    memmove(log->runs, log->runs + runs, log->run_count * sizeof *log->runs);
    if (log->run_count && log->runs[0].first_index < keep_from)
        log->runs[0].first_index = keep_from;
}

/* Section 7; chapter 5.1. */
void raft_log_compact(struct raft_log *log, uint64_t index, uint64_t keep_from)
{
    bool known;

    if (index <= log->snapshot_index)
        return; /* a newer one was installed meanwhile */
    assert(keep_from <= index + 1);
    known = raft_log_term(log, index, &log->snapshot_term);
    assert(known);
    log->snapshot_index = index;
    if (keep_from > log->first_index)
        drop_front(log, keep_from);
}

/* An installed snapshot takes the whole log's place (section 7). */
void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term)
{
    raft_log_truncate(log, log->first_index);
    log->start = 0;
    log->first_index = index + 1;
    log->base_term = term;
    log->snapshot_index = index;
    log->snapshot_term = term;
}

uint64_t raft_log_floor(const struct raft_log *log, uint64_t index,
                        uint64_t term)
{
    size_t run;

    if (index > raft_log_last(log))
        index = raft_log_last(log);
    if (index < log->first_index)
        return index;
    run = run_of(log, index);
    if (log->runs[run].term <= term)
        return index;
    while (run > 0 && log->runs[run].term > term)
        run--;
    if (log->runs[run].term > term)
        return log->first_index - 1;
    return log->runs[run + 1].first_index - 1;
}
