/* replica_output.c - what the core wants done, and what waits for it. */
#include "raft/replica_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* ---- the store ---- */

struct write {
    struct store_write write;
    struct replica *replica;
    uint64_t store_id;
    struct raft_entry entries[]; /* each with a reference of its own */
};

static void on_written(struct store_write *done)
{
    struct write *write = container_of(done, struct write, write);
    struct replica *replica = write->replica;
    uint64_t store_id = write->store_id;

    for (size_t i = 0; i < done->entry_count; i++)
        raft_payload_drop(write->entries[i].payload);
    free(write);
    replica_durable(replica, store_id);
}

static void submit(struct replica *replica, const struct raft_output *out)
{
    uint64_t from = out->store_from;
    uint64_t last = raft_last_index(replica->raft);
    size_t count = from ? (size_t)(last + 1 - from) : 0;
    struct write *write =
        memory_new(sizeof *write + count * sizeof *write->entries);

    for (size_t i = 0; i < count; i++) {
        write->entries[i] = *raft_entry_at(replica->raft, from + i);
        raft_payload_take(write->entries[i].payload);
    }
    write->replica = replica;
    write->store_id = out->store_id;
    write->write = (struct store_write){
        .has_state = out->store_state,
        .term = raft_term(replica->raft),
        .voted_for = raft_vote(replica->raft),
        .from = from,
        .entries = write->entries,
        .entry_count = count,
        .done = on_written,
    };
    replica->submitted_id = out->store_id;
    store_submit(replica->store, &write->write);
}

/* ---- messages ---- */

static void hold(struct replica *replica, struct raft_message *message)
{
    struct replica_held *held;

    if (replica->held_count == replica->held_capacity) {
        replica->held_capacity =
            replica->held_capacity ? 2 * replica->held_capacity : 16;
        replica->held = memory_resize(replica->held, replica->held_capacity *
                                                         sizeof *replica->held);
    }
    held = &replica->held[replica->held_count++];
    held->store_id = replica->submitted_id;
    held->message = *message;
    message->entries = NULL; /* moved */
    message->entry_count = 0;
}

static void release(struct replica *replica)
{
    while (replica->held_first < replica->held_count) {
        struct replica_held *held = &replica->held[replica->held_first];

        if (held->store_id > replica->durable_id)
            return;
        if (!replica->closing)
            peers_send(replica->peers, &held->message);
        raft_message_fini(&held->message);
        replica->held_first++;
    }
    replica->held_first = 0;
    replica->held_count = 0;
}

static void send_messages(struct replica *replica, struct raft_output *out)
{
    for (size_t i = 0; i < out->message_count; i++) {
        struct raft_outgoing *outgoing = &out->messages[i];

        if (outgoing->after_store &&
            replica->durable_id < replica->submitted_id)
            hold(replica, &outgoing->message);
        else
            peers_send(replica->peers, &outgoing->message);
    }
}

void replica_durable(struct replica *replica, uint64_t store_id)
{
    assert(store_id > replica->durable_id);
    replica->durable_id = store_id;
    release(replica);
    if (replica->closing)
        return;
    raft_stored(replica->raft, store_id, &replica->out);
    replica->stepped = true;
}

/* ---- what is committed ---- */

static struct replica_proposal *pop_pending(struct replica *replica)
{
    struct replica_proposals *pending = &replica->pending;
    struct replica_proposal *proposal = pending->first;

    pending->first = proposal->next;
    if (!pending->first)
        pending->last = &pending->first;
    pending->count--;
    replica->proposal_bytes -= proposal->bytes;
    return proposal;
}

void replica_wait(struct replica *replica, struct replica_proposal *proposal,
                  uint64_t index)
{
    proposal->index = index;
    proposal->term = raft_term(replica->raft);
    proposal->next = NULL;
    *replica->pending.last = proposal;
    replica->pending.last = &proposal->next;
    replica->pending.count++;
}

/* The proposals that became entry `index`, if they were ours. */
static void complete(struct replica *replica, uint64_t index, uint64_t term)
{
    static const struct error fine;
    struct replica_proposal *proposal;

    while ((proposal = replica->pending.first) && proposal->index == index &&
           proposal->term == term) {
        pop_pending(replica);
        proposal->done(proposal, index, &fine);
    }
}

/* Followers must not take a long turn for our silence, nor a leader for theirs:
 * what others have committed meanwhile may be seconds of work. */
static bool is_enough(const struct replica *replica, unsigned entries,
                      uint64_t began_ns)
{
    if (replica->apply_entries)
        return entries >= replica->apply_entries;
    return clock_monotonic_ns() - began_ns >= replica->apply_left_ns;
}

static void apply(struct replica *replica)
{
    uint64_t began_ns = clock_monotonic_ns();
    uint64_t spent_ns;

    for (unsigned entries = 0; replica->applied_index < replica->commit_index &&
                               !is_enough(replica, entries, began_ns);
         entries++) {
        uint64_t index = replica->applied_index + 1;
        const struct raft_entry *entry = raft_entry_at(replica->raft, index);
        const struct raft_payload *payload = entry->payload;
        uint64_t term = entry->term;

        if (entry->kind == RAFT_ENTRY_COMMAND)
            replica->machine.apply(replica->machine.data, index,
                                   payload ? payload->bytes : NULL,
                                   payload ? payload->length : 0);
        replica->applied_index = index;
        replica->applied_bytes += sizeof *entry;
        if (payload)
            replica->applied_bytes += payload->length;
        complete(replica, index, term);
    }
    spent_ns = clock_monotonic_ns() - began_ns;
    replica->apply_left_ns -=
        spent_ns < replica->apply_left_ns ? spent_ns : replica->apply_left_ns;
}

/* ---- who waits in vain ---- */

void replica_fail_proposals(struct replica *replica, enum error_code code,
                            const char *text)
{
    struct error why;

    error_set(&why, code, "%s", text);
    while (replica->pending.first) {
        struct replica_proposal *proposal = pop_pending(replica);

        proposal->done(proposal, 0, &why);
    }
}

static void pop_read(struct replica_reads *reads, const struct error *why)
{
    struct replica_read *read = reads->first;

    reads->first = read->next;
    if (!reads->first)
        reads->last = &reads->first;
    read->done(read, why);
}

void replica_fail_reads(struct replica_reads *reads, const char *text)
{
    struct error why;

    error_set(&why, ERROR_UNAVAILABLE, "%s", text);
    while (reads->first)
        pop_read(reads, &why);
}

/* A read sees what was committed when it was confirmed. */
static void serve_reads(struct replica *replica, uint64_t ready)
{
    static const struct error fine;
    struct replica_read *read = replica->reads.first;

    for (; read && read->id <= ready; read = read->next)
        if (read->index == 0)
            read->index = replica->commit_index;
    while ((read = replica->reads.first) && read->index > 0 &&
           read->index <= replica->applied_index)
        pop_read(&replica->reads, &fine);
}

/* Proposals of a term that we do not lead in any more. */
static void lose_proposals(struct replica *replica)
{
    const struct replica_proposal *oldest = replica->pending.first;

    if (!oldest)
        return;
    if (raft_role(replica->raft) == RAFT_LEADER &&
        oldest->term == raft_term(replica->raft))
        return;
    if (oldest->index > replica->applied_index &&
        oldest->index <= replica->commit_index)
        return; /* its turn comes */
    replica_fail_proposals(replica, ERROR_ABORTED,
                           "leadership was lost before this was committed");
}

/* Once in a term: it will send the same again and again. */
static void tell_contradiction(struct replica *replica, uint32_t member)
{
    uint64_t term = raft_term(replica->raft);

    if (replica->contradicted_term == term)
        return;
    replica->contradicted_term = term;
    log_error("raft: %s, which leads in term %" PRIu64 ", would replace what "
              "is committed here up to %" PRIu64 ", or what it sent itself: "
              "one of us has lost what it had; it is not followed",
              replica_name(replica, member), term,
              raft_commit_index(replica->raft));
}

void replica_perform(struct replica *replica)
{
    struct raft_output *out = &replica->out;
    uint32_t snapshot_to[RAFT_MEMBERS_MAX];
    unsigned snapshot_count = out->snapshot_count;

    memcpy(snapshot_to, out->snapshot_to, sizeof snapshot_to);
    replica->stepped = false;
    if (out->contradicts)
        tell_contradiction(replica, out->contradicts);
    if (out->members_changed)
        replica_take_members(replica);
    if (out->store_id)
        submit(replica, out);
    send_messages(replica, out);
    if (replica->commit_index < out->commit_index)
        replica->commit_index = out->commit_index;
    apply(replica);
    serve_reads(replica, out->reads_ready);
    if (out->reads_lost)
        replica_fail_reads(&replica->reads, "leadership was lost");
    lose_proposals(replica);
    raft_output_clear(out);
    replica_snapshot_send(replica, snapshot_to, snapshot_count);
    replica_snapshot_check(replica);
}
