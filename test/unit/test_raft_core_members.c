/* Who belongs to the cluster, and who leads it on purpose (chapters 3.10 and
 * 4). m1 is the real core; the rest is played. */
#include "base/lang.h"
#include "test/unit/raft_members.h"
#include "test/unit/raft_story.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct raft_message stored(uint32_t from, uint64_t match)
{
    return (struct raft_message){
        .kind = RAFT_APPEND_RESULT,
        .from = from,
        .term = 1,
        .last_index = match,
        .match_index = match,
        .granted = true,
    };
}

/* m1 leads, and its no-op is on the disks of m1 and m2. */
static struct raft_story *leader(unsigned members)
{
    struct raft_story *story = raft_story_new(members);

    raft_story_lead(story);
    raft_story_stored(story, 2);
    raft_story_get(story, stored(2, 1));
    if (members > 3)
        raft_story_get(story, stored(3, 1));
    raft_story_expect(story, "[237] commit 1\n");
    return story;
}

/* It is sent the log and counts neither for commits nor for the quorum that a
 * leader must hear. */
static void a_learner_does_not_count(void **state)
{
    struct raft_story *story = leader(3);

    (void)state;
    raft_story_change(story, 3, 1, RAFT_NOBODY);
    raft_story_expect(story, "[237] write 3: entries 2..2\n"
                             "[237] to m2: append 1@1 +1, commit 1\n"
                             "[237] to m3: append 1@1 +1, commit 1\n"
                             "[237] to m4: append 2@1 +0, commit 1\n"
                             "[237] members m1 m2 m3 learner m4\n");
    raft_story_stored(story, 3);
    raft_story_get(story, (struct raft_message){.kind = RAFT_APPEND_RESULT,
                                                .from = 4,
                                                .term = 1,
                                                .last_index = 2});
    raft_story_expect(story, "[237] to m4: append 0@0 +0, commit 1\n");
    raft_story_get(story, stored(4, 0));
    raft_story_expect(story, "[237] to m4: append 0@0 +2, commit 1\n");
    raft_story_get(story, stored(4, 2));
    raft_story_expect(story, "");
    raft_story_get(story, stored(3, 2));
    raft_story_expect(story, "[237] commit 2\n");
    raft_story_until(story, 386); /* m4 alone was heard of late */
    raft_story_get(story, stored(4, 2));
    raft_story_until(story, 387);
    assert_int_equal(raft_role(raft_story_core(story)), RAFT_FOLLOWER);
    raft_story_free(story);
}

/* A configuration counts from its entry on, not from its commit. */
static void a_new_voter_counts_at_once(void **state)
{
    struct raft_story *story = leader(3);

    (void)state;
    raft_story_change(story, 4, 0, RAFT_NOBODY);
    raft_story_stored(story, 3);
    raft_story_get(story, stored(2, 2));
    assert_int_equal(raft_commit_index(raft_story_core(story)), 1);
    raft_story_get(story, stored(3, 2));
    assert_int_equal(raft_commit_index(raft_story_core(story)), 2);
    raft_story_free(story);
}

/* What the rest has is enough as soon as the removal is in the log. */
static void who_is_removed_counts_no_more(void **state)
{
    struct raft_story *story = leader(4);

    (void)state;
    raft_story_propose(story, 1, 10);
    raft_story_change(story, 4, 0, /* without */ 4);
    raft_story_stored(story, 4);
    raft_story_get(story, stored(2, 3));
    assert_int_equal(raft_commit_index(raft_story_core(story)), 3);
    raft_story_free(story);
}

/* Two changes under way could have majorities with nobody in common; so could
 * a leader's first one and one that its predecessor left uncommitted (the
 * erratum of chapter 4). */
static void one_change_at_a_time(void **state)
{
    struct raft_story *story = raft_story_new(3);
    struct raft *raft = raft_story_core(story);

    (void)state;
    assert_false(raft_may_change(raft));
    raft_story_lead(story);
    raft_story_stored(story, 2);
    assert_false(raft_may_change(raft)); /* its term's first is not committed */
    raft_story_get(story, stored(2, 1));
    assert_true(raft_may_change(raft));
    raft_story_change(story, 3, 1, RAFT_NOBODY);
    assert_false(raft_may_change(raft));
    raft_story_stored(story, 3);
    raft_story_get(story, stored(2, 2));
    assert_true(raft_may_change(raft));
    raft_story_free(story);
}

static void append_members(struct raft_story *story, struct raft_message head,
                           struct raft_payload *members)
{
    struct raft_entry entry = {
        .term = head.term,
        .kind = RAFT_ENTRY_CONFIGURATION,
        .payload = members,
    };

    head.kind = RAFT_APPEND;
    head.entries = &entry;
    head.entry_count = 1;
    raft_story_get(story, head);
    raft_payload_drop(members);
}

/* Another leader's log cuts an uncommitted change off: the configuration
 * before it is in effect again. */
static void a_truncation_brings_the_old_members_back(void **state)
{
    struct raft_story *story = raft_story_new(3);

    (void)state;
    append_members(story, (struct raft_message){.from = 2, .term = 1},
                   raft_members(4, 0, RAFT_NOBODY));
    raft_story_expect(story, "[0] follower, term 1\n"
                             "[0] write 1: term 1, vote m0 entries 1..1\n"
                             "[0] members m1 m2 m3 m4\n");
    raft_story_append(story, (struct raft_message){.from = 3, .term = 2},
                      (const uint64_t[]){2, 0});
    raft_story_expect(story, "[0] follower, term 2\n"
                             "[0] write 2: term 2, vote m0 entries 1..1\n"
                             "[0] members m1 m2 m3\n");
    raft_story_free(story);
}

/* Who is no voter does not stand; but it answers, as it may have become one
 * without knowing, and so do others to one that they do not know yet. */
static void who_does_not_vote_does_not_stand_but_answers(void **state)
{
    struct raft_story *story = raft_story_new(3);

    (void)state;
    append_members(story, (struct raft_message){.from = 2, .term = 1},
                   raft_members(3, 0, /* without */ 1));
    raft_story_expect(story, "[0] follower, term 1\n"
                             "[0] write 1: term 1, vote m0 entries 1..1\n"
                             "[0] members m2 m3\n");
    raft_story_until(story, 2000);
    raft_story_expect(story, "");
    raft_story_get(story, (struct raft_message){.kind = RAFT_VOTE,
                                                .from = 5,
                                                .term = 2,
                                                .last_index = 1,
                                                .last_term = 1});
    raft_story_expect(story, "[2000] follower, term 2\n"
                             "[2000] write 2: term 2, vote m5\n"
                             "[2000] to m5 after the write: vote yes, "
                             "term 2\n");
    raft_story_free(story);
}

/* m2 does not know yet that m1 votes no more, and cannot win: its log is older.
 * m1 knows, and can, without its own vote; it leads until a quorum has what
 * it has. */
static void who_is_needed_stands_though_it_does_not_vote(void **state)
{
    struct raft_story *story = raft_story_new(2);
    struct raft_message ask = {.kind = RAFT_PRE_VOTE, .from = 2, .term = 2};
    struct raft_message vote = {
        .kind = RAFT_PRE_VOTE_RESULT, .from = 2, .term = 2, .granted = true};

    (void)state;
    append_members(story, (struct raft_message){.from = 2, .term = 1},
                   raft_members(2, 0, /* without */ 1));
    raft_story_stored(story, 1);
    raft_story_until(story, 500);
    raft_story_expect(story, "[0] follower, term 1\n"
                             "[0] write 1: term 1, vote m0 entries 1..1\n"
                             "[0] members m2\n"
                             "[0] to m2: equal 1, durable 1\n");
    raft_story_get(story, ask);
    raft_story_until(story, 800);
    raft_story_get(story, vote);
    vote.kind = RAFT_VOTE_RESULT;
    raft_story_stored(story, 2);
    raft_story_get(story, vote);
    raft_story_expect(story,
                      "[500] to m2: pre-vote no, term 1\n"
                      "[603] pre-candidate, term 1\n"
                      "[603] to m2: pre-vote? term 2, log 1@1\n"
                      "[800] candidate, term 2\n"
                      "[800] write 2: term 2, vote m1\n"
                      "[800] to m2 after the write: vote? term 2, log 1@1\n"
                      "[800] leader, term 2\n"
                      "[800] write 3: entries 2..2\n"
                      "[800] to m2: append 1@1 +1, commit 0\n");
    raft_story_stored(story, 3); /* its own disk does not count */
    raft_story_expect(story, "");
    raft_story_get(story, (struct raft_message){.kind = RAFT_APPEND_RESULT,
                                                .from = 2,
                                                .term = 2,
                                                .last_index = 2,
                                                .match_index = 2,
                                                .granted = true});
    raft_story_until(story, 860);
    raft_story_expect(story, "[800] commit 2\n"
                             "[850] follower, term 2\n");
    raft_story_free(story);
}

/* ---- transfer ---- */

/* The other has to show that it stores, and is brought to the end of the log
 * then. */
static void leadership_is_handed_over(void **state)
{
    struct raft_story *story = leader(3);
    struct raft *raft = raft_story_core(story);

    (void)state;
    raft_story_propose(story, 1, 10);
    raft_story_stored(story, 3);
    raft_story_expect(story, "[237] write 3: entries 2..2\n"
                             "[237] to m2: append 1@1 +1, commit 1\n"
                             "[237] to m3: append 1@1 +1, commit 1\n");
    raft_transfer(raft, 2, 237, raft_story_output(story));
    raft_story_note(story);
    raft_story_expect(story, "");
    assert_true(raft_hands_over(raft));
    assert_false(raft_may_change(raft));
    assert_true(raft_accepts(raft));
    raft_story_propose(story, 1, 10);
    raft_story_stored(story, 4);
    raft_story_expect(story, "[237] write 4: entries 3..3\n"
                             "[237] to m2: append 2@1 +1, commit 1\n"
                             "[237] to m3: append 2@1 +1, commit 1\n");
    raft_story_get(story, stored(2, 2));
    assert_false(raft_accepts(raft));
    raft_story_expect(story, "[237] commit 2\n");
    raft_story_get(story, stored(2, 3));
    raft_story_expect(story, "[237] to m2: take over, term 1\n"
                             "[237] commit 3\n");
    raft_story_free(story);
}

static void who_is_told_to_take_over_stands_at_once(void **state)
{
    struct raft_story *story = raft_story_new(3);

    (void)state;
    raft_story_append(story, (struct raft_message){.from = 2, .term = 1},
                      (const uint64_t[]){1, 0});
    raft_story_stored(story, 1);
    raft_story_expect(story, "[0] follower, term 1\n"
                             "[0] write 1: term 1, vote m0 entries 1..1\n"
                             "[0] to m2: equal 1, durable 1\n");
    raft_story_get(story, (struct raft_message){
                              .kind = RAFT_TIMEOUT_NOW, .from = 3, .term = 1});
    raft_story_expect(story, ""); /* m3 does not lead */
    raft_story_get(story, (struct raft_message){
                              .kind = RAFT_TIMEOUT_NOW, .from = 2, .term = 1});
    raft_story_expect(story,
                      "[0] candidate, term 2\n"
                      "[0] write 2: term 2, vote m1\n"
                      "[0] to m2 after the write: vote? term 2, log 1@1, "
                      "handed over\n"
                      "[0] to m3 after the write: vote? term 2, log 1@1, "
                      "handed over\n");
    raft_story_free(story);
}

static void a_transfer_that_takes_too_long_is_given_up(void **state)
{
    struct raft_story *story = leader(3);
    struct raft *raft = raft_story_core(story);

    (void)state;
    raft_story_propose(story, 1, 10);
    raft_story_stored(story, 3);
    raft_transfer(raft, 3, 237, raft_story_output(story));
    for (uint64_t at_ms = 250; at_ms < 387; at_ms += 10) {
        raft_story_until(story, at_ms);
        raft_story_get(story, stored(2, 2));
        assert_true(raft_hands_over(raft));
        assert_int_equal(raft_accepts(raft), at_ms < 300);
        if (at_ms == 290)
            raft_story_get(story, stored(3, 2)); /* and does not stand */
    }
    raft_story_until(story, 387);
    assert_false(raft_hands_over(raft));
    assert_true(raft_accepts(raft));
    raft_story_free(story);
}

/* ---- leases ---- */

/* m1 leads with leases, and m2 has promised so much. */
static struct raft_story *lease_of(uint64_t leader_ms, uint64_t promise_ms)
{
    struct raft_story *story = raft_story_new_leased(3, /* permille */ 100);
    struct raft_message answer = stored(2, 1);

    raft_story_lead(story);
    raft_story_stored(story, 2);
    answer.leader_ms = leader_ms;
    answer.promise_ms = promise_ms;
    raft_story_get(story, answer);
    raft_story_expect(story, "[237] commit 1\n");
    return story;
}

static void read_at(struct raft_story *story, uint64_t now_ms)
{
    raft_read(raft_story_core(story), now_ms, raft_story_output(story));
    raft_story_note(story);
}

/* 150 ms less a tenth from when the append left, not from when its answer
 * came. */
static void a_lease_serves_reads_until_it_ends(void **state)
{
    struct raft_story *story = lease_of(237, 150);

    (void)state;
    read_at(story, 237 + 133);
    raft_story_expect(story, "[237] reads ready 1\n");
    read_at(story, 237 + 134);
    raft_story_expect(story, "[237] to m2: append 1@1 +0, commit 1, reads 2\n"
                             "[237] to m3: append 1@1 +0, commit 1, reads 2\n");
    raft_story_free(story);
}

/* A member that was started with a shorter timeout promises less, one without
 * leases nothing; more than our own timeout is not counted on. */
static void a_lease_is_as_long_as_the_promise(void **state)
{
    static const struct {
        uint64_t promise_ms;
        uint64_t lasts_ms;
    } rows[] = {{60, 43}, {0, 0}, {400, 133}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct raft_story *story = lease_of(237, rows[i].promise_ms);

        for (uint64_t ms = 0; ms <= 140; ms++) {
            struct raft_output *out = raft_story_output(story);
            uint64_t id = raft_read(raft_story_core(story), 237 + ms, out);
            bool served = rows[i].lasts_ms > 0 && ms <= rows[i].lasts_ms;

            assert_int_equal(out->reads_ready == id, served);
            raft_story_note(story);
        }
        raft_story_free(story);
    }
}

/* Who is told to take over is bound by no promise, even when the transfer was
 * given up meanwhile. */
static void a_transfer_ends_the_leases_of_a_term(void **state)
{
    struct raft_story *story = lease_of(237, 150);
    struct raft *raft = raft_story_core(story);

    (void)state;
    raft_transfer(raft, 2, 237, raft_story_output(story));
    raft_story_note(story);
    raft_story_expect(story, "[237] to m2: take over, term 1\n");
    read_at(story, 238);
    raft_story_expect(story, "[237] to m2: append 1@1 +0, commit 1, reads 1\n"
                             "[237] to m3: append 1@1 +0, commit 1, reads 1\n");
    raft_story_free(story);
}

/* The promise: nobody else for an election timeout, whatever a lost connection
 * seems to say, even across a restart; unless the leader wishes it. */
static void the_promise_of_a_lease_is_kept(void **state)
{
    struct raft_story *story = raft_story_new_leased(3, 100);
    struct raft_message vote = {.kind = RAFT_VOTE,
                                .from = 3,
                                .term = 2,
                                .last_index = 1,
                                .last_term = 1};

    (void)state;
    raft_story_get(story, vote); /* it has just started */
    raft_story_expect(story, "");
    raft_story_until(story, 100);
    raft_story_append(story, (struct raft_message){.from = 2, .term = 1},
                      (const uint64_t[]){0});
    raft_story_expect(story,
                      "[100] follower, term 1\n"
                      "[100] write 1: term 1, vote m0\n"
                      "[100] to m2 after the write: equal 0, durable 0\n");
    raft_peer_lost(raft_story_core(story), 2, 100, raft_story_output(story));
    raft_story_until(story, 249);
    raft_story_get(story, vote);
    raft_story_expect(story, "");
    vote.handed_over = true;
    raft_story_get(story, vote);
    raft_story_expect(story, "[249] follower, term 2\n"
                             "[249] write 2: term 2, vote m3\n"
                             "[249] to m3 after the write: vote yes, "
                             "term 2\n");
    raft_story_free(story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_learner_does_not_count),
        cmocka_unit_test(a_new_voter_counts_at_once),
        cmocka_unit_test(who_is_removed_counts_no_more),
        cmocka_unit_test(one_change_at_a_time),
        cmocka_unit_test(a_truncation_brings_the_old_members_back),
        cmocka_unit_test(who_does_not_vote_does_not_stand_but_answers),
        cmocka_unit_test(who_is_needed_stands_though_it_does_not_vote),
        cmocka_unit_test(leadership_is_handed_over),
        cmocka_unit_test(who_is_told_to_take_over_stands_at_once),
        cmocka_unit_test(a_transfer_that_takes_too_long_is_given_up),
        cmocka_unit_test(a_lease_serves_reads_until_it_ends),
        cmocka_unit_test(a_lease_is_as_long_as_the_promise),
        cmocka_unit_test(a_transfer_ends_the_leases_of_a_term),
        cmocka_unit_test(the_promise_of_a_lease_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
