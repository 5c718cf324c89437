/* raft.c - a member's life: begin, events by kind, change of roles. */
#include "raft/core/raft.h"

#include "base/memory.h"
#include "raft/core/parts.h"

#include <assert.h>

static void check_config(const struct raft_config *config)
{
    assert(config->self != RAFT_NOBODY);
    assert(config->heartbeat_ms > 0);
    assert(config->election_timeout_ms > config->heartbeat_ms);
    assert(config->inflight_messages_max > 0);
    assert(config->inflight_bytes_max > 0 && config->append_bytes_max > 0);
    assert(config->lease_drift_permille < 1000);
}

static void load(struct raft *raft, const struct raft_restart *restart)
{
    struct raft_log *log = &raft->log;

    raft_log_init(log, restart->first_index);
    raft_configurations_init(&raft->configurations, restart->snapshot_index,
                             restart->configuration);
    for (size_t i = 0; i < restart->entry_count; i++) {
        if (raft_log_last(log) < restart->snapshot_index)
            raft_log_append(log, &restart->entries[i]);
        else
            raft_append_entry(raft, &restart->entries[i]);
    }
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
    struct raft_output out;

    check_config(config);
    raft->config = *config;
    raft->random.state = config->seed;
    raft->now_ms = now_ms;
    load(raft, restart);
    raft->members_stale = true;
    raft_output_init(&out);
    raft_members_settle(raft, &out);
    raft->leader_heard_ms = now_ms;
    raft_election_reset_timer(raft);
    return raft;
}

void raft_free(struct raft *raft)
{
    if (!raft)
        return;
    for (unsigned i = 0; i < raft->peer_count; i++)
        free(raft->peers[i].inflight);
    raft_configurations_fini(&raft->configurations);
    raft_log_fini(&raft->log);
    free(raft->writes.ring);
    free(raft);
}

/* Who is of an older term, or finds that another leads, follows (sections 5.1,
 * 5.2). */
void raft_become_follower(struct raft *raft, uint64_t term, uint32_t leader,
                          struct raft_output *out)
{
    assert(term >= raft->term);
    if (raft->role == RAFT_LEADER) {
        raft_read_lose(raft, out);
        raft_election_reset_timer(raft);
        raft->transfer_to = RAFT_NOBODY;
    }
    if (raft->role != RAFT_FOLLOWER || term != raft->term ||
        leader != raft->leader)
        out->changed = true;
    raft->role = RAFT_FOLLOWER;
    raft->leader = leader;
    if (term > raft->term)
        raft_adopt_term(raft, term, RAFT_NOBODY, out);
}

/* Section 5.1: a newer term, in which nobody has our vote yet. */
void raft_adopt_term(struct raft *raft, uint64_t term, uint32_t vote,
                     struct raft_output *out)
{
    assert(term > raft->term);
    raft->term = term;
    raft->voted_for = vote;
    raft->verified_index = 0;
    raft->acked_index = 0;
    raft->leader_context = 0;
    raft->leader_ms = 0;
    raft_store_state(raft, out);
}

void raft_follow(struct raft *raft, uint64_t term, uint32_t leader,
                 struct raft_output *out)
{
    raft_become_follower(raft, term, leader, out);
    raft->leader_heard_ms = raft->now_ms;
    raft->needed = false;
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

void raft_beat(struct raft *raft, uint64_t now_ms, struct raft_output *out)
{
    raft_pass_time(raft, now_ms);
    if (raft->role == RAFT_LEADER)
        raft_leader_beat(raft, out);
}

uint64_t raft_next_tick_ms(const struct raft *raft)
{
    return raft->role == RAFT_LEADER ? raft_leader_next_tick_ms(raft)
                                     : raft->election_due_ms;
}

/* What a correct member could have sent: terms of entries only grow, up to
 * the sender's, and configurations are some. */
static bool sensible(const struct raft_message *message)
{
    uint64_t term = message->last_term;

    if (message->term == 0 || message->term > RAFT_NUMBER_MAX ||
        message->last_index > RAFT_NUMBER_MAX - message->entry_count)
        return false;
    for (size_t i = 0; i < message->entry_count; i++) {
        const struct raft_entry *entry = &message->entries[i];

        if (entry->term < term || entry->term == 0 ||
            (entry->kind == RAFT_ENTRY_CONFIGURATION &&
             !raft_configuration_valid(entry->payload)))
            return false;
        term = entry->term;
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

/* A log that lacks the newest configuration does not know everybody: who asks
 * for a vote or sends entries is answered all the same (chapter 4.1), an
 * answer from a stranger was not asked for. */
static bool from_known_or_asking(struct raft *raft,
                                 const struct raft_message *message)
{
    switch (message->kind) {
    case RAFT_PRE_VOTE:
    case RAFT_VOTE:
    case RAFT_APPEND:
        return message->from != RAFT_NOBODY;
    case RAFT_PRE_VOTE_RESULT:
    case RAFT_VOTE_RESULT:
    case RAFT_APPEND_RESULT:
    case RAFT_TIMEOUT_NOW:
        break;
    }
    return raft_peer_of(raft, message->from) != NULL;
}

void raft_receive(struct raft *raft, const struct raft_message *message,
                  uint64_t now_ms, struct raft_output *out)
{
    if (message->to != raft->config.self ||
        message->from == raft->config.self ||
        !from_known_or_asking(raft, message) || !sensible(message))
        return;
    raft_pass_time(raft, now_ms);
    if (message->kind == RAFT_VOTE && raft_election_disturbs(raft, message))
        return;
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
    case RAFT_TIMEOUT_NOW:
        raft_on_timeout_now(raft, message, out);
        return;
    }
}

void raft_peer_lost(struct raft *raft, uint32_t member, uint64_t now_ms,
                    struct raft_output *out)
{
    struct raft_peer *peer = raft_peer_of(raft, member);

    if (!peer)
        return;
    raft_pass_time(raft, now_ms);
    if (raft->role == RAFT_LEADER)
        raft_peer_disconnected(peer);
    else if (raft->role == RAFT_FOLLOWER && raft->leader == member)
        raft_election_hurry(raft, out);
}
