/* append.c - the follower's side of section 5.3.
 *
 * An append that brings nothing new is answered at once: it keeps the leader
 * in office and confirms its reads. One that brings entries is answered when
 * they are durable; a slow disk thereby answers several together. */
#include "raft/core/parts.h"

#include <assert.h>

/* Durable here and equal to the leader's log: what it may count. */
static uint64_t match_index(const struct raft *raft)
{
    return raft->durable_index < raft->verified_index ? raft->durable_index
                                                      : raft->verified_index;
}

/* Without leases of our own we may vote for another at any time. */
static uint64_t promise_ms(const struct raft *raft)
{
    return raft->config.lease_drift_permille ? raft->config.election_timeout_ms
                                             : 0;
}

static void grant(struct raft *raft, struct raft_output *out)
{
    struct raft_message answer = {
        .kind = RAFT_APPEND_RESULT,
        .to = raft->leader,
        .last_index = raft->verified_index,
        .match_index = match_index(raft),
        .read_context = raft->leader_context,
        .leader_ms = raft->leader_ms,
        .promise_ms = promise_ms(raft),
        .granted = true,
    };

    raft->acked_index = answer.match_index;
    raft_send(raft, &answer, out);
}

void raft_append_acknowledge(struct raft *raft, struct raft_output *out)
{
    if (raft->leader != RAFT_NOBODY && match_index(raft) > raft->acked_index)
        grant(raft, out);
}

/* Also answers leaders of old terms: by our term they see that they are. */
static void refuse(struct raft *raft, const struct raft_message *in,
                   struct raft_output *out)
{
    struct raft_message answer = {
        .kind = RAFT_APPEND_RESULT,
        .to = in->from,
        .last_index = in->last_index,
    };

    if (in->term == raft->term) {
        answer.read_context = raft->leader_context;
        answer.leader_ms = raft->leader_ms;
        answer.promise_ms = promise_ms(raft);
        answer.hint_index = in->last_index - 1;
        answer.hint_index =
            raft_log_floor(&raft->log, answer.hint_index, in->last_term);
        (void)raft_log_term(&raft->log, answer.hint_index, &answer.last_term);
    }
    raft_send(raft, &answer, out);
}

/* Is the entry before the new ones the leader's? What is compacted was
 * committed, so every later leader has it. */
static bool fits(const struct raft *raft, const struct raft_message *in)
{
    uint64_t term;

    if (in->last_index > raft_log_last(&raft->log))
        return false;
    if (!raft_log_term(&raft->log, in->last_index, &term))
        return true;
    return term == in->last_term;
}

/* No leader replaces what is committed, nor what it sent before in its term. */
static bool contradicts(const struct raft *raft, const struct raft_message *in)
{
    uint64_t index = in->last_index;
    uint64_t term;

    for (size_t i = 0; i < in->entry_count; i++) {
        index++;
        if (index > raft->commit_index && index > raft->verified_index)
            return false;
        if (raft_log_term(&raft->log, index, &term) &&
            term != in->entries[i].term)
            return true;
    }
    return false;
}

/* Append what is new. Only an entry that differs cuts the log: an append that
 * comes twice, or late, must not take away what came after it. */
static bool take_entries(struct raft *raft, const struct raft_message *in,
                         struct raft_output *out)
{
    struct raft_log *log = &raft->log;
    uint64_t index = in->last_index;
    uint64_t changed_from = 0;

    for (size_t i = 0; i < in->entry_count; i++) {
        uint64_t term;

        index++;
        if (index < log->first_index)
            continue;
        if (index <= raft_log_last(log)) {
            (void)raft_log_term(log, index, &term);
            if (term == in->entries[i].term)
                continue;
            assert(index > raft->commit_index);
            raft_truncate(raft, index);
            raft_store_truncated(raft, index - 1);
        }
        raft_append_entry(raft, &in->entries[i]);
        if (changed_from == 0)
            changed_from = index;
    }
    raft_members_settle(raft, out);
    if (changed_from)
        raft_store_entries(raft, changed_from, out);
    if (index > raft->verified_index)
        raft->verified_index = index;
    return changed_from != 0;
}

void raft_on_append(struct raft *raft, const struct raft_message *in,
                    struct raft_output *out)
{
    uint64_t commit;

    if (in->term < raft->term) {
        refuse(raft, in, out);
        return;
    }
    if (raft->role == RAFT_LEADER)
        return; /* a second leader of our term: not one of us */
    if (contradicts(raft, in)) {
        out->contradicts = in->from;
        return;
    }
    raft_follow(raft, in->term, in->from, out);
    if (in->read_context > raft->leader_context)
        raft->leader_context = in->read_context;
    if (in->leader_ms > raft->leader_ms)
        raft->leader_ms = in->leader_ms;
    if (!fits(raft, in)) {
        refuse(raft, in, out);
        return;
    }
    if (!take_entries(raft, in, out))
        grant(raft, out);

    commit = in->commit_index < raft->verified_index ? in->commit_index
                                                     : raft->verified_index;
    raft_commit_to(raft, commit, out);
}
