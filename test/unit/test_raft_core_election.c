/* How leaders come and go. m1 is the real core; the rest is played. */
#include "test/unit/raft_story.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const uint64_t empty[] = {0};

/* Pre-vote, vote, no-op; each step waits for what it must. */
static void a_leader_is_elected(void **state)
{
    struct raft_story *story = raft_story_new(3);

    (void)state;
    raft_story_until(story, 299);
    raft_story_expect(story, "[237] pre-candidate, term 0\n"
                             "[237] to m2: pre-vote? term 1, log 0@0\n"
                             "[237] to m3: pre-vote? term 1, log 0@0\n");
    raft_story_get(story, (struct raft_message){.kind = RAFT_PRE_VOTE_RESULT,
                                                .from = 2,
                                                .term = 1,
                                                .granted = true});
    raft_story_expect(story, "[299] candidate, term 1\n"
                             "[299] write 1: term 1, vote m1\n"
                             "[299] to m2 after the write: vote? term 1, "
                             "log 0@0\n"
                             "[299] to m3 after the write: vote? term 1, "
                             "log 0@0\n");
    raft_story_stored(story, 1);
    raft_story_expect(story, "");
    raft_story_get(story, (struct raft_message){.kind = RAFT_VOTE_RESULT,
                                                .from = 3,
                                                .term = 1,
                                                .granted = true});
    raft_story_expect(story, "[299] leader, term 1\n"
                             "[299] write 2: entries 1..1\n"
                             "[299] to m2: append 0@0 +1, commit 0\n"
                             "[299] to m3: append 0@0 +1, commit 0\n");
    raft_story_free(story);
}

/* Who stood, crashed and forgot its vote could be elected by answers to a
 * request that its log no longer deserves. */
static void own_vote_counts_when_durable(void **state)
{
    struct raft_story *story = raft_story_new(1);

    (void)state;
    raft_story_until(story, 237);
    raft_story_expect(story, "[237] candidate, term 1\n"
                             "[237] write 1: term 1, vote m1\n");
    raft_story_stored(story, 1);
    raft_story_expect(story, "[237] leader, term 1\n"
                             "[237] write 2: entries 1..1\n");
    raft_story_stored(story, 2);
    raft_story_expect(story, "[237] commit 1\n");
    raft_story_free(story);
}

/* A write that was under way before is not the one with the vote. */
static void an_older_write_does_not_bring_the_vote(void **state)
{
    struct raft_story *story = raft_story_new(1);
    struct raft *raft = raft_story_core(story);

    (void)state;
    raft_story_until(story, 237);
    raft_story_stored(story, 1);
    assert_int_equal(raft_role(raft), RAFT_LEADER);
    raft_story_until(story, 2100); /* its disk hung; it stands again */
    assert_int_equal(raft_role(raft), RAFT_CANDIDATE);
    raft_story_stored(story, 2);
    assert_int_equal(raft_role(raft), RAFT_CANDIDATE);
    raft_story_stored(story, 3);
    assert_int_equal(raft_role(raft), RAFT_LEADER);
    raft_story_free(story);
}

static void a_vote_is_durable_before_it_leaves(void **state)
{
    struct raft_story *story = raft_story_new(3);
    struct raft_message ask = {.kind = RAFT_VOTE, .from = 2, .term = 4};

    (void)state;
    raft_story_get(story, ask);
    raft_story_expect(story, "[0] follower, term 4\n"
                             "[0] write 1: term 4, vote m2\n"
                             "[0] to m2 after the write: vote yes, term 4\n");
    ask.from = 3; /* one vote a term */
    raft_story_get(story, ask);
    raft_story_expect(story, "[0] to m3 after the write: vote no, term 4\n");
    raft_story_stored(story, 1);
    ask.from = 2; /* asked again: the answer may have been lost */
    raft_story_get(story, ask);
    raft_story_expect(story, "[0] to m2: vote yes, term 4\n");
    raft_story_free(story);
}

static const struct {
    const char *rule;
    uint64_t last_index, last_term;
    bool granted;
} votes[] = {
    {"the same log", 3, 2, true},
    {"longer", 4, 2, true},
    {"shorter", 2, 2, false},
    {"a newer last term, though shorter", 1, 3, true},
    {"an older last term, though longer", 9, 1, false},
};

/* Section 5.4.1. */
static void only_a_log_as_new_gets_the_vote(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof votes / sizeof *votes; i++) {
        struct raft_story *story =
            raft_story_restart(3, 2, (const uint64_t[]){1, 2, 2, 0});
        struct raft_message ask = {
            .kind = RAFT_VOTE,
            .from = 2,
            .term = 3,
            .last_index = votes[i].last_index,
            .last_term = votes[i].last_term,
        };

        print_message("%s\n", votes[i].rule);
        raft_story_get(story, ask);
        raft_story_expect(story,
                          votes[i].granted
                              ? "[0] follower, term 3\n"
                                "[0] write 1: term 3, vote m2\n"
                                "[0] to m2 after the write: vote yes, term 3\n"
                              : "[0] follower, term 3\n"
                                "[0] write 1: term 3, vote m0\n"
                                "[0] to m2 after the write: vote no, term 3\n");
        raft_story_free(story);
    }
}

/* A member that was cut off has no say while there is a leader, and does not
 * even raise the term. */
static void prevote_blocks_disruption(void **state)
{
    struct raft_story *story = raft_story_restart(3, 2, empty);
    struct raft_message ask = {.kind = RAFT_PRE_VOTE, .from = 3, .term = 9};

    (void)state;
    raft_story_append(story, (struct raft_message){.from = 2, .term = 2},
                      empty);
    raft_story_expect(story, "[0] to m2: equal 0, durable 0\n");
    raft_story_until(story, 149);
    raft_story_get(story, ask);
    raft_story_expect(story, "[149] to m3: pre-vote no, term 2\n");
    assert_int_equal(raft_term(raft_story_core(story)), 2);
    raft_story_until(story, 150); /* not heard for an election timeout */
    raft_story_get(story, ask);
    raft_story_expect(story, "[150] to m3: pre-vote yes, term 9\n");
    assert_int_equal(raft_term(raft_story_core(story)), 2);
    raft_story_free(story);
}

/* A candidate behind in terms is told, so that it asks for the right one. */
static void prevote_of_an_old_term_learns_the_new(void **state)
{
    struct raft_story *story = raft_story_restart(3, 5, empty);

    (void)state;
    raft_story_get(story, (struct raft_message){
                              .kind = RAFT_PRE_VOTE, .from = 3, .term = 4});
    raft_story_expect(story, "[0] to m3: pre-vote no, term 5\n");
    raft_story_until(story, 237);
    raft_story_expect(story, "[237] pre-candidate, term 5\n"
                             "[237] to m2: pre-vote? term 6, log 0@0\n"
                             "[237] to m3: pre-vote? term 6, log 0@0\n");
    raft_story_get(story, (struct raft_message){.kind = RAFT_PRE_VOTE_RESULT,
                                                .from = 2,
                                                .term = 8});
    raft_story_expect(story, "[237] follower, term 8\n"
                             "[237] write 1: term 8, vote m0\n");
    raft_story_free(story);
}

/* CheckQuorum: one answering follower of two keeps a leader, none does not. */
static void a_leader_that_nobody_answers_steps_down(void **state)
{
    struct raft_story *story = raft_story_new(3);
    uint64_t start_ms;

    (void)state;
    raft_story_lead(story);
    raft_story_stored(story, 2);
    start_ms = raft_story_now_ms(story);
    assert_int_equal(start_ms, 237);
    raft_story_until(story, 361);
    raft_story_get(story, (struct raft_message){.kind = RAFT_APPEND_RESULT,
                                                .from = 3,
                                                .term = 1,
                                                .granted = true});
    raft_story_until(story, 510);
    assert_int_equal(raft_role(raft_story_core(story)), RAFT_LEADER);
    raft_story_until(story, 511);
    assert_int_equal(raft_role(raft_story_core(story)), RAFT_FOLLOWER);
    assert_int_equal(raft_leader(raft_story_core(story)), RAFT_NOBODY);
    assert_int_equal(raft_term(raft_story_core(story)), 1);
    raft_story_free(story);
}

/* It answers everybody and would never be replaced. */
static void a_leader_whose_disk_hangs_steps_down(void **state)
{
    struct raft_story *story = raft_story_new(3);
    struct raft *raft = raft_story_core(story);

    (void)state;
    raft_story_lead(story); /* at 237; its no-op is never stored */
    for (uint64_t at_ms = 300; at_ms <= 1700; at_ms += 50) {
        raft_story_until(story, at_ms);
        assert_int_equal(raft_role(raft), RAFT_LEADER);
        raft_story_get(story, (struct raft_message){.kind = RAFT_APPEND_RESULT,
                                                    .from = 2,
                                                    .term = 1,
                                                    .granted = true});
    }
    raft_story_until(story, 1736);
    assert_int_equal(raft_role(raft), RAFT_LEADER);
    raft_story_until(story, 1737);
    assert_int_equal(raft_role(raft), RAFT_FOLLOWER);
    raft_story_free(story);
}

/* m3 led. m1 follows it in the order of members, so goes first. */
static void a_lost_connection_speeds_up_the_election(void **state)
{
    struct raft_story *story = raft_story_restart(3, 2, empty);

    (void)state;
    raft_story_append(story, (struct raft_message){.from = 3, .term = 2},
                      empty);
    raft_story_expect(story, "[0] to m3: equal 0, durable 0\n");
    raft_story_until(story, 40);
    raft_peer_lost(raft_story_core(story), 2, 40, raft_story_output(story));
    raft_story_note(story);
    raft_story_expect(story, ""); /* no leader, no matter */
    raft_peer_lost(raft_story_core(story), 3, 40, raft_story_output(story));
    raft_story_note(story);
    raft_story_expect(story, "[40] pre-candidate, term 2\n"
                             "[40] to m2: pre-vote? term 3, log 0@0\n"
                             "[40] to m3: pre-vote? term 3, log 0@0\n");
    /* The others may not have noticed yet: again within two heartbeats. */
    assert_in_range(raft_next_tick_ms(raft_story_core(story)), 90, 139);
    /* A wrong hint: the leader is heard, and all is as before. */
    raft_story_append(story, (struct raft_message){.from = 3, .term = 2},
                      empty);
    raft_story_expect(story, "[40] follower, term 2\n"
                             "[40] to m3: equal 0, durable 0\n");
    raft_story_free(story);
}

/* m2 led. m3 goes first, m1 half a heartbeat later, and does not hold on to
 * the leader that it lost. */
static void lost_connections_do_not_split_the_vote(void **state)
{
    struct raft_story *story = raft_story_restart(3, 2, empty);

    (void)state;
    raft_story_append(story, (struct raft_message){.from = 2, .term = 2},
                      empty);
    raft_peer_lost(raft_story_core(story), 2, 0, raft_story_output(story));
    raft_story_note(story);
    raft_story_get(story, (struct raft_message){
                              .kind = RAFT_PRE_VOTE, .from = 3, .term = 3});
    raft_story_expect(story, "[0] to m2: equal 0, durable 0\n"
                             "[0] to m3: pre-vote yes, term 3\n");
    raft_story_until(story, 24);
    raft_story_expect(story, "");
    raft_story_until(story, 25);
    raft_story_expect(story, "[25] pre-candidate, term 2\n"
                             "[25] to m2: pre-vote? term 3, log 0@0\n"
                             "[25] to m3: pre-vote? term 3, log 0@0\n");
    raft_story_free(story);
}

/* Timeouts are drawn anew each time, between one and two election timeouts:
 * members that split the vote do not do so again for long. */
static void timeouts_are_spread(void **state)
{
    struct raft_story *story = raft_story_new(3);
    struct raft *raft = raft_story_core(story);
    uint64_t least = UINT64_MAX;
    uint64_t most = 0;

    (void)state;
    for (int i = 0; i < 200; i++) {
        uint64_t now_ms = raft_story_now_ms(story);
        uint64_t wait_ms = raft_next_tick_ms(raft) - now_ms;

        least = wait_ms < least ? wait_ms : least;
        most = wait_ms > most ? wait_ms : most;
        raft_tick(raft, now_ms + wait_ms, raft_story_output(story));
        raft_output_clear(raft_story_output(story));
        raft_story_until(story, now_ms + wait_ms);
    }
    assert_in_range(least, 150, 160);
    assert_in_range(most, 290, 299);
    raft_story_free(story);
}

/* A leader that was held up for longer than the others' silence may be says
 * that it is there, and judges them only after it has read what they said. */
static void a_leader_that_was_held_up_says_so(void **state)
{
    struct raft_story *story = raft_story_new(3);
    struct raft *raft = raft_story_core(story);
    uint64_t woken_ms;

    (void)state;
    raft_story_lead(story);
    woken_ms = raft_story_now_ms(story) + 400;
    raft_output_clear(raft_story_output(story));
    raft_beat(raft, woken_ms, raft_story_output(story));
    assert_int_equal(raft_role(raft), RAFT_LEADER);
    assert_true(raft_story_output(story)->message_count > 0);
    raft_output_clear(raft_story_output(story));
    raft_tick(raft, woken_ms, raft_story_output(story));
    assert_int_equal(raft_role(raft), RAFT_FOLLOWER);
    raft_story_free(story);
}

/* Nobody can be in a term after which there is none. Who heard of one goes on,
 * and stands in the next of its own. */
static void the_last_term_is_nobodys(void **state)
{
    struct raft_story *story = raft_story_new(3);
    struct raft *raft = raft_story_core(story);

    (void)state;
    for (int kind = RAFT_PRE_VOTE; kind <= RAFT_TIMEOUT_NOW; kind++)
        raft_story_get(
            story, (struct raft_message){.kind = (enum raft_message_kind)kind,
                                         .from = 2,
                                         .term = UINT64_MAX});
    assert_false(raft_snapshot_incoming(raft, 2, UINT64_MAX, 0,
                                        raft_story_output(story)));
    raft_story_note(story);
    raft_story_expect(story, "");
    raft_story_lead(story);
    assert_int_equal(raft_term(raft), 1);
    raft_story_free(story);
}

/* Nonsense from the network changes nothing. */
static void nonsense_is_ignored(void **state)
{
    struct raft_story *story = raft_story_new(3);

    (void)state;
    raft_story_get(
        story, (struct raft_message){.kind = RAFT_VOTE, .from = 0, .term = 7});
    raft_story_get(story, (struct raft_message){
                              .kind = RAFT_VOTE_RESULT, .from = 9, .term = 7});
    raft_story_get(
        story, (struct raft_message){.kind = RAFT_VOTE, .from = 1, .term = 7});
    raft_story_get(
        story, (struct raft_message){.kind = RAFT_VOTE, .from = 2, .term = 0});
    raft_story_get(story, (struct raft_message){.kind = RAFT_APPEND,
                                                .from = 2,
                                                .term = 7,
                                                .last_index = UINT64_MAX});
    raft_story_append(story, (struct raft_message){.from = 2, .term = 7},
                      (const uint64_t[]){3, 2, 0});
    raft_story_append(story, (struct raft_message){.from = 2, .term = 7},
                      (const uint64_t[]){8, 0});
    raft_story_expect(story, "");
    raft_story_free(story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leader_is_elected),
        cmocka_unit_test(own_vote_counts_when_durable),
        cmocka_unit_test(an_older_write_does_not_bring_the_vote),
        cmocka_unit_test(a_vote_is_durable_before_it_leaves),
        cmocka_unit_test(only_a_log_as_new_gets_the_vote),
        cmocka_unit_test(prevote_blocks_disruption),
        cmocka_unit_test(prevote_of_an_old_term_learns_the_new),
        cmocka_unit_test(a_leader_that_nobody_answers_steps_down),
        cmocka_unit_test(a_leader_whose_disk_hangs_steps_down),
        cmocka_unit_test(a_lost_connection_speeds_up_the_election),
        cmocka_unit_test(lost_connections_do_not_split_the_vote),
        cmocka_unit_test(timeouts_are_spread),
        cmocka_unit_test(a_leader_that_was_held_up_says_so),
        cmocka_unit_test(the_last_term_is_nobodys),
        cmocka_unit_test(nonsense_is_ignored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
