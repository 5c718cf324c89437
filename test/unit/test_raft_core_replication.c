/* How logs become equal and when an entry is committed. m1 is the real core;
 * the rest is played. */
#include "test/unit/raft_story.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const uint64_t empty[] = {0};

static struct raft_message equal(uint32_t from, uint64_t term, uint64_t index)
{
    return (struct raft_message){
        .kind = RAFT_APPEND_RESULT,
        .from = from,
        .term = term,
        .last_index = index,
        .match_index = index,
        .granted = true,
    };
}

/* Figure 8: the leader of term 4 may not commit its entry of term 2 by
 * counting, though a quorum has it: S5 could still be elected and overwrite
 * it. With an entry of its own term it may, and does so for both. */
static void figure_8(void **state)
{
    struct raft_story *story =
        raft_story_restart(5, 3, (const uint64_t[]){1, 2, 0});

    (void)state;
    raft_story_lead(story);
    assert_int_equal(raft_last_index(raft_story_core(story)), 3);
    raft_story_stored(story, 2);
    raft_story_get(story, equal(2, 4, 2));
    raft_story_get(story, equal(3, 4, 2));
    raft_story_expect(story, "");
    raft_story_get(story, equal(2, 4, 3));
    raft_story_expect(story, "");
    raft_story_get(story, equal(3, 4, 3));
    raft_story_expect(story, "[237] commit 3\n");
    raft_story_free(story);
}

/* The leader's own copy counts when its disk has it; its followers' may be
 * enough before. */
static void only_durable_copies_count(void **state)
{
    struct raft_story *story = raft_story_new(3);

    (void)state;
    raft_story_lead(story);
    raft_story_get(story, equal(2, 1, 1));
    raft_story_expect(story, "");
    raft_story_stored(story, 2);
    raft_story_expect(story, "[237] commit 1\n");
    raft_story_propose(story, 1, 8);
    raft_story_expect(story, "[237] write 3: entries 2..2\n"
                             "[237] to m2: append 1@1 +1, commit 1\n"
                             "[237] to m3: append 1@1 +1, commit 1\n");
    raft_story_get(story, equal(2, 1, 2));
    raft_story_get(story, equal(3, 1, 2));
    raft_story_expect(story, "[237] commit 2\n"); /* 3 is not stored yet */
    raft_story_free(story);
}

/* Entries are acknowledged when they are durable, several together; a
 * heartbeat is answered at once with what is. */
static void a_follower_acknowledges_what_is_durable(void **state)
{
    struct raft_story *story = raft_story_restart(3, 2, empty);
    struct raft_message head = {.from = 2, .term = 2};

    (void)state;
    raft_story_append(story, head, (const uint64_t[]){1, 2, 0});
    raft_story_expect(story, "[0] write 1: entries 1..2\n");
    head.last_index = 2;
    head.last_term = 2;
    raft_story_append(story, head, (const uint64_t[]){2, 0});
    raft_story_expect(story, "[0] write 2: entries 3..3\n");
    head.last_index = 3;
    head.commit_index = 9;
    raft_story_append(story, head, empty);
    raft_story_expect(story, "[0] to m2: equal 3, durable 0\n"
                             "[0] commit 3\n");
    raft_story_stored(story, 2);
    raft_story_expect(story, "[0] to m2: equal 3, durable 3\n");
    raft_story_free(story);
}

/* Nothing is said in a term that a crash could take back. */
static void a_follower_answers_when_its_term_is_durable(void **state)
{
    struct raft_story *story = raft_story_new(3);

    (void)state;
    raft_story_append(story, (struct raft_message){.from = 2, .term = 2},
                      empty);
    raft_story_expect(story, "[0] follower, term 2\n"
                             "[0] write 1: term 2, vote m0\n"
                             "[0] to m2 after the write: equal 0, durable 0\n");
    raft_story_free(story);
}

static void a_duplicate_append_does_not_truncate(void **state)
{
    struct raft_story *story = raft_story_restart(3, 2, empty);
    struct raft_message head = {.from = 2, .term = 2};

    (void)state;
    raft_story_append(story, head, (const uint64_t[]){1, 1, 2, 2, 0});
    raft_story_stored(story, 1);
    raft_story_expect(story, "[0] write 1: entries 1..4\n"
                             "[0] to m2: equal 4, durable 4\n");
    raft_story_append(story, head, (const uint64_t[]){1, 1, 0});
    raft_story_expect(story, "[0] to m2: equal 4, durable 4\n");
    assert_int_equal(raft_last_index(raft_story_core(story)), 4);
    /* One that overlaps brings only what is new; one that differs cuts. */
    raft_story_append(story, head, (const uint64_t[]){1, 1, 2, 2, 2, 0});
    raft_story_expect(story, "[0] write 2: entries 5..5\n");
    raft_story_append(story, (struct raft_message){.from = 3, .term = 3},
                      (const uint64_t[]){1, 1, 3, 0});
    raft_story_expect(story, "[0] follower, term 3\n"
                             "[0] write 3: term 3, vote m0 entries 3..3\n");
    assert_int_equal(raft_last_index(raft_story_core(story)), 3);
    raft_story_free(story);
}

/* No correct leader lacks what is committed. Who would have us replace it is
 * not followed, whether its entries begin there, before, or are much older. */
static void what_is_committed_is_not_replaced(void **state)
{
    struct raft_story *story = raft_story_restart(3, 2, empty);
    struct raft_message head = {.from = 2, .term = 2, .commit_index = 3};
    struct raft_message liar = {.from = 3, .term = 3};

    (void)state;
    raft_story_append(story, head, (const uint64_t[]){1, 2, 2, 2, 0});
    raft_compact(raft_story_core(story), 2, 3);
    raft_story_expect(story, "[0] write 1: entries 1..4\n"
                             "[0] commit 3\n");
    raft_story_append(story, liar, (const uint64_t[]){1, 1, 1, 0});
    raft_story_expect(story, "[0] follower, term 3\n"
                             "[0] write 2: term 3, vote m0\n"
                             "[0] m3 contradicts\n");
    assert_int_equal(raft_leader(raft_story_core(story)), RAFT_NOBODY);
    liar.last_index = 2;
    liar.last_term = 2;
    raft_story_append(story, liar, (const uint64_t[]){3, 0});
    raft_story_expect(story, "[0] m3 contradicts\n");
    assert_int_equal(raft_last_index(raft_story_core(story)), 4);
    /* What is not committed is, as ever. */
    liar.last_index = 3;
    raft_story_append(story, liar, (const uint64_t[]){3, 0});
    raft_story_expect(story, "[0] write 3: entries 4..4\n");
    raft_story_free(story);
}

/* In its term a leader's log only grows: what it sent is what it has. */
static void a_leader_takes_nothing_back(void **state)
{
    struct raft_story *story = raft_story_restart(3, 3, empty);
    struct raft_message head = {.from = 2, .term = 3};
    struct raft_message back = {.from = 2, .term = 3, .commit_index = 3};

    (void)state;
    raft_story_append(story, head, (const uint64_t[]){1, 3, 3, 0});
    raft_story_expect(story, "[0] write 1: entries 1..3\n");
    raft_story_append(story, back, (const uint64_t[]){2, 0});
    raft_story_expect(story, "[0] m2 contradicts\n");
    assert_int_equal(raft_last_index(raft_story_core(story)), 3);
    assert_int_equal(raft_commit_index(raft_story_core(story)), 0);
    raft_story_free(story);
}

/* ABA on the disk: entry 2@2 is written, cut off and appended again. The
 * first write's completion may not vouch for the third. */
static void a_late_write_vouches_for_nothing_new(void **state)
{
    struct raft_story *story = raft_story_restart(3, 2, empty);
    struct raft_message first = {.from = 2, .term = 2};
    struct raft_message next = {
        .from = 3, .term = 3, .last_index = 1, .last_term = 1};
    struct raft_message again = {
        .from = 2, .term = 4, .last_index = 1, .last_term = 1};

    (void)state;
    raft_story_append(story, first, (const uint64_t[]){1, 2, 0});
    raft_story_append(story, next, (const uint64_t[]){3, 0});
    raft_story_append(story, again, (const uint64_t[]){2, 4, 0});
    raft_story_expect(story, "[0] write 1: entries 1..2\n"
                             "[0] follower, term 3\n"
                             "[0] write 2: term 3, vote m0 entries 2..2\n"
                             "[0] follower, term 4\n"
                             "[0] write 3: term 4, vote m0 entries 2..3\n");
    raft_story_stored(story, 1);
    raft_story_expect(story, "[0] to m2 after the write: equal 3, "
                             "durable 1\n");
    raft_story_stored(story, 2);
    raft_story_expect(story, "");
    raft_story_stored(story, 3);
    raft_story_expect(story, "[0] to m2: equal 3, durable 3\n");
    raft_story_free(story);
}

/* ABA on the wire: what m2 had in term 1 may be gone when m1 leads again. */
static void an_answer_of_an_older_reign_is_ignored(void **state)
{
    struct raft_story *story = raft_story_new(3);

    (void)state;
    raft_story_lead(story);
    raft_story_propose(story, 3, 8);
    raft_story_append(story, (struct raft_message){.from = 2, .term = 2},
                      (const uint64_t[]){2, 2, 2, 2, 0});
    raft_story_lead(story);
    assert_int_equal(raft_term(raft_story_core(story)), 3);
    raft_story_stored(story, 6);
    raft_story_get(story, equal(2, 1, 4));
    raft_story_get(story, equal(3, 1, 4));
    raft_story_expect(story, "");
    assert_int_equal(raft_match_index(raft_story_core(story), 2), 0);
    raft_story_free(story);
}

/* m1 follows with 1 1 1 2 2 2 3 3 3; the leader's is 1 1 1 4 4 4 4 4 4. Each
 * refusal skips a whole term. */
static void a_follower_skips_a_term_at_a_time(void **state)
{
    struct raft_story *story = raft_story_restart(
        3, 5, (const uint64_t[]){1, 1, 1, 2, 2, 2, 3, 3, 3, 0});
    struct raft_message probe = {
        .from = 2, .term = 5, .last_index = 12, .last_term = 4};

    (void)state;
    raft_story_append(story, probe, empty);
    raft_story_expect(story, "[0] to m2: refused 12, term 5, try 9@3\n");
    probe.last_index = 3; /* its newest that is not newer than 3 */
    probe.last_term = 1;
    raft_story_append(story, probe, empty);
    raft_story_expect(story, "[0] to m2: equal 3, durable 3\n");
    probe.last_index = 6; /* had the leader 1 1 1 1 1 1: */
    raft_story_append(story, probe, empty);
    raft_story_expect(story, "[0] to m2: refused 6, term 5, try 3@1\n");
    raft_story_free(story);
}

/* m1 leads with 1 1 1 4 4 4 and 5; m2 has 1 1 1 2 2 2 3 3 3. */
static void a_leader_skips_a_term_at_a_time(void **state)
{
    struct raft_story *story =
        raft_story_restart(3, 4, (const uint64_t[]){1, 1, 1, 4, 4, 4, 0});
    struct raft_message refusal = {.kind = RAFT_APPEND_RESULT,
                                   .from = 2,
                                   .term = 5,
                                   .last_index = 6,
                                   .hint_index = 5,
                                   .last_term = 2};

    (void)state;
    raft_story_lead(story);
    raft_story_get(story, refusal);
    raft_story_expect(story, "[237] to m2: append 3@1 +0, commit 0\n");
    raft_story_get(story, refusal); /* twice: an answer to an older question */
    raft_story_expect(story, "");
    raft_story_get(story, equal(2, 5, 3));
    raft_story_expect(story, "[237] to m2: append 3@1 +4, commit 0\n");
    raft_story_get(story, refusal); /* and late: sent on to be sure */
    raft_story_expect(story, "[237] to m2: append 3@1 +0, commit 0\n");
    raft_story_free(story);
}

/* Four messages of at most 1000 bytes; an entry counts 32 more than it has.
 * What does not fit leaves together when an answer makes room. */
static void appends_are_pipelined_within_limits(void **state)
{
    struct raft_story *story = raft_story_new(2);

    (void)state;
    raft_story_lead(story);
    raft_story_stored(story, 2);
    raft_story_get(story, equal(2, 1, 1));
    raft_story_expect(story, "[237] commit 1\n");
    raft_story_propose(story, 7, 418); /* 450 each: two a message */
    raft_story_expect(story, "[237] write 3: entries 2..8\n"
                             "[237] to m2: append 1@1 +2, commit 1\n"
                             "[237] to m2: append 3@1 +2, commit 1\n"
                             "[237] to m2: append 5@1 +2, commit 1\n"
                             "[237] to m2: append 7@1 +1, commit 1\n");
    raft_story_propose(story, 1, 8);
    raft_story_propose(story, 1, 8);
    raft_story_expect(story, "[237] write 4: entries 9..9\n"
                             "[237] write 5: entries 10..10\n");
    raft_story_get(story, equal(2, 1, 3));
    raft_story_expect(story, "[237] to m2: append 8@1 +2, commit 1\n");
    raft_story_propose(story, 1, 8);
    raft_story_expect(story, "[237] write 6: entries 11..11\n");
    raft_story_get(story, equal(2, 1, 8));
    raft_story_expect(story, "[237] to m2: append 10@1 +1, commit 1\n");
    /* In bytes: one of 4000 fills it all, though it is one message. */
    raft_story_get(story, equal(2, 1, 11));
    raft_story_propose(story, 1, 4000);
    raft_story_propose(story, 1, 8);
    raft_story_expect(story, "[237] write 7: entries 12..12\n"
                             "[237] to m2: append 11@1 +1, commit 1\n"
                             "[237] write 8: entries 13..13\n");
    raft_story_free(story);
}

/* A lost append is noticed by the heartbeat after it, and sent again. */
static void a_lost_append_is_sent_again(void **state)
{
    struct raft_story *story = raft_story_new(2);
    struct raft_message refusal = {.kind = RAFT_APPEND_RESULT,
                                   .from = 2,
                                   .term = 1,
                                   .last_index = 3,
                                   .hint_index = 1,
                                   .last_term = 1};

    (void)state;
    raft_story_lead(story);
    raft_story_get(story, equal(2, 1, 1));
    raft_story_propose(story, 2, 8); /* lost */
    raft_story_until(story, 287);
    raft_story_expect(story, "[237] write 3: entries 2..3\n"
                             "[237] to m2: append 1@1 +2, commit 0\n"
                             "[287] to m2: append 3@1 +0, commit 0\n");
    raft_story_get(story, refusal);
    raft_story_get(story, equal(2, 1, 1));
    raft_story_expect(story, "[287] to m2: append 1@1 +0, commit 0\n"
                             "[287] to m2: append 1@1 +2, commit 0\n");
    /* So is what was in flight when the connection broke. */
    raft_peer_lost(raft_story_core(story), 2, 287, raft_story_output(story));
    raft_story_note(story);
    raft_story_propose(story, 1, 8);
    raft_story_until(story, 337);
    raft_story_expect(story, "[287] write 4: entries 4..4\n"
                             "[337] to m2: append 1@1 +0, commit 0\n");
    raft_story_free(story);
}

/* All that a store held is there, and nothing of it is known to be committed
 * until the next leader says so. */
static void a_restart_goes_on_from_the_log(void **state)
{
    struct raft_story *story =
        raft_story_restart(3, 4, (const uint64_t[]){1, 2, 4, 0});
    struct raft *raft = raft_story_core(story);
    struct raft_message head = {.from = 2,
                                .term = 4,
                                .last_index = 3,
                                .last_term = 4,
                                .commit_index = 2};

    (void)state;
    assert_int_equal(raft_last_index(raft), 3);
    assert_int_equal(raft_commit_index(raft), 0);
    raft_story_append(story, head, empty);
    raft_story_expect(story, "[0] to m2: equal 3, durable 3\n"
                             "[0] commit 2\n");
    raft_story_free(story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figure_8),
        cmocka_unit_test(only_durable_copies_count),
        cmocka_unit_test(a_follower_acknowledges_what_is_durable),
        cmocka_unit_test(a_follower_answers_when_its_term_is_durable),
        cmocka_unit_test(a_duplicate_append_does_not_truncate),
        cmocka_unit_test(what_is_committed_is_not_replaced),
        cmocka_unit_test(a_leader_takes_nothing_back),
        cmocka_unit_test(a_late_write_vouches_for_nothing_new),
        cmocka_unit_test(an_answer_of_an_older_reign_is_ignored),
        cmocka_unit_test(a_follower_skips_a_term_at_a_time),
        cmocka_unit_test(a_leader_skips_a_term_at_a_time),
        cmocka_unit_test(appends_are_pipelined_within_limits),
        cmocka_unit_test(a_lost_append_is_sent_again),
        cmocka_unit_test(a_restart_goes_on_from_the_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
