/* replication.c - the leader's side of section 5.3.
 *
 *               granted                  granted
 *      PROBE ------------> REPLICATE <---------.
 *       ^ ^  <------------    |                |
 *       | |  refused, lost    |                |
 *       | '------------- SNAPSHOT              |
 *       |   stream ended    ^                  |
 *       '-------------------' what comes next is compacted
 *
 * A reign begins optimistic: all logs are taken for equal, so that the no-op
 * goes out at once. PROBE asks with empty appends where they are. REPLICATE
 * sends ahead of the acknowledgements, up to the limits in messages and bytes
 * (chapter 10.2.2); what does not fit waits and leaves together. A lost append
 * shows when the next one, or a heartbeat, is refused. */
#include "raft/core/parts.h"

#include "base/memory.h"

#include <assert.h>

static void inflight_clear(struct raft_peer *peer)
{
    peer->inflight_first = 0;
    peer->inflight_count = 0;
    peer->inflight_bytes = 0;
}

static bool inflight_full(const struct raft *raft, const struct raft_peer *peer)
{
    return peer->inflight_count == raft->config.inflight_messages_max ||
           peer->inflight_bytes >= raft->config.inflight_bytes_max;
}

static void inflight_add(const struct raft *raft, struct raft_peer *peer,
                         struct raft_inflight inflight)
{
    unsigned at = (peer->inflight_first + peer->inflight_count) %
                  raft->config.inflight_messages_max;

    peer->inflight[at] = inflight;
    peer->inflight_count++;
    peer->inflight_bytes += inflight.bytes;
}

static void inflight_acknowledge(const struct raft *raft,
                                 struct raft_peer *peer)
{
    while (peer->inflight_count > 0) {
        struct raft_inflight *oldest = &peer->inflight[peer->inflight_first];

        if (oldest->last_index > peer->match_index)
            return;
        peer->inflight_bytes -= oldest->bytes;
        peer->inflight_count--;
        peer->inflight_first =
            (peer->inflight_first + 1) % raft->config.inflight_messages_max;
    }
}

void raft_peer_start(const struct raft *raft, struct raft_peer *peer)
{
    peer->state = RAFT_PEER_REPLICATE;
    peer->probing = false;
    peer->next_index = raft_log_last(&raft->log) + 1;
    peer->match_index = 0;
    peer->heard_ms = raft->now_ms;
    peer->read_context = 0;
    peer->leader_ms = 0;
    peer->promised_ms = 0;
    inflight_clear(peer);
}

void raft_peer_probe(struct raft_peer *peer, uint64_t next_index)
{
    peer->state = RAFT_PEER_PROBE;
    peer->probing = false;
    peer->next_index =
        next_index > peer->match_index ? next_index : peer->match_index + 1;
    inflight_clear(peer);
}

void raft_peer_disconnected(struct raft_peer *peer)
{
    if (peer->state == RAFT_PEER_SNAPSHOT)
        return; /* the stream's end will tell */
    raft_peer_probe(peer, peer->match_index + 1);
    peer->probing = true; /* the next heartbeat asks */
}

bool raft_peer_reachable(const struct raft *raft, const struct raft_peer *peer)
{
    uint64_t term;

    return peer->next_index >= raft->log.first_index &&
           raft_log_term(&raft->log, peer->next_index - 1, &term);
}

/* Send `count` entries from next_index on. One that cannot be reached is sent
 * a bare sign of life, which index 0 always fits. */
static void send_append(struct raft *raft, struct raft_peer *peer, size_t count,
                        struct raft_output *out)
{
    bool bare =
        peer->state == RAFT_PEER_SNAPSHOT || !raft_peer_reachable(raft, peer);
    struct raft_message message = {
        .kind = RAFT_APPEND,
        .to = peer->id,
        .last_index = bare ? 0 : peer->next_index - 1,
        .commit_index = raft->commit_index,
        .read_context = raft->read_newest,
        .leader_ms = raft->now_ms,
        .entry_count = count,
    };

    if (!bare)
        (void)raft_log_term(&raft->log, message.last_index, &message.last_term);
    if (count)
        message.entries = memory_array(count, sizeof *message.entries);
    for (size_t i = 0; i < count; i++) {
        message.entries[i] =
            *raft_log_at(&raft->log, message.last_index + 1 + i);
        raft_payload_take(message.entries[i].payload);
    }
    raft_send(raft, &message, out);
}

static size_t entry_bytes(const struct raft_entry *entry)
{
    return RAFT_ENTRY_OVERHEAD_BYTES +
           (entry->payload ? entry->payload->length : 0);
}

/* One append with as many entries as a message may hold, at least one. */
static void send_batch(struct raft *raft, struct raft_peer *peer,
                       struct raft_output *out)
{
    uint64_t last = raft_log_last(&raft->log);
    struct raft_inflight batch = {.last_index = peer->next_index - 1};
    size_t count = 0;

    while (batch.last_index < last) {
        size_t bytes =
            entry_bytes(raft_log_at(&raft->log, batch.last_index + 1));

        if (count > 0 && batch.bytes + bytes > raft->config.append_bytes_max)
            break;
        batch.bytes += bytes;
        batch.last_index++;
        count++;
    }
    send_append(raft, peer, count, out);
    inflight_add(raft, peer, batch);
    peer->next_index = batch.last_index + 1;
}

/* Ask for a snapshot stream, unless nobody is there to take it. */
static void offer_snapshot(struct raft *raft, struct raft_peer *peer,
                           struct raft_output *out)
{
    if (raft->now_ms - peer->heard_ms >= raft->config.election_timeout_ms)
        return;
    peer->state = RAFT_PEER_SNAPSHOT;
    inflight_clear(peer);
    for (unsigned i = 0; i < out->snapshot_count; i++)
        if (out->snapshot_to[i] == peer->id)
            return;
    out->snapshot_to[out->snapshot_count++] = peer->id;
}

void raft_replicate(struct raft *raft, struct raft_peer *peer,
                    struct raft_output *out)
{
    if (peer->state == RAFT_PEER_SNAPSHOT ||
        (peer->state == RAFT_PEER_PROBE && peer->probing))
        return;
    if (!raft_peer_reachable(raft, peer)) {
        offer_snapshot(raft, peer, out);
        return;
    }
    if (peer->state == RAFT_PEER_PROBE) {
        peer->probing = true;
        send_append(raft, peer, 0, out);
        return;
    }
    while (peer->next_index <= raft_log_last(&raft->log) &&
           !inflight_full(raft, peer))
        send_batch(raft, peer, out);
}

void raft_replicate_all(struct raft *raft, struct raft_output *out)
{
    for (unsigned i = 0; i < raft->peer_count; i++)
        if (!raft_is_self(raft, &raft->peers[i]))
            raft_replicate(raft, &raft->peers[i], out);
}

/* Empty appends, whatever is in flight: they show losses, carry the commit
 * index and confirm reads. A snapshot that failed is offered again now, not
 * at once: a follower that cannot take it must not keep us busy. */
void raft_heartbeat_all(struct raft *raft, struct raft_output *out)
{
    raft->read_round = raft->read_newest;
    for (unsigned i = 0; i < raft->peer_count; i++) {
        struct raft_peer *peer = &raft->peers[i];

        if (raft_is_self(raft, peer))
            continue;
        send_append(raft, peer, 0, out);
        peer->probing = peer->state == RAFT_PEER_PROBE;
        if (peer->probing && !raft_peer_reachable(raft, peer))
            offer_snapshot(raft, peer, out);
    }
}

/* The follower's log is equal to ours up to in->last_index, and durable up to
 * in->match_index. Late and repeated answers only repeat what we know. */
static void on_granted(struct raft *raft, struct raft_peer *peer,
                       const struct raft_message *in, struct raft_output *out)
{
    bool more = in->match_index > peer->match_index;

    if (more)
        peer->match_index = in->match_index;
    inflight_acknowledge(raft, peer);
    /* A snapshot is over when it shows here, or was not needed after all. It
     * may not be durable there yet: a slow disk is no reason to send it again.
     */
    if (peer->state == RAFT_PEER_PROBE ||
        (peer->state == RAFT_PEER_SNAPSHOT &&
         in->last_index + 1 >= raft->log.first_index)) {
        peer->state = RAFT_PEER_REPLICATE;
        if (peer->next_index <= in->last_index)
            peer->next_index = in->last_index + 1;
    }
    if (peer->next_index <= peer->match_index)
        peer->next_index = peer->match_index + 1;
    if (more)
        raft_commit_count(raft, out);
    raft_replicate(raft, peer, out);
}

/* Refused: something before was lost, or the logs differ. Both sides skip a
 * whole term at a time (end of section 5.3), so a probe is needed for each
 * term in which they differ, not for each entry. */
static void on_refused(struct raft *raft, struct raft_peer *peer,
                       const struct raft_message *in, struct raft_output *out)
{
    uint64_t equal;

    if (peer->state == RAFT_PEER_SNAPSHOT ||
        in->last_index <= peer->match_index)
        return;
    if (peer->state == RAFT_PEER_PROBE &&
        in->last_index + 1 != peer->next_index)
        return; /* an answer to an older question */
    if (in->hint_index >= in->last_index)
        return; /* makes no sense */
    equal = raft_log_floor(&raft->log, in->hint_index, in->last_term);
    raft_peer_probe(peer, equal + 1);
    raft_replicate(raft, peer, out);
}

/* We count on no more than on our own timeout, the length that the bound on
 * the clocks is stated for. */
static void note_promise(const struct raft *raft, struct raft_peer *peer,
                         const struct raft_message *in)
{
    uint64_t length_ms = raft->config.election_timeout_ms;

    if (in->leader_ms <= peer->leader_ms)
        return;
    if (in->promise_ms < length_ms)
        length_ms = in->promise_ms;
    peer->leader_ms = in->leader_ms;
    peer->promised_ms = length_ms ? in->leader_ms + length_ms : 0;
}

void raft_on_append_result(struct raft *raft, const struct raft_message *in,
                           struct raft_output *out)
{
    uint64_t last = raft_log_last(&raft->log);
    struct raft_peer *peer = raft_peer_of(raft, in->from);

    /* An answer from an earlier term of ours, even about the same index, may
     * tell of entries that were truncated since (ABA). */
    if (raft->role != RAFT_LEADER || in->term != raft->term)
        return;
    if (in->match_index > last || in->last_index > last ||
        in->read_context > raft->read_newest || in->leader_ms > raft->now_ms)
        return;
    peer->heard_ms = raft->now_ms;
    note_promise(raft, peer, in);
    if (in->read_context > peer->read_context) {
        peer->read_context = in->read_context;
        raft_read_check(raft, out);
    }
    if (in->granted)
        on_granted(raft, peer, in, out);
    else
        on_refused(raft, peer, in, out);
    raft_transfer_check(raft, peer, out);
}
