/* members.c - the configuration in effect, and a peer for each of its members.
 *
 * One voter at a time comes or goes, so a majority of the old voters and one
 * of the new always have one in common (chapter 4.1). */
#include "raft/core/parts.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

struct raft_peer *raft_peer_of(struct raft *raft, uint32_t member)
{
    for (unsigned i = 0; i < raft->peer_count; i++)
        if (raft->peers[i].id == member)
            return &raft->peers[i];
    return NULL;
}

bool raft_is_self(const struct raft *raft, const struct raft_peer *peer)
{
    return peer->id == raft->config.self;
}

bool raft_votes(const struct raft *raft)
{
    for (unsigned i = 0; i < raft->peer_count; i++)
        if (raft_is_self(raft, &raft->peers[i]))
            return raft->peers[i].votes;
    return false;
}

uint64_t raft_quorum_value(const struct raft *raft,
                           const uint64_t values[RAFT_MEMBERS_MAX])
{
    uint64_t best[RAFT_MEMBERS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < raft->peer_count; i++) {
        unsigned at = count;

        if (!raft->peers[i].votes)
            continue;
        for (; at > 0 && best[at - 1] < values[i]; at--)
            best[at] = best[at - 1];
        best[at] = values[i];
        count++;
    }
    return best[raft->quorum - 1];
}

void raft_append_entry(struct raft *raft, const struct raft_entry *entry)
{
    raft_log_append(&raft->log, entry);
    if (entry->kind != RAFT_ENTRY_CONFIGURATION)
        return;
    raft_configurations_add(&raft->configurations, raft_log_last(&raft->log),
                            entry->payload);
    raft->members_stale = true;
}

void raft_truncate(struct raft *raft, uint64_t from)
{
    raft_log_truncate(&raft->log, from);
    if (raft_configurations_cut(&raft->configurations, from))
        raft->members_stale = true;
}

/* Who stays keeps what is known of it; who is new begins as a probe. */
static struct raft_peer seat(const struct raft *raft,
                             const struct raft_member *member,
                             struct raft_peer *old)
{
    struct raft_peer peer = {.id = member->id};

    if (old) {
        peer = *old;
        old->inflight = NULL; /* moved */
    } else {
        peer.inflight = memory_array(raft->config.inflight_messages_max,
                                     sizeof *peer.inflight);
        raft_peer_start(raft, &peer);
        raft_peer_probe(&peer, peer.next_index);
    }
    peer.votes = !member->learner;
    return peer;
}

void raft_members_settle(struct raft *raft, struct raft_output *out)
{
    const struct raft_configuration *now = raft_configuration(raft);
    struct raft_peer seats[RAFT_MEMBERS_MAX];
    unsigned voters = 0;

    if (!raft->members_stale)
        return;
    raft->members_stale = false;
    out->members_changed = true;
    for (unsigned i = 0; i < now->count; i++) {
        seats[i] = seat(raft, &now->members[i],
                        raft_peer_of(raft, now->members[i].id));
        voters += seats[i].votes;
    }
    for (unsigned i = 0; i < raft->peer_count; i++)
        free(raft->peers[i].inflight); /* of those who left */
    memcpy(raft->peers, seats, now->count * sizeof *seats);
    raft->peer_count = now->count;
    raft->quorum = voters / 2 + 1;
}

const struct raft_configuration *raft_configuration(const struct raft *raft)
{
    const struct raft_configurations *all = &raft->configurations;

    return &all->list[all->count - 1];
}

const struct raft_configuration *raft_configuration_at(const struct raft *raft,
                                                       uint64_t index)
{
    return raft_configurations_at(&raft->configurations, index);
}

bool raft_may_change(const struct raft *raft)
{
    return raft_may_transfer(raft) && raft_leader_ready(raft) &&
           raft_votes(raft) &&
           raft_configuration(raft)->index <= raft->commit_index;
}

/* How many voters are in one of the two only. */
static unsigned voters_apart(const struct raft_configuration *a,
                             const struct raft_configuration *b)
{
    unsigned apart = 0;

    for (unsigned i = 0; i < a->count; i++) {
        int at = raft_configuration_find(b, a->members[i].id);

        if (!a->members[i].learner && (at < 0 || b->members[at].learner))
            apart++;
    }
    return apart;
}

uint64_t raft_propose_configuration(struct raft *raft,
                                    struct raft_payload *payload,
                                    struct raft_output *out)
{
    const struct raft_entry entry = {
        .term = raft->term,
        .kind = RAFT_ENTRY_CONFIGURATION,
        .payload = payload,
    };
    const struct raft_configuration *before;
    const struct raft_configuration *now;

    assert(raft_may_change(raft));
    raft_append_entry(raft, &entry);
    now = raft_configuration(raft);
    before = now - 1;
    assert(voters_apart(before, now) + voters_apart(now, before) <= 1);
    raft_members_settle(raft, out);
    assert(raft_votes(raft));
    raft_store_entries(raft, now->index, out);
    raft_commit_count(raft, out); /* a smaller quorum may have more */
    raft_replicate_all(raft, out);
    return now->index;
}
