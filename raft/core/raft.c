/* raft.c - a member's life: begin, events by kind, change of roles. */
#include "raft/core/raft.h"

#include "base/memory.h"
#include "raft/core/parts.h"

#include <assert.h>

static void check_config(const struct raft_config *config)
{
    assert(config->member_count > 0);
    assert(config->member_count <= RAFT_MEMBERS_MAX);
    assert(config->heartbeat_ms > 0);
    assert(config->election_timeout_ms > config->heartbeat_ms);
    assert(config->inflight_messages_max > 0);
    assert(config->inflight_bytes_max > 0 && config->append_bytes_max > 0);
}

static void load(struct raft *raft, const struct raft_restart *restart)
{
    struct raft_log *log = &raft->log;

    raft_log_init(log, restart->first_index);
    for (size_t i = 0; i < restart->entry_count; i++)
        raft_log_append(log, &restart->entries[i]);
    log->snapshot_index = restart->snapshot_index;
    log->snapshot_term = restart->snapshot_term;
    assert(log->snapshot_index + 1 >= log->first_index);
    assert(log->snapshot_index <= raft_log_last(log));

    raft->term = restart->term;
    raft->voted_for = restart->voted_for;
    raft->durable_index = raft_log_last(log);
    raft->commit_index = log->snapshot_index;
}

struct raft *raft_new(const struct raft_config *config,
                      const struct raft_restart *restart, uint64_t now_ms)
{
    struct raft *raft = memory_new(sizeof *raft);
    int self;

    check_config(config);
    raft->config = *config;
    raft->quorum = config->member_count / 2 + 1;
    self = raft_position(raft, config->self);
    assert(self >= 0);
    raft->self_position = (unsigned)self;
    raft->random.state = config->seed;
    raft->now_ms = now_ms;
    for (unsigned i = 0; i < config->member_count; i++) {
        raft->peers[i].id = config->members[i];
        raft->peers[i].inflight = memory_array(config->inflight_messages_max,
                                               sizeof(struct raft_inflight));
    }
    load(raft, restart);
    raft_election_reset_timer(raft);
    return raft;
}

void raft_free(struct raft *raft)
{
    if (!raft)
        return;
    for (unsigned i = 0; i < raft->config.member_count; i++)
        free(raft->peers[i].inflight);
    raft_log_fini(&raft->log);
    free(raft->writes.ring);
    free(raft);
}

int raft_position(const struct raft *raft, uint32_t member)
{
    for (unsigned i = 0; i < raft->config.member_count; i++)
        if (raft->config.members[i] == member)
            return (int)i;
    return -1;
}

uint64_t raft_quorum_value(const struct raft *raft,
                           const uint64_t values[RAFT_MEMBERS_MAX])
{
    uint64_t best[RAFT_MEMBERS_MAX];

    for (unsigned i = 0; i < raft->config.member_count; i++) {
        unsigned at = i;

        for (; at > 0 && best[at - 1] < values[i]; at--)
            best[at] = best[at - 1];
        best[at] = values[i];
    }
    return best[raft->quorum - 1];
}

void raft_become_follower(struct raft *raft, uint64_t term, uint32_t leader,
                          struct raft_output *out)
{
    assert(term >= raft->term);
    if (raft->role == RAFT_LEADER) {
        raft_read_lose(raft, out);
        raft_election_reset_timer(raft);
    }
    if (raft->role != RAFT_FOLLOWER || term != raft->term ||
        leader != raft->leader)
        out->changed = true;
    raft->role = RAFT_FOLLOWER;
    raft->leader = leader;
    if (term > raft->term)
        raft_adopt_term(raft, term, RAFT_NOBODY, out);
}

void raft_adopt_term(struct raft *raft, uint64_t term, uint32_t vote,
                     struct raft_output *out)
{
    assert(term > raft->term);
    raft->term = term;
    raft->voted_for = vote;
    raft->verified_index = 0;
    raft->acked_index = 0;
    raft->leader_context = 0;
    raft_store_state(raft, out);
}

void raft_follow(struct raft *raft, uint64_t term, uint32_t leader,
                 struct raft_output *out)
{
    raft_become_follower(raft, term, leader, out);
    raft->leader_heard_ms = raft->now_ms;
    raft_election_reset_timer(raft);
}

void raft_pass_time(struct raft *raft, uint64_t now_ms)
{
    if (now_ms > raft->now_ms)
        raft->now_ms = now_ms;
}

void raft_tick(struct raft *raft, uint64_t now_ms, struct raft_output *out)
{
    raft_pass_time(raft, now_ms);
    if (raft->role == RAFT_LEADER)
        raft_leader_tick(raft, out);
    else if (raft->now_ms >= raft->election_due_ms)
        raft_election_start(raft, out);
}

uint64_t raft_next_tick_ms(const struct raft *raft)
{
    return raft->role == RAFT_LEADER ? raft_leader_next_tick_ms(raft)
                                     : raft->election_due_ms;
}

/* What a correct member could have sent: terms of entries only grow, up to
 * the sender's. */
static bool sensible(const struct raft_message *message)
{
    uint64_t term = message->last_term;

    if (message->term == 0 || message->last_index > UINT64_MAX / 2)
        return false;
    for (size_t i = 0; i < message->entry_count; i++) {
        if (message->entries[i].term < term || message->entries[i].term == 0)
            return false;
        term = message->entries[i].term;
    }
    return message->entry_count == 0 || term <= message->term;
}

/* Whether the term is one that somebody is in, so that it must be adopted
 * (section 5.1). A pre-vote only asks about one. */
static bool term_is_real(const struct raft_message *message)
{
    return message->kind != RAFT_PRE_VOTE &&
           !(message->kind == RAFT_PRE_VOTE_RESULT && message->granted);
}

void raft_receive(struct raft *raft, const struct raft_message *message,
                  uint64_t now_ms, struct raft_output *out)
{
    if (message->to != raft->config.self ||
        message->from == raft->config.self ||
        raft_position(raft, message->from) < 0 || !sensible(message))
        return;
    raft_pass_time(raft, now_ms);
    if (message->term > raft->term && term_is_real(message))
        raft_become_follower(raft, message->term, RAFT_NOBODY, out);

    switch (message->kind) {
    case RAFT_PRE_VOTE:
        raft_on_pre_vote(raft, message, out);
        return;
    case RAFT_VOTE:
        raft_on_vote(raft, message, out);
        return;
    case RAFT_PRE_VOTE_RESULT:
    case RAFT_VOTE_RESULT:
        raft_on_vote_result(raft, message, out);
        return;
    case RAFT_APPEND:
        raft_on_append(raft, message, out);
        return;
    case RAFT_APPEND_RESULT:
        raft_on_append_result(raft, message, out);
        return;
    }
}

void raft_peer_lost(struct raft *raft, uint32_t member, uint64_t now_ms,
                    struct raft_output *out)
{
    int position = raft_position(raft, member);

    if (position < 0)
        return;
    raft_pass_time(raft, now_ms);
    if (raft->role == RAFT_LEADER)
        raft_peer_disconnected(&raft->peers[position]);
    else if (raft->role == RAFT_FOLLOWER && raft->leader == member)
        raft_election_hurry(raft, (unsigned)position, out);
}
