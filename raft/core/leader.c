/* leader.c - beginning and end of a reign. */
#include "raft/core/parts.h"

#include <assert.h>

/* The leader's first entry is its own: only once that is committed does it
 * know what is (section 8), and may count replicas (5.4.2). */
void raft_become_leader(struct raft *raft, struct raft_output *out)
{
    struct raft_entry noop = {.term = raft->term, .kind = RAFT_ENTRY_NOOP};

    raft->role = RAFT_LEADER;
    raft->leader = raft->config.self;
    raft->heartbeat_due_ms = raft->now_ms + raft->config.heartbeat_ms;
    raft->term_start_index = raft_log_last(&raft->log) + 1;
    raft->lease_over = false;
    raft->needed = false;
    out->changed = true;
    for (unsigned i = 0; i < raft->peer_count; i++)
        raft_peer_start(raft, &raft->peers[i]);

    raft_append_entry(raft, &noop);
    raft_store_entries(raft, raft->term_start_index, out);
    raft_replicate_all(raft, out);
}

/* When a quorum, we too, was last heard. */
static uint64_t quorum_heard_ms(const struct raft *raft)
{
    uint64_t heard_ms[RAFT_MEMBERS_MAX];

    for (unsigned i = 0; i < raft->peer_count; i++)
        heard_ms[i] = raft_is_self(raft, &raft->peers[i])
                          ? raft->now_ms
                          : raft->peers[i].heard_ms;
    return raft_quorum_value(raft, heard_ms);
}

/* A heartbeat, when one is due (section 5.2). */
void raft_leader_beat(struct raft *raft, struct raft_output *out)
{
    if (raft->now_ms < raft->heartbeat_due_ms)
        return;
    raft->heartbeat_due_ms = raft->now_ms + raft->config.heartbeat_ms;
    raft_heartbeat_all(raft, out);
}

/* CheckQuorum (chapter 6.2): a leader that nobody answers makes room, so that
 * its clients look for another one. So does one whose disk hangs: it answers
 * well and would never be replaced. And one that is no voter, once a quorum has
 * its log. */
void raft_leader_tick(struct raft *raft, struct raft_output *out)
{
    uint64_t silent_ms = raft->now_ms - quorum_heard_ms(raft);

    if (silent_ms >= raft->config.election_timeout_ms ||
        raft_disk_hangs(raft) ||
        (!raft_votes(raft) && raft_leader_ready(raft))) {
        raft_become_follower(raft, raft->term, RAFT_NOBODY, out);
        return;
    }
    raft_transfer_expire(raft, out);
    raft_leader_beat(raft, out);
}

uint64_t raft_leader_next_tick_ms(const struct raft *raft)
{
    uint64_t due_ms = quorum_heard_ms(raft) + raft->config.election_timeout_ms;

    if (raft->heartbeat_due_ms < due_ms)
        due_ms = raft->heartbeat_due_ms;
    if (raft->transfer_to != RAFT_NOBODY && raft->transfer_due_ms < due_ms)
        due_ms = raft->transfer_due_ms;
    return due_ms;
}

uint64_t raft_propose(struct raft *raft, struct raft_payload *const *commands,
                      size_t count, struct raft_output *out)
{
    uint64_t first = raft_log_last(&raft->log) + 1;

    assert(raft_accepts(raft) && count > 0);
    for (size_t i = 0; i < count; i++) {
        struct raft_entry entry = {
            .term = raft->term,
            .kind = RAFT_ENTRY_COMMAND,
            .payload = commands[i],
        };

        raft_append_entry(raft, &entry);
    }
    raft_store_entries(raft, first, out);
    raft_replicate_all(raft, out);
    return first;
}
