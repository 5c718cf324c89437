/* fault.c - what goes wrong: crashes, partitions, disks, processes, hints. */
#include "test/sim/fault.h"
#include "test/sim/sim.h"

#include <inttypes.h>
#include <string.h>

enum {
    CLIENT_EVERY_MAX_US = 60000, /* once all is well */
    HANG_MAX_US = 2500000,
    SLOW_MAX_US = 200000,
    STALL_MAX_US = 700000,
};

static struct master *any_master(struct sim *sim)
{
    struct master *some[RAFT_MEMBERS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (sim->masters[i].exists)
            some[count++] = &sim->masters[i];
    return some[random_below(&sim->random, count)];
}

/* More often than by chance, as it is the one that matters. */
static struct master *leader_or_any(struct sim *sim)
{
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        struct master *master = &sim->masters[i];

        if (master->up && raft_role(master->raft) == RAFT_LEADER &&
            sim_chance(sim, 60))
            return master;
    }
    return any_master(sim);
}

static void on_restart(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->a];

    if (!master->up && !master->retired && !master->away)
        master_start(sim, master);
}

void fault_crash(struct sim *sim, struct master *master, uint64_t down_us)
{
    struct event event = {.run = on_restart, .a = master->position};

    master_crash(sim, master);
    sim_after(sim, 1 + random_below(&sim->random, down_us), &event);
}

static void crash(struct sim *sim, struct master *master)
{
    fault_crash(sim, master, sim->traits.down_us);
}

static void crash_many(struct sim *sim)
{
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (sim->masters[i].exists && sim_chance(sim, 70))
            crash(sim, &sim->masters[i]);
}

void fault_heal_links(struct sim *sim)
{
    story_line(&sim->story, sim->now_us, 0, "links heal");
    memset(sim->blocked, 0, sizeof sim->blocked);
}

void fault_cut_off(struct sim *sim, const struct master *master)
{
    unsigned lonely = master->position;

    story_line(&sim->story, sim->now_us, 0, "m%u is cut off", lonely + 1);
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        sim->blocked[lonely][i] = true;
        sim->blocked[i][lonely] = true;
    }
}

void fault_split(struct sim *sim, uint64_t side)
{
    story_line(&sim->story, sim->now_us, 0, "split: sides %" PRIx64,
               side & ((1u << RAFT_MEMBERS_MAX) - 1));
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        for (unsigned j = 0; j < RAFT_MEMBERS_MAX; j++)
            sim->blocked[i][j] = ((side >> i) & 1) != ((side >> j) & 1);
}

/* One link, or all that lead from or to one master, in one direction. */
static void block_one_way(struct sim *sim)
{
    unsigned from = leader_or_any(sim)->position;
    unsigned to = any_master(sim)->position;
    unsigned kind = (unsigned)random_below(&sim->random, 3);

    story_line(&sim->story, sim->now_us, 0, "one way: m%u %s m%u", from + 1,
               kind == 0 ? "cannot reach" : "alone, not", to + 1);
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        if (kind == 0)
            sim->blocked[from][to] = true;
        else if (kind == 1)
            sim->blocked[from][i] = true;
        else
            sim->blocked[i][from] = true;
    }
}

void fault_hang_disk(struct sim *sim, struct master *master, uint64_t most_us)
{
    uint64_t for_us = random_below(&sim->random, most_us);

    STORY(sim, master, "disk hangs for %" PRIu64 " ms", for_us / 1000);
    master->disk.hangs_until_us = sim->now_us + for_us;
}

static void stall(struct sim *sim)
{
    struct master *master = leader_or_any(sim);
    uint64_t for_us = random_below(&sim->random, STALL_MAX_US);

    STORY(sim, master, "process stalls for %" PRIu64 " ms", for_us / 1000);
    master->stalled_until_us = sim->now_us + for_us;
}

static void any_fault(struct sim *sim)
{
    uint64_t choice = random_below(&sim->random, 100);

    if (choice < 30)
        crash(sim, leader_or_any(sim));
    else if (choice < 35)
        crash_many(sim);
    else if (choice < 50)
        fault_heal_links(sim);
    else if (choice < 60)
        fault_cut_off(sim, leader_or_any(sim));
    else if (choice < 67)
        fault_split(sim, random_next(&sim->random));
    else if (choice < 77)
        block_one_way(sim);
    else if (choice < 82)
        fault_hang_disk(sim, leader_or_any(sim), HANG_MAX_US);
    else if (choice < 90)
        fault_hang_disk(sim, leader_or_any(sim), SLOW_MAX_US);
    else if (choice < 95)
        stall(sim);
    else
        network_hint(sim, leader_or_any(sim), 50); /* a false one */
}

static void leader_falls(struct sim *sim)
{
    uint64_t choice = random_below(&sim->random, 100);

    if (choice < 60)
        crash(sim, leader_or_any(sim));
    else if (choice < 75)
        fault_cut_off(sim, leader_or_any(sim));
    else
        fault_heal_links(sim);
}

static void strike(struct sim *sim)
{
    struct master *leader = leader_or_any(sim);

    if (leader->up)
        ambush_strike(sim, leader);
}

static void on_fault(struct sim *sim, struct event *event)
{
    uint64_t wait_us =
        1 + random_below(&sim->random, 2 * sim->traits.fault_every_us);

    if (!sim->healed && sim->traits.theme)
        strike(sim);
    else if (!sim->healed && sim->traits.churn && sim_chance(sim, 70))
        leader_falls(sim);
    else if (!sim->healed)
        any_fault(sim);
    sim_after(sim, wait_us, event);
}

void fault_start(struct sim *sim)
{
    struct event event = {.run = on_fault};

    sim_after(sim, sim->traits.fault_every_us, &event);
}

void fault_resume(struct sim *sim)
{
    sim->healed = false;
    sim->traits = sim->drawn;
}

void fault_heal(struct sim *sim)
{
    if (!sim->healed)
        sim->drawn = sim->traits;
    sim->healed = true;
    fault_heal_links(sim);
    sim->traits.loss_percent = 0;
    sim->traits.twice_percent = 0;
    sim->traits.late_percent = 0;
    if (sim->traits.client_every_us > CLIENT_EVERY_MAX_US)
        sim->traits.client_every_us = CLIENT_EVERY_MAX_US;
    sim->traits.delay_us = 1000;
    sim->traits.sync_us = 2000;
    sim->traits.install_us = 2000;
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        sim->masters[i].disk.hangs_until_us = 0;
        if (sim->masters[i].exists && !sim->masters[i].retired &&
            !sim->masters[i].up)
            master_start(sim, &sim->masters[i]);
    }
}
