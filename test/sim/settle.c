/* settle.c - what must become of any mess, in bounded time.
 *
 * All faults end, but some masters may be away: a quorum is enough to commit
 * something new. Then they come back, nobody asks for more, all become equal
 * and no read is left without an answer. And then a wrong hint moves nobody. */
#include "test/sim/fault.h"
#include "test/sim/sim.h"

#include <inttypes.h>

enum {
    /* At most: what hung or stalled comes back, a snapshot stream times out,
     * and a few elections are held. */
    PROGRESS_US = 8000000,
    LOOK_US = 20000,
    QUIET_US = 400000,
};

/* Whose word counts: a leader, of the newest term. NULL: there is none. */
static const struct master *judge(const struct sim *sim)
{
    const struct master *newest = NULL;

    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        const struct master *master = &sim->masters[i];

        if (master->up && raft_role(master->raft) == RAFT_LEADER &&
            (!newest || raft_term(master->raft) > raft_term(newest->raft)))
            newest = master;
    }
    return newest;
}

/* What it wanted to say may still come when its disk is back. */
static bool hangs(const struct sim *sim, const struct master *master)
{
    return master->up && (master->disk.waiting_count > 0 ||
                          master->stalled_until_us > sim->now_us);
}

/* Every member has the leader's log and has applied all of it, and nobody
 * hangs, not even who was removed: leadership may once have been handed to it.
 * A leader that is no voter will make room in a moment. */
static bool caught_up(const struct sim *sim)
{
    const struct master *leader = judge(sim);

    for (unsigned i = 0; leader && i < RAFT_MEMBERS_MAX; i++) {
        const struct master *master = &sim->masters[i];
        uint64_t last = raft_last_index(leader->raft);

        if (hangs(sim, master))
            return false;
        if (members_has(leader, master) &&
            (!master->up || raft_last_index(master->raft) != last ||
             master->applied != last))
            return false;
    }
    return leader && members_votes(leader, leader);
}

static void check_equal(struct sim *sim)
{
    const struct master *first = judge(sim);

    for (unsigned i = 0; first && i < RAFT_MEMBERS_MAX; i++) {
        const struct master *master = &sim->masters[i];

        if (!members_has(first, master))
            continue;
        if (master->applied != first->applied ||
            sim->machine->digest(master->machine) !=
                sim->machine->digest(first->machine))
            story_fail(&sim->story,
                       "after healing m%u is at %" PRIu64 ", m%u at %" PRIu64,
                       first->position + 1, first->applied, i + 1,
                       master->applied);
    }
    if (!first)
        story_fail(&sim->story, "after healing nobody leads");
}

static bool quorum_up(const struct sim *sim, uint32_t voters)
{
    unsigned count = 0;
    unsigned up = 0;

    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        if (!((voters >> i) & 1))
            continue;
        count++;
        up += sim->masters[i].up && !sim->masters[i].away;
    }
    return count == 0 || up >= count / 2 + 1;
}

/* By the last committed configuration and by all that may follow it. */
static bool quorums_up(const struct sim *sim)
{
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        const struct master *master = &sim->masters[i];
        uint32_t voters = 0;

        if (!master->up ||
            raft_configuration(master->raft)->index < sim->checks.members_index)
            continue;
        for (unsigned j = 0; j < RAFT_MEMBERS_MAX; j++)
            voters |= (uint32_t)members_votes(master, &sim->masters[j]) << j;
        if (!quorum_up(sim, voters))
            return false;
    }
    return quorum_up(sim, sim->checks.voters);
}

/* Some go away; leadership may just be on its way to one of them. */
static void send_away(struct sim *sim)
{
    struct master *leader = client_leader(sim);

    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        struct master *master = &sim->masters[i];

        if (!master->up || sim_chance(sim, 30))
            continue;
        master->away = true;
        if (!quorums_up(sim))
            master->away = false;
        else if (leader && leader != master && members_votes(leader, master) &&
                 raft_may_transfer(leader->raft))
            members_hand_over(sim, leader, i + 1);
    }
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (sim->masters[i].away)
            master_crash(sim, &sim->masters[i]);
}

void settle_send_one(struct sim *sim)
{
    unsigned one = (unsigned)random_below(&sim->random, sim->traits.masters);

    if (sim->masters[one].up && !sim->masters[one].retired) {
        sim->masters[one].away = true;
        master_crash(sim, &sim->masters[one]);
    }
}

static void call_back(struct sim *sim)
{
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        struct master *master = &sim->masters[i];

        if (master->away && !master->retired && !master->up)
            master_start(sim, master);
        master->away = false;
    }
}

/* Until something is committed that was proposed from now on. A change that
 * was on its way may have come since, and want more than are here. */
static void await_progress(struct sim *sim, const char *when)
{
    uint64_t end_us = sim->now_us + PROGRESS_US;
    uint64_t before = 0;

    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        const struct master *master = &sim->masters[i];

        if (master->up && raft_last_index(master->raft) > before)
            before = raft_last_index(master->raft);
        if (master->exists && disk_last_index(&master->disk) > before)
            before = disk_last_index(&master->disk);
    }
    while (!story_failed(&sim->story) && sim->checks.last_committed <= before) {
        if (sim->now_us >= end_us && !quorums_up(sim))
            return;
        if (sim->now_us >= end_us)
            story_fail(&sim->story, "no progress %u ms after %s",
                       PROGRESS_US / 1000, when);
        sim_run_until(sim, sim->now_us + LOOK_US);
    }
}

static void await_equality(struct sim *sim)
{
    uint64_t end_us = sim->now_us + PROGRESS_US;

    sim->quiet = true;
    while (!story_failed(&sim->story) && !caught_up(sim)) {
        if (sim->now_us >= end_us)
            story_fail(&sim->story, "not equal %u ms after healing",
                       PROGRESS_US / 1000);
        sim_run_until(sim, sim->now_us + LOOK_US);
    }
    sim_run_until(sim, sim->now_us + QUIET_US);
    if (!story_failed(&sim->story))
        check_equal(sim);
}

static void check_reads(struct sim *sim)
{
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (sim->masters[i].read_count > 0)
            story_fail(&sim->story,
                       "reads: m%u never answers %zu of them, nor tells that "
                       "they are lost",
                       i + 1, sim->masters[i].read_count);
}

/* One follower thinks that its leader is gone. The others know better. */
static void check_steady(struct sim *sim)
{
    const struct master *leader = judge(sim);
    unsigned told = (unsigned)random_below(&sim->random, RAFT_MEMBERS_MAX);
    uint64_t term = raft_term(leader->raft);

    if (told == leader->position || !members_has(leader, &sim->masters[told]))
        return;
    network_hint_to(sim, told, leader->position);
    sim_run_until(sim, sim->now_us + QUIET_US);
    if (!story_failed(&sim->story) &&
        (judge(sim) != leader || raft_term(leader->raft) != term))
        story_fail(&sim->story,
                   "steadiness: a wrong hint to m%u ends the reign of m%u",
                   told + 1, leader->position + 1);
}

void sim_recover(struct sim *sim)
{
    call_back(sim);
    fault_heal(sim);
    if (sim_chance(sim, 60)) {
        if (sim_chance(sim, 30))
            sim_run_until(sim, sim->now_us + QUIET_US);
        send_away(sim);
        await_progress(sim, "a quorum is back");
        call_back(sim);
    }
    await_progress(sim, "healing");
}

void sim_settle(struct sim *sim)
{
    await_equality(sim);
    if (!story_failed(&sim->story))
        check_reads(sim);
    if (!story_failed(&sim->story))
        check_steady(sim);
}
