/* Reads and snapshots. m1 is the real core; the rest is played. */
#include "test/unit/raft_members.h"
#include "test/unit/raft_story.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct raft_message answer(uint32_t from, uint64_t index, uint64_t read)
{
    return (struct raft_message){
        .kind = RAFT_APPEND_RESULT,
        .from = from,
        .term = 1,
        .last_index = index,
        .match_index = index,
        .read_context = read,
        .granted = true,
    };
}

static void ask(struct raft_story *story)
{
    raft_read(raft_story_core(story), raft_story_now_ms(story),
              raft_story_output(story));
    raft_story_note(story);
}

/* A new leader has every committed entry but does not know which they are
 * until its no-op is committed (section 8). */
static void a_read_waits_for_the_no_op(void **state)
{
    struct raft_story *story = raft_story_new(3);

    (void)state;
    raft_story_lead(story);
    assert_false(raft_leader_ready(raft_story_core(story)));
    ask(story);
    raft_story_expect(story, "[237] to m2: append 1@1 +0, commit 0, reads 1\n"
                             "[237] to m3: append 1@1 +0, commit 0, reads 1\n");
    raft_story_get(story, answer(2, 0, 1)); /* a quorum confirms */
    raft_story_expect(story, "");
    raft_story_stored(story, 2);
    raft_story_get(story, answer(2, 1, 1));
    raft_story_expect(story, "[237] commit 1\n"
                             "[237] reads ready 1\n");
    assert_true(raft_leader_ready(raft_story_core(story)));
    raft_story_free(story);
}

/* One round serves all reads that wait when it begins, and a round that was
 * sent before a read was asked does not serve it. */
static void reads_share_a_round(void **state)
{
    struct raft_story *story = raft_story_new(3);

    (void)state;
    raft_story_lead(story);
    raft_story_stored(story, 2);
    raft_story_get(story, answer(2, 1, 0));
    ask(story);
    ask(story);
    ask(story);
    raft_story_expect(story, "[237] commit 1\n"
                             "[237] to m2: append 1@1 +0, commit 1, reads 1\n"
                             "[237] to m3: append 1@1 +0, commit 1, reads 1\n");
    raft_story_get(story, answer(3, 1, 1));
    raft_story_expect(story, "[237] to m2: append 1@1 +0, commit 1, reads 3\n"
                             "[237] to m3: append 1@1 +0, commit 1, reads 3\n"
                             "[237] reads ready 1\n");
    raft_story_get(story, answer(2, 1, 1));
    raft_story_expect(story, "");
    raft_story_get(story, answer(2, 1, 3));
    raft_story_expect(story, "[237] reads ready 3\n");
    raft_story_free(story);
}

static void a_leader_that_falls_loses_its_reads(void **state)
{
    struct raft_story *story = raft_story_new(3);

    (void)state;
    raft_story_lead(story);
    raft_story_stored(story, 2);
    raft_story_get(story, answer(2, 1, 0));
    ask(story);
    raft_story_get(story, (struct raft_message){
                              .kind = RAFT_VOTE_RESULT, .from = 3, .term = 5});
    raft_story_expect(story, "[237] commit 1\n"
                             "[237] to m2: append 1@1 +0, commit 1, reads 1\n"
                             "[237] to m3: append 1@1 +0, commit 1, reads 1\n"
                             "[237] follower, term 5\n"
                             "[237] write 3: term 5, vote m0\n"
                             "[237] reads lost\n");
    raft_story_free(story);
}

/* Lead, commit ten commands, compact to keep the last two. */
static struct raft_story *compacted(void)
{
    struct raft_story *story = raft_story_new(3);

    raft_story_lead(story);
    raft_story_propose(story, 10, 8);
    raft_story_stored(story, 3);
    raft_story_get(story, answer(2, 11, 0));
    assert_int_equal(raft_commit_index(raft_story_core(story)), 11);
    raft_compact(raft_story_core(story), 11, 10);
    assert_int_equal(raft_first_index(raft_story_core(story)), 10);
    raft_story_expect(story, "[237] write 3: entries 2..11\n"
                             "[237] to m2: append 1@1 +10, commit 0\n"
                             "[237] to m3: append 1@1 +10, commit 0\n"
                             "[237] commit 11\n");
    return story;
}

static struct raft_message refusal(uint64_t refused, uint64_t hint)
{
    return (struct raft_message){
        .kind = RAFT_APPEND_RESULT,
        .from = 3,
        .term = 1,
        .last_index = refused,
        .hint_index = hint,
        .last_term = hint ? 1 : 0,
    };
}

static void a_follower_behind_the_tail_is_offered_a_snapshot(void **state)
{
    struct raft_story *story = compacted();
    struct raft *raft = raft_story_core(story);

    (void)state;
    raft_story_get(story, refusal(11, 4));
    raft_story_expect(story, "[237] snapshot to m3\n");
    /* Nothing but a sign of life until the stream ends; if it failed, the
     * next heartbeat offers again. */
    raft_story_until(story, 287);
    raft_story_expect(story, "[287] to m2: append 11@1 +0, commit 11\n"
                             "[287] to m3: append 0@0 +0, commit 11\n");
    raft_snapshot_sent(raft, 3, 0, 287, raft_story_output(story));
    raft_story_note(story);
    raft_story_expect(story, "");
    raft_story_until(story, 337);
    raft_story_expect(story, "[337] to m2: append 11@1 +0, commit 11\n"
                             "[337] to m3: append 0@0 +0, commit 11\n"
                             "[337] snapshot to m3\n");
    raft_snapshot_sent(raft, 3, 11, 337, raft_story_output(story));
    raft_story_note(story);
    raft_story_expect(story, "[337] to m3: append 11@1 +0, commit 11\n");
    assert_int_equal(raft_match_index(raft, 3), 11);
    raft_story_free(story);
}

/* Its disk may take long. It says that it has the snapshot; what comes after
 * that is sent, and the snapshot is not, though the first stream timed out. */
static void a_snapshot_that_is_being_stored_is_not_sent_again(void **state)
{
    struct raft_story *story = compacted();
    struct raft_message loaded = answer(3, 4, 0);

    (void)state;
    loaded.last_index = 11;
    raft_story_get(story, refusal(11, 4));
    raft_story_expect(story, "[237] snapshot to m3\n");
    raft_story_get(story, loaded);
    raft_snapshot_sent(raft_story_core(story), 3, 0, 237,
                       raft_story_output(story));
    raft_story_note(story);
    raft_story_propose(story, 1, 8);
    raft_story_until(story, 287);
    raft_story_expect(story, "[237] write 4: entries 12..12\n"
                             "[237] to m2: append 11@1 +1, commit 11\n"
                             "[237] to m3: append 11@1 +1, commit 11\n"
                             "[287] to m2: append 12@1 +0, commit 11\n"
                             "[287] to m3: append 12@1 +0, commit 11\n");
    assert_int_equal(raft_match_index(raft_story_core(story), 3), 4);
    raft_story_free(story);
}

static void a_follower_within_the_tail_is_sent_entries(void **state)
{
    struct raft_story *story = compacted();

    (void)state;
    raft_story_get(story, refusal(11, 9)); /* 10 is there, and 9's term */
    raft_story_expect(story, "[237] to m3: append 9@1 +0, commit 11\n");
    raft_story_get(story, answer(3, 9, 0));
    raft_story_expect(story, "[237] to m3: append 9@1 +2, commit 11\n");
    raft_story_free(story);
}

static bool incoming(struct raft_story *story, uint64_t term)
{
    bool taken = raft_snapshot_incoming(raft_story_core(story), 2, term,
                                        raft_story_now_ms(story),
                                        raft_story_output(story));

    raft_story_note(story);
    return taken;
}

static void a_snapshot_replaces_the_log(void **state)
{
    struct raft_story *story =
        raft_story_restart(3, 2, (const uint64_t[]){1, 1, 0});
    struct raft *raft = raft_story_core(story);
    struct raft_payload *members;

    (void)state;
    assert_false(incoming(story, 1)); /* of a leader that is no more */
    assert_true(incoming(story, 2));
    assert_int_equal(raft_leader(raft), 2);
    assert_true(raft_snapshot_arrived(raft, 8, 2, raft_story_output(story)));
    members = raft_members(4, 0, RAFT_NOBODY);
    raft_installed(raft, 8, 2, members, raft_story_output(story));
    raft_payload_drop(members);
    raft_story_note(story);
    raft_story_expect(story, "[0] write 1:\n"
                             "[0] members m1 m2 m3 m4\n");
    assert_int_equal(raft_first_index(raft), 9);
    assert_int_equal(raft_commit_index(raft), 8);
    assert_int_equal(raft_settled_index(raft), 0);
    /* What comes after it is written after it. */
    raft_story_append(
        story,
        (struct raft_message){
            .from = 2, .term = 2, .last_index = 8, .last_term = 2},
        (const uint64_t[]){2, 0});
    raft_story_stored(story, 1);
    raft_story_stored(story, 2);
    raft_story_expect(story, "[0] write 2: entries 9..9\n"
                             "[0] to m2: equal 9, durable 8\n"
                             "[0] to m2: equal 9, durable 9\n");
    raft_story_free(story);
}

/* Its timer may run out while the snapshot is loaded. The leader must be told
 * all the same that it has it, or would send it again. */
static void a_snapshot_counts_whoever_leads(void **state)
{
    struct raft_story *story =
        raft_story_restart(3, 2, (const uint64_t[]){1, 1, 0});
    struct raft *raft = raft_story_core(story);
    struct raft_payload *members = raft_members(3, 0, RAFT_NOBODY);

    (void)state;
    assert_true(incoming(story, 2));
    raft_story_until(story, 300);
    assert_int_equal(raft_leader(raft), RAFT_NOBODY);
    assert_true(raft_snapshot_arrived(raft, 8, 2, raft_story_output(story)));
    raft_installed(raft, 8, 2, members, raft_story_output(story));
    raft_payload_drop(members);
    raft_story_note(story);
    raft_story_get(story, (struct raft_message){
                              .kind = RAFT_APPEND, .from = 2, .term = 2});
    raft_story_expect(story, "[204] pre-candidate, term 2\n"
                             "[204] to m2: pre-vote? term 3, log 2@1\n"
                             "[204] to m3: pre-vote? term 3, log 2@1\n"
                             "[300] write 1:\n"
                             "[300] members m1 m2 m3\n"
                             "[300] follower, term 2\n"
                             "[300] to m2: equal 8, durable 0\n");
    raft_story_free(story);
}

/* Its log goes on after it: dropping that would lose what was acknowledged.
 * But it says what is committed, or the leader would send it for ever. */
static void a_snapshot_of_what_we_have_is_dropped(void **state)
{
    struct raft_story *story =
        raft_story_restart(3, 2, (const uint64_t[]){1, 2, 2, 0});
    struct raft *raft = raft_story_core(story);

    (void)state;
    assert_true(incoming(story, 2));
    assert_false(raft_snapshot_arrived(raft, 2, 2, raft_story_output(story)));
    raft_story_note(story);
    raft_story_expect(story, "[0] commit 2\n");
    assert_int_equal(raft_last_index(raft), 3);
    assert_int_equal(raft_settled_index(raft), 2);
    raft_story_free(story);
}

/* What cannot be committed is not asked for, or it would replace what is: a
 * leader has everything, and this term's sent something else. */
static void a_false_snapshot_is_dropped(void **state)
{
    struct raft_story *story =
        raft_story_restart(3, 2, (const uint64_t[]){1, 1, 0});
    struct raft *raft = raft_story_core(story);
    struct raft_output *out = raft_story_output(story);
    struct raft_message head = {
        .from = 2, .term = 2, .last_index = 2, .last_term = 1};

    (void)state;
    assert_true(incoming(story, 2));
    raft_story_append(story, head, (const uint64_t[]){2, 2, 0});
    assert_false(raft_snapshot_arrived(raft, 3, 1, out));
    assert_false(raft_snapshot_arrived(raft, 8, 0, out));
    assert_false(raft_snapshot_arrived(raft, 8, 3, out));
    assert_false(raft_snapshot_arrived(raft, RAFT_NUMBER_MAX + 1, 2, out));
    assert_true(raft_snapshot_arrived(raft, 8, 2, out));
    raft_story_lead(story);
    assert_false(raft_snapshot_arrived(raft, 8, 2, out));
    raft_story_expect(story, "");
    raft_story_free(story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_waits_for_the_no_op),
        cmocka_unit_test(reads_share_a_round),
        cmocka_unit_test(a_leader_that_falls_loses_its_reads),
        cmocka_unit_test(a_follower_behind_the_tail_is_offered_a_snapshot),
        cmocka_unit_test(a_snapshot_that_is_being_stored_is_not_sent_again),
        cmocka_unit_test(a_follower_within_the_tail_is_sent_entries),
        cmocka_unit_test(a_snapshot_replaces_the_log),
        cmocka_unit_test(a_snapshot_counts_whoever_leads),
        cmocka_unit_test(a_snapshot_of_what_we_have_is_dropped),
        cmocka_unit_test(a_false_snapshot_is_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
