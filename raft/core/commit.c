/* commit.c - what a quorum has, counted by the leader (section 5.3): an entry
 * of an earlier term is committed only by one of its own after it (5.4.2). */
#include "raft/core/parts.h"

#include <assert.h>

void raft_commit_to(struct raft *raft, uint64_t index, struct raft_output *out)
{
    assert(index <= raft_log_last(&raft->log));
    if (index <= raft->commit_index)
        return;
    raft->commit_index = index;
    out->commit_index = index;
}

/* Commit what a quorum has durably, us only as far as our own disk is. Counts
 * only entries of the present term; those before come with them (figure 8). */
void raft_commit_count(struct raft *raft, struct raft_output *out)
{
    uint64_t match[RAFT_MEMBERS_MAX];
    uint64_t index;

    for (unsigned i = 0; i < raft->peer_count; i++)
        match[i] = raft_is_self(raft, &raft->peers[i])
                       ? raft->durable_index
                       : raft->peers[i].match_index;
    index = raft_quorum_value(raft, match);
    if (index <= raft->commit_index || index < raft->term_start_index)
        return;
    raft_commit_to(raft, index, out);
    raft_read_check(raft, out);
}
