/* snapshot.c - compaction, and snapshots between members (section 7). */
#include "raft/core/parts.h"

#include <assert.h>

void raft_compact(struct raft *raft, uint64_t index, uint64_t keep_from)
{
    assert(index <= raft->commit_index);
    raft_log_compact(&raft->log, index, keep_from);
    raft_configurations_compact(&raft->configurations,
                                raft->log.snapshot_index);
}

bool raft_snapshot_incoming(struct raft *raft, uint32_t from, uint64_t term,
                            uint64_t now_ms, struct raft_output *out)
{
    if (from == RAFT_NOBODY || from == raft->config.self)
        return false;
    if (term < raft->term || term > RAFT_NUMBER_MAX ||
        (term == raft->term && raft->role == RAFT_LEADER))
        return false;
    raft_pass_time(raft, now_ms);
    raft_follow(raft, term, from, out);
    return true;
}

static bool has(const struct raft *raft, uint64_t index, uint64_t term)
{
    uint64_t have;

    return index <= raft->commit_index ||
           (raft_log_term(&raft->log, index, &have) && have == term);
}

/* What a snapshot holds is committed, so the log up to there is that of this
 * term's leader, also when it is not known who that is. */
static void verify(struct raft *raft, uint64_t index)
{
    if (raft->verified_index < index)
        raft->verified_index = index;
}

/* It is not: a leader has all that is committed, and this term's has sent
 * another log; or no member has such an index or term. */
static bool is_false(const struct raft *raft, uint64_t index, uint64_t term)
{
    return raft->role == RAFT_LEADER || index <= raft->verified_index ||
           index > RAFT_NUMBER_MAX || term == 0 || term > raft->term;
}

/* Who only dropped the snapshot would be sent it for ever. */
bool raft_snapshot_arrived(struct raft *raft, uint64_t index, uint64_t term,
                           struct raft_output *out)
{
    if (!has(raft, index, term))
        return !is_false(raft, index, term);
    verify(raft, index);
    raft_commit_to(raft, index, out);
    return false;
}

/* What we had committed stays durable as it was until the snapshot is. */
void raft_installed(struct raft *raft, uint64_t index, uint64_t term,
                    struct raft_payload *configuration, struct raft_output *out)
{
    assert(out->store_id == 0 && out->message_count == 0);
    assert(!has(raft, index, term));
    assert(raft->role != RAFT_LEADER);
    raft_store_truncated(raft, raft->commit_index);
    raft_log_reset(&raft->log, index, term);
    raft_configurations_fini(&raft->configurations);
    raft_configurations_init(&raft->configurations, index, configuration);
    raft->members_stale = true;
    raft_members_settle(raft, out);
    raft_store_entries(raft, index + 1, out);
    out->store_from = 0; /* none: the write is the snapshot */
    raft->commit_index = index;
    verify(raft, index);
}

void raft_snapshot_sent(struct raft *raft, uint32_t member, uint64_t index,
                        uint64_t now_ms, struct raft_output *out)
{
    struct raft_peer *peer = raft_peer_of(raft, member);

    if (!peer || raft->role != RAFT_LEADER)
        return;
    raft_pass_time(raft, now_ms);
    if (peer->state != RAFT_PEER_SNAPSHOT || index > raft_log_last(&raft->log))
        return;
    if (index > peer->match_index)
        peer->match_index = index; /* committed, so true in every term */
    raft_peer_probe(peer, peer->match_index + 1);
    if (index > 0 && raft_peer_reachable(raft, peer))
        raft_replicate(raft, peer, out);
    else
        peer->probing = true; /* offered again with the next heartbeat */
}
