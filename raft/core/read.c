/* read.c - linearizable reads without writing to the log (chapter 6.4).
 *
 * A read is as good as one through the log when, after it was asked, a quorum
 * confirmed that we still lead, and the state holds all that was committed
 * before; which we know once an entry of our own term is. Appends carry the
 * newest read's id and answers return it, so any of them confirms; a read
 * that comes while a round is under way waits for the next one, and so shares
 * it with all others that wait. */
#include "raft/core/parts.h"

#include <assert.h>

uint64_t raft_read(struct raft *raft, uint64_t now_ms, struct raft_output *out)
{
    bool idle = raft->read_round <= raft->read_ready;

    assert(raft->role == RAFT_LEADER);
    raft_pass_time(raft, now_ms);
    raft->read_newest++;
    if (idle)
        raft_heartbeat_all(raft, out);
    raft_read_check(raft, out); /* a cluster of one */
    return raft->read_newest;
}

void raft_read_check(struct raft *raft, struct raft_output *out)
{
    uint64_t contexts[RAFT_MEMBERS_MAX];
    uint64_t confirmed;

    for (unsigned i = 0; i < raft->config.member_count; i++)
        contexts[i] = raft->peers[i].read_context;
    contexts[raft->self_position] = raft->read_newest;
    confirmed = raft_quorum_value(raft, contexts);
    if (confirmed <= raft->read_ready || !raft_leader_ready(raft))
        return;
    raft->read_ready = confirmed;
    out->reads_ready = confirmed;
    if (raft->read_newest > confirmed && raft->read_round <= confirmed)
        raft_heartbeat_all(raft, out);
}

void raft_read_lose(struct raft *raft, struct raft_output *out)
{
    if (raft->read_ready < raft->read_newest)
        out->reads_lost = true;
    raft->read_ready = raft->read_newest;
    raft->read_round = raft->read_newest;
}
