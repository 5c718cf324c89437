/* Whole members who come and go, and hand leadership over. */
#include "raft_cluster.h"

#include "base/clock.h"
#include "base/fd.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct member *const m4 = &cluster.members[3];

static const Kontor__V1__RaftMember *seen(const struct member *by,
                                          const struct member *whom)
{
    const Kontor__V1__RaftConfiguration *members = replica_members(by->replica);

    for (size_t i = 0; i < members->n_members; i++)
        if (strcmp(members->members[i]->name, whom->name) == 0)
            return members->members[i];
    return NULL;
}

/* The leader counts m4. */
static bool m4_votes(void *data)
{
    const struct member *leading = cluster_leader();
    const Kontor__V1__RaftMember *row = leading ? seen(leading, m4) : NULL;

    (void)data;
    return row && !row->learner;
}

static bool another_leads(void *data)
{
    const struct member *leading = cluster_leader();

    return leading && leading != data;
}

static void change(struct member *leading, enum replica_change_kind kind,
                   const struct member *whom)
{
    struct error why;

    do /* the one before may not be committed yet */
        uv_run(&cluster.loop, UV_RUN_NOWAIT);
    while (member_change(leading, kind, whom, &why) ==
               ERROR_FAILED_PRECONDITION &&
           strstr(why.message, "under way"));
    if (why.code != 0)
        fail_msg("%s", why.message);
}

static void expect_refused(struct member *leading,
                           enum replica_change_kind kind,
                           const struct member *whom, enum error_code code,
                           const char *text)
{
    struct error why;

    assert_int_equal(member_change(leading, kind, whom, &why), code);
    if (!strstr(why.message, text))
        fail_msg("\"%s\" does not say \"%s\"", why.message, text);
}

/* m4 comes with an empty disk, catches up by a snapshot and the log, votes,
 * and takes the place of one that has died. */
static void a_dead_master_is_replaced(void **state)
{
    struct member *leading;
    struct member *dead;

    (void)state;
    cluster.snapshot_entries = 100;
    cluster_start();
    leading = cluster_wait_leader();
    member_commit_many(leading, 500);
    cluster_wait(member_has_last_snapshot, leading, "the last snapshot");
    dead = cluster_follower(leading);
    member_stop(dead);

    change(leading, REPLICA_ADD, m4);
    assert_true(seen(leading, m4)->learner);
    assert_int_equal(seen(leading, m4)->id, 4);
    member_join(m4, leading);
    cluster_wait(m4_votes, NULL, "m4's vote");
    change(leading, REPLICA_REMOVE, dead);
    assert_null(seen(leading, dead));
    member_commit(leading, "after");
    cluster_wait(cluster_agrees, NULL, "agreement");
    assert_int_equal(m4->loads, 1);

    /* Two of the three are enough, m4 among them. */
    member_stop(leading);
    leading = cluster_wait_leader();
    member_commit(leading, "without the old leader");
}

/* What is in the folder counts, not the command line. */
static void members_are_known_after_a_restart(void **state)
{
    struct member *leading;

    (void)state;
    cluster.snapshot_entries = 50;
    cluster_start();
    leading = cluster_wait_leader();
    change(leading, REPLICA_ADD, m4);
    member_join(m4, leading);
    cluster_wait(m4_votes, NULL, "m4's vote");
    member_commit_many(leading, 200);
    cluster_wait(member_has_snapshot, m4, "a snapshot");
    cluster_wait(cluster_agrees, NULL, "agreement");
    for (int i = 0; i < CLUSTER_MEMBERS_MAX; i++)
        member_stop(&cluster.members[i]);
    cluster_start();
    member_start(m4);
    leading = cluster_wait_leader();
    assert_false(seen(leading, m4)->learner);
    assert_int_equal(replica_members(m4->replica)->n_members, 4);
    member_commit(leading, "after");
}

/* A removal that comes late does not hit the one that has the name now. */
static void the_number_says_who_is_removed(void **state)
{
    struct replica_proposal never = {0};
    struct replica_change late = {.kind = REPLICA_REMOVE, .name = "m4"};
    struct member *leading;
    struct error why;

    (void)state;
    cluster_start();
    leading = cluster_wait_leader();
    change(leading, REPLICA_ADD, m4);
    late.id = seen(leading, m4)->id;
    change(leading, REPLICA_REMOVE, m4);
    change(leading, REPLICA_ADD, m4);
    assert_int_not_equal(seen(leading, m4)->id, late.id);
    assert_int_equal(replica_change(leading->replica, &never, &late, &why),
                     ERROR_NOT_FOUND);
    assert_non_null(strstr(why.message, "m4"));
    assert_non_null(seen(leading, m4));
}

static void unsafe_changes_are_refused(void **state)
{
    const struct member nameless = {.name = ""};
    struct member *leading;
    struct member *other;
    struct error why;

    (void)state;
    cluster_start();
    leading = cluster_wait_leader();
    other = cluster_follower(leading);
    expect_refused(leading, REPLICA_REMOVE, leading, ERROR_FAILED_PRECONDITION,
                   "hand leadership over first");
    expect_refused(leading, REPLICA_REMOVE, m4, ERROR_NOT_FOUND, "m4");
    expect_refused(leading, REPLICA_ADD, other, ERROR_ALREADY_EXISTS,
                   other->name);
    expect_refused(leading, REPLICA_ADD, &nameless, ERROR_INVALID_ARGUMENT,
                   "name");
    expect_refused(other, REPLICA_ADD, m4, ERROR_UNAVAILABLE, leading->name);

    change(leading, REPLICA_ADD, m4); /* it never comes */
    member_commit(leading, "goes on");
    assert_true(seen(leading, m4)->learner);
    assert_int_equal(replica_transfer(leading->replica, m4->name, &why),
                     ERROR_FAILED_PRECONDITION);
}

/* An election timeout and a heartbeat, after which a silent member is not heard
 * any more. */
static bool has_passed(void *data)
{
    return clock_monotonic_ms() >
           *(const uint64_t *)data + CLUSTER_ELECTION_TIMEOUT_MS + 50;
}

/* With one dead, the other two are needed. */
static void a_quorum_is_kept(void **state)
{
    struct member *leading;
    struct member *dead;
    struct member *living;
    uint64_t stopped_ms;

    (void)state;
    cluster_start();
    leading = cluster_wait_leader();
    dead = cluster_follower(leading);
    living = cluster_follower(dead);
    member_stop(dead);
    stopped_ms = clock_monotonic_ms();
    cluster_wait(has_passed, &stopped_ms, "silence");
    expect_refused(leading, REPLICA_REMOVE, living, ERROR_FAILED_PRECONDITION,
                   "of the 2 masters that would be left 1 answer, 2 must");
    change(leading, REPLICA_REMOVE, dead);
    member_commit(leading, "two are left");
}

static void leadership_is_handed_over(void **state)
{
    struct member *leading;
    struct member *next;
    struct error why;

    (void)state;
    cluster_start();
    leading = cluster_wait_leader();
    member_commit_many(leading, 10);
    next = cluster_follower(leading);
    assert_int_equal(replica_transfer(leading->replica, next->name, &why), 0);
    assert_true(replica_status(leading->replica).hands_over);
    assert_int_equal(replica_transfer(leading->replica, next->name, &why),
                     ERROR_FAILED_PRECONDITION);
    assert_int_equal(replica_transfer(leading->replica, NULL, &why), 0);
    cluster_wait(another_leads, leading, "another leader");
    assert_ptr_equal(cluster_leader(), next);
    member_commit(next, "after");
    cluster_wait(cluster_agrees, NULL, "agreement");

    /* To anybody. */
    assert_int_equal(replica_transfer(next->replica, NULL, &why), 0);
    cluster_wait(another_leads, next, "another leader");
    assert_int_equal(replica_transfer(next->replica, NULL, &why),
                     ERROR_UNAVAILABLE);
}

/* Who was removed is told so and disturbs nobody. */
static void who_was_removed_stays_out(void **state)
{
    struct member *leading;
    struct member *removed;
    uint64_t term;

    (void)state;
    cluster_start();
    leading = cluster_wait_leader();
    removed = cluster_follower(leading);
    change(leading, REPLICA_REMOVE, removed);
    term = replica_status(leading->replica).term;
    for (int i = 0; i < 20; i++)
        member_commit_many(leading, 20);
    assert_ptr_equal(cluster_leader(), leading);
    assert_int_equal(replica_status(leading->replica).term, term);
}

/* One that missed that m4 was removed and added again hears it by its new id,
 * when it leads, too. */
static void who_comes_again_is_heard_by_those_who_missed_it(void **state)
{
    struct member *leading;
    struct member *late;
    struct error why;

    (void)state;
    cluster_start();
    leading = cluster_wait_leader();
    late = cluster_follower(leading);
    change(leading, REPLICA_ADD, m4);
    member_join(m4, leading);
    cluster_wait(m4_votes, NULL, "m4's vote");
    cluster_wait(cluster_agrees, NULL, "agreement");
    member_stop(late);
    change(leading, REPLICA_REMOVE, m4);
    member_stop(m4);
    assert_int_equal(folder_remove(AT_FDCWD, m4->folder, &why), 0);
    assert_int_equal(folder_make(m4->folder, 0700, &why), 0);
    change(leading, REPLICA_ADD, m4);
    member_join(m4, leading);
    assert_int_equal(seen(leading, m4)->id, 5);
    cluster_wait(m4_votes, NULL, "m4's vote");
    assert_int_equal(replica_transfer(leading->replica, m4->name, &why), 0);
    cluster_wait(another_leads, leading, "m4's leadership");

    member_start(late);
    member_commit(m4, "for all");
    cluster_wait(cluster_agrees, NULL, "agreement");
    assert_int_equal(seen(late, m4)->id, 5);
}

static void reads_by_lease_ask_nobody(void **state)
{
    struct member *leading;

    (void)state;
    cluster.lease_drift_permille = 100;
    cluster_start();
    leading = cluster_wait_leader();
    for (int i = 0; i < 50; i++) {
        struct asked read = {.read.done = asked_on_read};

        member_commit(leading, "x");
        replica_read(leading->replica, &read.read);
        cluster_wait(asked_is_done, &read, "a read");
        assert_int_equal(read.why.code, 0);
        assert_int_equal(leading->state.count, i + 1);
    }
}

/* ---- programs of unlike age ---- */

/* What the leader has to say of them. */
static bool is_told(void *data)
{
    const struct replica_formats *wanted = data;
    struct member *leading = cluster_leader();
    struct replica_formats told;

    if (!leading)
        return false;
    told = replica_formats(leading->replica);
    return told.least == wanted->least && told.heard == wanted->heard &&
           strcmp(told.oldest, wanted->oldest) == 0;
}

static void restart_with(struct member *member, uint32_t format)
{
    member->format = format;
    member_start(member);
}

static void what_all_programs_know_is_told(void **state)
{
    struct replica_formats wanted = {2, NULL, true};
    struct member *leading;
    struct member *other;

    (void)state;
    for (int i = 0; i < CLUSTER_MEMBERS; i++)
        restart_with(&cluster.members[i], 2);
    leading = cluster_wait_leader();
    wanted.oldest = leading->name;
    cluster_wait(is_told, &wanted, "2, as all know");

    other = cluster_follower(leading);
    member_stop(other);
    wanted = (struct replica_formats){0, other->name, false};
    cluster_wait(is_told, &wanted, "0, as one is down");
    restart_with(other, 1);
    wanted = (struct replica_formats){1, other->name, true};
    cluster_wait(is_told, &wanted, "1, as one is older");
    member_stop(other);
    restart_with(other, 3);
    wanted = (struct replica_formats){2, leading->name, true};
    cluster_wait(is_told, &wanted, "2, as the leader knows no more");
}

static void a_learner_of_an_older_program_stays_one(void **state)
{
    struct member *leading;

    (void)state;
    cluster.format = 1;
    for (int i = 0; i < CLUSTER_MEMBERS; i++)
        restart_with(&cluster.members[i], 1);
    leading = cluster_wait_leader();
    change(leading, REPLICA_ADD, m4);
    member_join(m4, leading);
    for (int i = 0; i < 5; i++) { /* what one says is heard by the next */
        member_commit(leading, "more");
        cluster_wait(cluster_agrees, NULL, "agreement");
    }
    assert_true(seen(leading, m4)->learner);
    member_stop(m4);
    restart_with(m4, 1);
    cluster_wait(m4_votes, NULL, "m4's vote");
}

#define STORY(test) \
    cmocka_unit_test_setup_teardown(test, cluster_set_up, cluster_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_dead_master_is_replaced),
        STORY(members_are_known_after_a_restart),
        STORY(the_number_says_who_is_removed),
        STORY(unsafe_changes_are_refused),
        STORY(a_quorum_is_kept),
        STORY(leadership_is_handed_over),
        STORY(who_was_removed_stays_out),
        STORY(who_comes_again_is_heard_by_those_who_missed_it),
        STORY(reads_by_lease_ask_nobody),
        STORY(what_all_programs_know_is_told),
        STORY(a_learner_of_an_older_program_stays_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
