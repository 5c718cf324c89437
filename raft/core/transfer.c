/* transfer.c - leadership handed over on purpose (chapter 3.10).
 *
 * The other member first shows that its disk is not busy with something else:
 * we go on as before until it has what we have now. From then on nothing new
 * is accepted, so its log gets to the end of ours; then it is told to stand at
 * once. It has all that we have, so it wins, and we follow it. When it has not
 * by the end of an election timeout we go on leading; it may still win then,
 * which is an election as any other. */
#include "raft/core/parts.h"

#include <assert.h>

void raft_transfer_check(struct raft *raft, const struct raft_peer *peer,
                         struct raft_output *out)
{
    struct raft_message message = {.kind = RAFT_TIMEOUT_NOW, .to = peer->id};

    if (raft->role != RAFT_LEADER || raft->transfer_to != peer->id ||
        peer->match_index < raft->transfer_after)
        return;
    out->changed |= raft->transfer_after > 0;
    raft->transfer_after = 0;
    if (peer->match_index < raft_log_last(&raft->log))
        return;
    raft->lease_over = true;
    raft_send(raft, &message, out);
}

void raft_transfer(struct raft *raft, uint32_t member, uint64_t now_ms,
                   struct raft_output *out)
{
    struct raft_peer *peer = raft_peer_of(raft, member);

    assert(raft_may_transfer(raft));
    assert(peer && peer->votes && !raft_is_self(raft, peer));
    raft_pass_time(raft, now_ms);
    raft->transfer_to = member;
    raft->transfer_after = raft_log_last(&raft->log);
    raft->transfer_due_ms = raft->now_ms + raft->config.election_timeout_ms;
    out->changed = true;
    raft_replicate(raft, peer, out);
    raft_transfer_check(raft, peer, out);
}

void raft_transfer_expire(struct raft *raft, struct raft_output *out)
{
    if (raft->transfer_to == RAFT_NOBODY ||
        raft->now_ms < raft->transfer_due_ms)
        return;
    raft->transfer_to = RAFT_NOBODY;
    out->changed = true;
}
