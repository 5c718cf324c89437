/* election.c - how a leader is chosen (section 5.2, chapter 9.6).
 *
 * A member whose timer ran out first asks, in the term after its own and
 * without entering it, whether a quorum would vote for it: one that is cut
 * off, or behind, thus disturbs nobody. Yes means: a log at least as new as
 * mine, and no leader heard within the shortest election timeout.
 *
 * Who does not vote itself (a learner, or one that was removed) does not stand,
 * but answers: it may have been made a voter and not know it yet. If who asks
 * has an older log it cannot win; then we may be the only one who can, as the
 * configuration that would do without us is perhaps in our log alone. So we
 * stand all the same, without a vote of our own (chapter 4.2.2), and lead
 * until a quorum has our log. */
#include "raft/core/parts.h"

void raft_election_reset_timer(struct raft *raft)
{
    uint64_t timeout_ms = raft->config.election_timeout_ms;

    raft->election_due_ms =
        raft->now_ms + timeout_ms + random_below(&raft->random, timeout_ms);
}

static void ask_all(struct raft *raft, struct raft_message question,
                    struct raft_output *out)
{
    question.last_index = raft_log_last(&raft->log);
    question.last_term = raft_log_last_term(&raft->log);
    for (unsigned i = 0; i < raft->peer_count; i++) {
        struct raft_message message = question;

        message.to = raft->peers[i].id;
        if (raft->peers[i].votes && !raft_is_self(raft, &raft->peers[i]))
            raft_send(raft, &message, out);
    }
}

static void count_vote(struct raft *raft, uint32_t member)
{
    const struct raft_peer *peer = raft_peer_of(raft, member);

    if (peer)
        raft->granted |= 1u << (peer - raft->peers);
}

static bool won(const struct raft *raft)
{
    unsigned votes = 0;

    for (unsigned i = 0; i < raft->peer_count; i++)
        votes += raft->peers[i].votes && ((raft->granted >> i) & 1);
    return votes >= raft->quorum;
}

/* Enter the next term and ask for votes. The requests wait until the own vote
 * is durable, and only then does it count: who forgets it in a crash could
 * be answered a request that its log no longer deserves. */
static void stand(struct raft *raft, bool handed_over, struct raft_output *out)
{
    const struct raft_message question = {
        .kind = RAFT_VOTE,
        .handed_over = handed_over,
    };

    raft->role = RAFT_CANDIDATE;
    raft->leader = RAFT_NOBODY;
    raft->granted = 0;
    out->changed = true;
    raft_election_reset_timer(raft);
    raft_adopt_term(raft, raft->term + 1, raft->config.self, out);
    ask_all(raft, question, out);
}

void raft_election_start(struct raft *raft, struct raft_output *out)
{
    const struct raft_message question = {
        .kind = RAFT_PRE_VOTE,
        .term = raft->term + 1,
    };

    raft_election_reset_timer(raft);
    if (raft->role == RAFT_CANDIDATE && !raft_state_durable(raft))
        return; /* the requests have not even left */

    raft->leader = RAFT_NOBODY;
    out->changed = true;
    if (!raft_votes(raft) && !raft->needed) {
        raft->role = RAFT_FOLLOWER;
        return;
    }
    raft->role = RAFT_PRE_CANDIDATE;
    raft->granted = 0;
    count_vote(raft, raft->config.self);
    if (won(raft))
        stand(raft, false, out); /* a cluster of one */
    else
        ask_all(raft, question, out);
}

void raft_election_check(struct raft *raft, struct raft_output *out)
{
    if (!raft_state_durable(raft))
        return;
    count_vote(raft, raft->config.self);
    if (won(raft))
        raft_become_leader(raft, out);
}

/* How many voters come between the lost one and this, in a ring. */
static unsigned voters_before(struct raft *raft, uint32_t lost)
{
    unsigned at = (unsigned)(raft_peer_of(raft, lost) - raft->peers);
    unsigned voters = 0;

    for (;;) {
        const struct raft_peer *peer = &raft->peers[++at % raft->peer_count];

        if (raft_is_self(raft, peer))
            return voters;
        voters += peer->votes;
    }
}

/* The leader's process is gone, or so it seems. Everybody notices at the same
 * time; the member after the leader goes first and the others take turns. Who
 * asks before the others have noticed is refused, and soon asks again. */
void raft_election_hurry(struct raft *raft, struct raft_output *out)
{
    uint64_t heartbeat_ms = raft->config.heartbeat_ms;
    uint64_t due_ms = raft->now_ms;
    unsigned turn;

    if (raft->config.lease_drift_permille || !raft_votes(raft))
        return; /* it was promised not to; or it is not ours to do */
    turn = voters_before(raft, raft->leader);
    due_ms += turn * heartbeat_ms / 2;
    raft->leader = RAFT_NOBODY;
    out->changed = true;
    if (turn == 0) {
        raft_election_start(raft, out);
        due_ms = raft->now_ms + heartbeat_ms +
                 random_below(&raft->random, heartbeat_ms);
    }
    if (due_ms < raft->election_due_ms)
        raft->election_due_ms = due_ms;
}

/* Section 5.4.1. */
static bool as_new_as_mine(struct raft *raft, const struct raft_message *in)
{
    uint64_t last_term = raft_log_last_term(&raft->log);
    bool as_new = in->last_term > last_term ||
                  (in->last_term == last_term &&
                   in->last_index >= raft_log_last(&raft->log));

    raft->needed = raft->needed || !as_new;
    return as_new;
}

/* With leases that is a promise, which even who has restarted keeps. */
static bool leader_is_live(const struct raft *raft)
{
    if (raft->role == RAFT_LEADER)
        return true; /* or it would have stepped down: CheckQuorum */
    if (raft->leader == RAFT_NOBODY && !raft->config.lease_drift_permille)
        return false;
    return raft->now_ms <
           raft->leader_heard_ms + raft->config.election_timeout_ms;
}

bool raft_election_disturbs(const struct raft *raft,
                            const struct raft_message *in)
{
    return raft->config.lease_drift_permille && !in->handed_over &&
           leader_is_live(raft);
}

/* Chapter 9.6. */
void raft_on_pre_vote(struct raft *raft, const struct raft_message *in,
                      struct raft_output *out)
{
    bool granted = in->term > raft->term && as_new_as_mine(raft, in) &&
                   !leader_is_live(raft);
    struct raft_message answer = {
        .kind = RAFT_PRE_VOTE_RESULT,
        .to = in->from,
        .term = granted ? in->term : raft->term,
        .granted = granted,
    };

    raft_send(raft, &answer, out);
}

/* One vote a term, first come first served (section 5.2), for a log that is as
 * new as ours (5.4.1). */
void raft_on_vote(struct raft *raft, const struct raft_message *in,
                  struct raft_output *out)
{
    bool unbound =
        raft->voted_for == RAFT_NOBODY || raft->voted_for == in->from;
    struct raft_message answer = {
        .kind = RAFT_VOTE_RESULT,
        .to = in->from,
        .granted =
            in->term == raft->term && unbound && as_new_as_mine(raft, in),
    };

    if (answer.granted) {
        raft_election_reset_timer(raft);
        if (raft->voted_for == RAFT_NOBODY) {
            raft->voted_for = in->from;
            raft_store_state(raft, out);
        }
    }
    raft_send(raft, &answer, out);
}

void raft_on_vote_result(struct raft *raft, const struct raft_message *in,
                         struct raft_output *out)
{
    bool pre = in->kind == RAFT_PRE_VOTE_RESULT;
    uint64_t term = pre ? raft->term + 1 : raft->term;
    enum raft_role role = pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE;

    if (!in->granted || in->term != term || raft->role != role)
        return;
    count_vote(raft, in->from);
    if (!pre)
        raft_election_check(raft, out);
    else if (won(raft))
        stand(raft, false, out);
}

/* Chapter 3.10. */
void raft_on_timeout_now(struct raft *raft, const struct raft_message *in,
                         struct raft_output *out)
{
    if (in->term == raft->term && raft->leader == in->from &&
        raft->role == RAFT_FOLLOWER && raft_votes(raft))
        stand(raft, true, out);
}
