/* topology.c - three masters, and each of the six links up or down.
 *
 * A master that has links both ways to a quorum must come to lead, alone, and
 * then nobody disturbs it, however the third one is linked: PreVote, a leader
 * that is heard is kept, and CheckQuorum are each needed for that ("Raft does
 * not guarantee liveness in the face of network faults", Howard 2020). Where
 * there is none nobody may lead for long, and no term may grow. Half of the
 * runs write nothing at first: no log then tells who is out of touch. The
 * seed's lowest six bits are the links. */
#include "test/sim/sim.h"

#include <inttypes.h>

enum {
    MASTERS = 3,
    LINKS = 6,
    HEALTHY_US = 2000000,
    ELECTED_US = 3000000, /* by then */
    WATCHED_US = 10000000,
    LOOK_US = 10000,
    COMMIT_US = 500000, /* something new in that time */
    LINK_SETS = 1 << LINKS,
};

static bool both_ways(const struct sim *sim, unsigned a, unsigned b)
{
    return !sim->blocked[a][b] && !sim->blocked[b][a];
}

/* Of three, a quorum is one that is linked both ways to any other. */
static bool can_lead(const struct sim *sim)
{
    return both_ways(sim, 0, 1) || both_ways(sim, 1, 2) || both_ways(sim, 2, 0);
}

/* Connections need both ways, so a link that is down may end one; each of its
 * ends may notice. */
static void impose(struct sim *sim, unsigned links)
{
    static const uint8_t ends[LINKS][2] = {{0, 1}, {1, 0}, {1, 2},
                                           {2, 1}, {2, 0}, {0, 2}};

    for (unsigned i = 0; i < LINKS; i++) {
        unsigned from = ends[i][0];
        unsigned to = ends[i][1];

        if ((links >> i) & 1)
            continue;
        story_line(&sim->story, sim->now_us, 0, "m%u cannot reach m%u",
                   from + 1, to + 1);
        sim->blocked[from][to] = true;
        if (sim_chance(sim, 50))
            network_hint_to(sim, from, to);
        if (sim_chance(sim, 50))
            network_hint_to(sim, to, from);
    }
}

static unsigned leaders(const struct sim *sim)
{
    unsigned count = 0;

    for (unsigned i = 0; i < MASTERS; i++)
        count += raft_role(sim->masters[i].raft) == RAFT_LEADER;
    return count;
}

static uint64_t newest_term(const struct sim *sim)
{
    uint64_t newest = 0;

    for (unsigned i = 0; i < MASTERS; i++)
        if (raft_term(sim->masters[i].raft) > newest)
            newest = raft_term(sim->masters[i].raft);
    return newest;
}

static void watch(struct sim *sim, uint64_t watched_us)
{
    uint64_t end_us = sim->now_us + watched_us;
    uint64_t term = newest_term(sim);
    uint64_t committed = sim->checks.last_committed;
    uint64_t committed_us = sim->now_us;
    unsigned wanted = can_lead(sim);

    while (sim->now_us < end_us && !story_failed(&sim->story)) {
        if (leaders(sim) != wanted)
            story_fail(&sim->story, "topology: %u lead, %u should",
                       leaders(sim), wanted);
        if (newest_term(sim) != term)
            story_fail(&sim->story,
                       "topology: the term grows from %" PRIu64 " to %" PRIu64,
                       term, newest_term(sim));
        if (sim->checks.last_committed > committed) {
            committed = sim->checks.last_committed;
            committed_us = sim->now_us;
        }
        if (wanted && !sim->quiet && sim->now_us - committed_us > COMMIT_US)
            story_fail(&sim->story, "topology: nothing is committed");
        sim_run_until(sim, sim->now_us + LOOK_US);
    }
}

bool topology_run(struct sim *sim, uint64_t seed, enum story_telling telling,
                  const struct machine_kind *machine)
{
    sim_begin(sim, seed, telling, machine);
    traits_calm(sim, MASTERS);
    sim_start(sim);

    sim_run_until(sim, HEALTHY_US);
    impose(sim, (unsigned)(seed % LINK_SETS));
    sim->quiet = seed / LINK_SETS % 2;
    sim_run_until(sim, sim->now_us + ELECTED_US);
    watch(sim, WATCHED_US / 2);
    if (sim->quiet) {
        sim->quiet = false;
        client_wait(sim, 1);
    }
    watch(sim, WATCHED_US / 2);
    if (!story_failed(&sim->story))
        sim_recover(sim);
    if (!story_failed(&sim->story))
        sim_settle(sim);
    return !story_failed(&sim->story);
}
