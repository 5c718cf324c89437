#include "raft/core/view.h"

#include "raft/core/parts.h"

#include <assert.h>

enum raft_role raft_role(const struct raft *raft)
{
    return raft->role;
}

uint64_t raft_term(const struct raft *raft)
{
    return raft->term;
}

uint32_t raft_vote(const struct raft *raft)
{
    return raft->voted_for;
}

uint32_t raft_leader(const struct raft *raft)
{
    return raft->leader;
}

uint64_t raft_first_index(const struct raft *raft)
{
    return raft->log.first_index;
}

uint64_t raft_last_index(const struct raft *raft)
{
    return raft_log_last(&raft->log);
}

uint64_t raft_commit_index(const struct raft *raft)
{
    return raft->commit_index;
}

uint64_t raft_settled_index(const struct raft *raft)
{
    return raft->commit_index < raft->durable_index ? raft->commit_index
                                                    : raft->durable_index;
}

uint64_t raft_term_start_index(const struct raft *raft)
{
    return raft->role == RAFT_LEADER ? raft->term_start_index : UINT64_MAX;
}

bool raft_leader_ready(const struct raft *raft)
{
    return raft->role == RAFT_LEADER &&
           raft->commit_index >= raft->term_start_index;
}

const struct raft_entry *raft_entry_at(const struct raft *raft, uint64_t index)
{
    return raft_log_at(&raft->log, index);
}

static const struct raft_peer *peer_of(const struct raft *raft, uint32_t member)
{
    int at = raft_configuration_find(raft_configuration(raft), member);

    assert(at >= 0 && raft->role == RAFT_LEADER);
    return &raft->peers[at];
}

uint64_t raft_match_index(const struct raft *raft, uint32_t member)
{
    const struct raft_peer *peer = peer_of(raft, member);

    if (raft_is_self(raft, peer))
        return raft->durable_index;
    return peer->match_index;
}

bool raft_hears(const struct raft *raft, uint32_t member)
{
    const struct raft_peer *peer = peer_of(raft, member);

    return raft_is_self(raft, peer) ||
           raft->now_ms - peer->heard_ms < raft->config.election_timeout_ms;
}

bool raft_accepts(const struct raft *raft)
{
    return raft->role == RAFT_LEADER &&
           (raft->transfer_to == RAFT_NOBODY || raft->transfer_after > 0);
}

bool raft_may_transfer(const struct raft *raft)
{
    return raft->role == RAFT_LEADER && raft->transfer_to == RAFT_NOBODY;
}

bool raft_hands_over(const struct raft *raft)
{
    return raft->role == RAFT_LEADER && raft->transfer_to != RAFT_NOBODY;
}
