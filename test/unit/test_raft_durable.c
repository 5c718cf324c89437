/* What a member says is on its disk: here a disk's syncs can be held back, and
 * while they are, nothing may be said that depends on them.
 *
 * fdatasync() below takes the place of libc's for SQLite, too. */
#include "raft_cluster.h"

#include "base/clock.h"

#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- disks ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct {
    bool held;
    bool waits; /* a sync, for being let through */
    unsigned syncs;
} disks[CLUSTER_MEMBERS];

/* The member whose log it is, or -1. */
static int owner_of(int fd)
{
    char link[64];
    char path[PATH_MAX] = "";
    const char *end;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0)
        return -1;
    end = strstr(path, "/raft.db");
    return end ? end[-1] - '1' : -1;
}

int fdatasync(int fd)
{
    int owner = owner_of(fd);

    if (owner >= 0 && owner < CLUSTER_MEMBERS) {
        pthread_mutex_lock(&lock);
        while (disks[owner].held) {
            disks[owner].waits = true;
            pthread_cond_wait(&changed, &lock);
        }
        disks[owner].waits = false;
        disks[owner].syncs++;
        pthread_mutex_unlock(&lock);
    }
    return fsync(fd);
}

static int position_of(const struct member *member)
{
    return (int)(member - cluster.members);
}

static void disk_set(const struct member *member, bool held)
{
    pthread_mutex_lock(&lock);
    disks[position_of(member)].held = held;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static bool disk_waits(void *data)
{
    bool waits;

    pthread_mutex_lock(&lock);
    waits = disks[position_of(data)].waits;
    pthread_mutex_unlock(&lock);
    return waits;
}

/* Of all disks together. */
static unsigned count_syncs(void)
{
    unsigned syncs = 0;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < CLUSTER_MEMBERS; i++)
        syncs += disks[i].syncs;
    pthread_mutex_unlock(&lock);
    return syncs;
}

static int tear_down(void **state)
{
    for (int i = 0; i < CLUSTER_MEMBERS; i++)
        disk_set(&cluster.members[i], false);
    return cluster_tear_down(state);
}

/* ---- stories ---- */

static bool is_past(void *data)
{
    return clock_monotonic_ms() >= *(uint64_t *)data;
}

/* For what must not happen there is no event. */
static void run_ms(uint64_t ms)
{
    uint64_t end_ms = clock_monotonic_ms() + ms;

    cluster_wait(is_past, &end_ms, "time to pass");
}

/* m1 may hold elections; nobody else's vote is on a disk. */
static void a_vote_waits_for_the_disk(void **state)
{
    (void)state;
    cluster_start();
    disk_set(&cluster.members[1], true);
    disk_set(&cluster.members[2], true);
    run_ms(1000); /* three elections at least */
    for (int i = 0; i < CLUSTER_MEMBERS; i++)
        assert_int_not_equal(replica_status(cluster.members[i].replica).role,
                             RAFT_LEADER);
    disk_set(&cluster.members[1], false);
    cluster_wait_leader();
}

/* Whether a command is done although these two disks are held; then they are
 * let go, and it is. */
static bool done_without(struct member *leading, struct member *one,
                         struct member *other)
{
    struct asked asked;
    bool done;

    disk_set(one, true);
    disk_set(other, true);
    member_ask(leading, &asked, "command");
    cluster_wait(disk_waits, one, "a write");
    cluster_wait(disk_waits, other, "a write");
    run_ms(100); /* two heartbeats: all that can be said is said */
    done = asked.done;
    disk_set(one, false);
    disk_set(other, false);
    cluster_wait(asked_is_done, &asked, "a proposal");
    assert_int_equal(asked.why.code, 0);
    return done;
}

static void an_acknowledgement_waits_for_two_disks(void **state)
{
    struct member *leading;
    struct member *one;
    struct member *other;

    (void)state;
    cluster_start();
    leading = cluster_wait_leader();
    one = cluster_follower(leading);
    other = cluster_follower(one);
    member_commit(leading, "before");
    cluster_wait(cluster_agrees, NULL, "agreement");
    assert_false(done_without(leading, one, other));
    assert_false(done_without(leading, leading, one)); /* its own counts */
    /* The leader's alone need not be among them: nobody waits for it. */
    disk_set(leading, true);
    member_commit(leading, "without the leader");
    cluster_wait(disk_waits, leading, "the leader's write");
}

static bool other_leads(void *data)
{
    const struct member *leading = cluster_leader();

    return leading && leading != data;
}

static void a_leader_whose_disk_hangs_makes_room(void **state)
{
    struct member *old;

    (void)state;
    cluster_start();
    old = cluster_wait_leader();
    member_commit(old, "before");
    disk_set(old, true);
    member_commit(old, "hangs");
    cluster_wait(other_leads, old, "another leader");
    member_commit(cluster_leader(), "after");
    disk_set(old, false);
    cluster_wait(cluster_agrees, NULL, "agreement");
    assert_int_equal(old->state.count, 3);
}

/* One at a time each is synced on two disks; together they share. */
static void commands_share_syncs(void **state)
{
    enum { ALONE = 10, TOGETHER = 1000 };
    struct member *leading;
    unsigned before;

    (void)state;
    cluster_start();
    leading = cluster_wait_leader();
    before = count_syncs();
    for (int i = 0; i < ALONE; i++)
        member_commit(leading, "alone");
    assert_true(count_syncs() - before >= 2 * ALONE);
    before = count_syncs();
    member_commit_many(leading, TOGETHER);
    assert_true(count_syncs() - before <= TOGETHER / 20);
}

#define STORY(test) \
    cmocka_unit_test_setup_teardown(test, cluster_set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_vote_waits_for_the_disk),
        STORY(an_acknowledgement_waits_for_two_disks),
        STORY(a_leader_whose_disk_hangs_makes_room),
        STORY(commands_share_syncs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
