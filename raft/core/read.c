/* read.c - linearizable reads without writing to the log (chapter 6.4).
 *
 * A read is as good as one through the log when, after it was asked, a quorum
 * confirmed that we still lead, and the state holds all that was committed
 * before; which we know once an entry of our own term is. Appends carry the
 * newest read's id and answers return it, so any of them confirms; a read
 * that comes while a round is under way waits for the next one, and so shares
 * it with all others that wait.
 *
 * With leases (6.4.1) nobody need be asked while a quorum's promise lasts to
 * vote for nobody else for an election timeout after an append. Answers return
 * our own clock as the append said it, so only its rate matters, and how long
 * the promise is: members may be started with other settings. A promise
 * does not bind who is told to take over, so that ends the term's leases. */
#include "raft/core/parts.h"

#include <assert.h>

static bool lease_holds(const struct raft *raft)
{
    uint64_t timeout_ms = raft->config.election_timeout_ms;
    uint64_t drift_ms = timeout_ms * raft->config.lease_drift_permille / 1000;
    uint64_t promised_ms[RAFT_MEMBERS_MAX];

    if (raft->config.lease_drift_permille == 0 || raft->lease_over ||
        !raft_leader_ready(raft))
        return false;
    for (unsigned i = 0; i < raft->peer_count; i++)
        promised_ms[i] = raft_is_self(raft, &raft->peers[i])
                             ? raft->now_ms + timeout_ms
                             : raft->peers[i].promised_ms;
    /* A millisecond more: clocks are read in whole ones. */
    return raft->now_ms + drift_ms + 1 < raft_quorum_value(raft, promised_ms);
}

static void serve(struct raft *raft, uint64_t id, struct raft_output *out)
{
    raft->read_ready = id;
    out->reads_ready = id;
}

uint64_t raft_read(struct raft *raft, uint64_t now_ms, struct raft_output *out)
{
    bool idle = raft->read_round <= raft->read_ready;

    assert(raft->role == RAFT_LEADER);
    raft_pass_time(raft, now_ms);
    raft->read_newest++;
    if (lease_holds(raft)) {
        serve(raft, raft->read_newest, out);
        return raft->read_newest;
    }
    if (idle)
        raft_heartbeat_all(raft, out);
    raft_read_check(raft, out); /* a cluster of one */
    return raft->read_newest;
}

void raft_read_check(struct raft *raft, struct raft_output *out)
{
    uint64_t contexts[RAFT_MEMBERS_MAX];
    uint64_t confirmed;

    for (unsigned i = 0; i < raft->peer_count; i++)
        contexts[i] = raft_is_self(raft, &raft->peers[i])
                          ? raft->read_newest
                          : raft->peers[i].read_context;
    confirmed = raft_quorum_value(raft, contexts);
    if (confirmed <= raft->read_ready || !raft_leader_ready(raft))
        return;
    serve(raft, confirmed, out);
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
