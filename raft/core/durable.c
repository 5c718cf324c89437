/* durable.c - which part of the log would survive a crash: the leader writes
 * while it replicates, and counts itself when it has (chapter 10.2.1).
 *
 * Each write that is handed out remembers how much of the present log will be
 * durable with it. A truncation takes all of them back to where it cut, so
 * that a late raft_stored() cannot vouch for an entry that was cut off and
 * appended again (ABA), whatever its term. */
#include "raft/core/parts.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

static struct raft_write *write_at(const struct raft_writes *writes, size_t i)
{
    assert(i < writes->count);
    return &writes->ring[(writes->first + i) & (writes->capacity - 1)];
}

static void grow(struct raft_writes *writes)
{
    size_t capacity = writes->capacity ? 2 * writes->capacity : 16;
    struct raft_write *ring = memory_array(capacity, sizeof *ring);

    for (size_t i = 0; i < writes->count; i++)
        ring[i] = *write_at(writes, i);
    free(writes->ring);
    writes->ring = ring;
    writes->first = 0;
    writes->capacity = capacity;
}

/* The write that this output asks for; begins one when it has none yet. */
static struct raft_write *open_write(struct raft *raft, struct raft_output *out)
{
    struct raft_writes *writes = &raft->writes;

    if (out->store_id == 0) {
        if (writes->count == writes->capacity)
            grow(writes);
        writes->count++;
        out->store_id = ++writes->last_id;
        *write_at(writes, writes->count - 1) = (struct raft_write){
            .id = out->store_id,
            .since_ms = raft->now_ms,
        };
    }
    assert(out->store_id == writes->last_id); /* one output at a time */
    return write_at(writes, writes->count - 1);
}

/* Term and vote are persistent state (figure 2, chapter 3.8). */
void raft_store_state(struct raft *raft, struct raft_output *out)
{
    raft->state_id = open_write(raft, out)->id;
    out->store_state = true;
}

void raft_store_entries(struct raft *raft, uint64_t from,
                        struct raft_output *out)
{
    open_write(raft, out)->last_index = raft_log_last(&raft->log);
    if (out->store_from == 0 || from < out->store_from)
        out->store_from = from;
}

void raft_store_truncated(struct raft *raft, uint64_t last_index)
{
    if (raft->durable_index > last_index)
        raft->durable_index = last_index;
    for (size_t i = 0; i < raft->writes.count; i++) {
        struct raft_write *write = write_at(&raft->writes, i);

        if (write->last_index > last_index)
            write->last_index = last_index;
    }
}

bool raft_state_durable(const struct raft *raft)
{
    return raft->writes.stored_id >= raft->state_id;
}

bool raft_disk_hangs(const struct raft *raft)
{
    uint64_t limit_ms = RAFT_DISK_TIMEOUTS * raft->config.election_timeout_ms;

    return raft->writes.count > 0 &&
           raft->now_ms - write_at(&raft->writes, 0)->since_ms >= limit_ms;
}

/* What waited for the disk: the leader's own copy counts (chapter 10.2.1), a
 * candidate its own vote, a follower says what it has (section 5.3). */
void raft_stored(struct raft *raft, uint64_t store_id, struct raft_output *out)
{
    struct raft_writes *writes = &raft->writes;

    assert(store_id <= writes->last_id);
    while (writes->count && write_at(writes, 0)->id <= store_id) {
        if (write_at(writes, 0)->last_index > raft->durable_index)
            raft->durable_index = write_at(writes, 0)->last_index;
        writes->first = (writes->first + 1) & (writes->capacity - 1);
        writes->count--;
    }
    if (store_id > writes->stored_id)
        writes->stored_id = store_id;

    switch (raft->role) {
    case RAFT_LEADER:
        raft_commit_count(raft, out);
        return;
    case RAFT_CANDIDATE:
        raft_election_check(raft, out);
        return;
    case RAFT_FOLLOWER:
        raft_append_acknowledge(raft, out);
        return;
    case RAFT_PRE_CANDIDATE:
        return;
    }
}
