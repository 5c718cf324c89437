#include "test/sim/sim.h"

/* As a replica's, in small: more is not asked for before it is committed. */
enum { UNDER_WAY_MAX = 1000 };

struct master *client_leader(struct sim *sim)
{
    unsigned count = RAFT_MEMBERS_MAX;
    unsigned first = (unsigned)random_below(&sim->random, count);

    for (unsigned i = 0; i < count; i++) {
        struct master *master = &sim->masters[(first + i) % count];

        if (master->up && master->stalled_until_us <= sim->now_us &&
            raft_role(master->raft) == RAFT_LEADER)
            return master;
    }
    return NULL;
}

static bool takes_commands(const struct raft *raft)
{
    return raft_accepts(raft) &&
           raft_last_index(raft) - raft_commit_index(raft) < UNDER_WAY_MAX;
}

static void on_client(struct sim *sim, struct event *event)
{
    struct master *leader = client_leader(sim);
    uint64_t wait_us = sim->traits.client_every_us;

    (void)event;
    if (sim->quiet)
        return;
    if (leader && sim_chance(sim, 50))
        master_read(sim, leader);
    else if (leader && takes_commands(leader->raft))
        master_propose(
            sim, leader,
            1 + (unsigned)random_below(&sim->random, sim->traits.burst));
    client_wait(sim, 1 + random_below(&sim->random, 2 * wait_us));
}

void client_wait(struct sim *sim, uint64_t wait_us)
{
    struct event event = {.run = on_client};

    sim_after(sim, wait_us, &event);
}
