#include "test/sim/sim.h"
#include "test/unit/raft_members.h"

#include <inttypes.h>
#include <string.h>

enum {
    CHAOS_US = 15000000,
    /* More in one run is a storm: messages that cause each other. */
    EVENTS_MAX = 4000000,
    /* After healing, at most: what hung or stalled comes back, a snapshot
     * stream times out, and a few elections are held. */
    PROGRESS_US = 8000000,
    LOOK_US = 20000,
    QUIET_US = 400000,
};

bool sim_chance(struct sim *sim, unsigned percent)
{
    return random_below(&sim->random, 100) < percent;
}

uint64_t sim_latency_us(struct sim *sim, uint64_t most_us)
{
    uint64_t latency_us = 1 + random_below(&sim->random, most_us);

    if (!sim->healed && sim_chance(sim, 1))
        latency_us += random_below(&sim->random, 20 * most_us);
    return latency_us;
}

void sim_after(struct sim *sim, uint64_t delay_us, struct event *event)
{
    event->at_us = sim->now_us + delay_us;
    event_push(&sim->events, event);
}

/* A stalled process gets its events later, a dead one never. */
static void happen(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];
    bool to_process = event->to_process;

    if (to_process &&
        (!master->up || (event->incarnation != 0 &&
                         event->incarnation != master->incarnation))) {
        event_fini(event);
        return;
    }
    if (to_process && master->stalled_until_us > sim->now_us) {
        sim_after(sim, master->stalled_until_us - sim->now_us, event);
        return;
    }
    event->run(sim, event);
}

void sim_run_until(struct sim *sim, uint64_t end_us)
{
    struct event event;

    while (!story_failed(&sim->story) && sim->events.count > 0 &&
           sim->events.heap[0].at_us <= end_us) {
        event_pop(&sim->events, &event);
        sim->now_us = event.at_us;
        happen(sim, &event);
        if (sim->events.sequence > EVENTS_MAX)
            story_fail(&sim->story, "a storm: %u events", EVENTS_MAX);
    }
    if (!story_failed(&sim->story))
        sim->now_us = end_us;
}

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

/* Every member has the leader's log, has applied all of it and hangs nowhere.
 */
static bool caught_up(const struct sim *sim)
{
    const struct master *leader = judge(sim);

    for (unsigned i = 0; leader && i < RAFT_MEMBERS_MAX; i++) {
        const struct master *master = &sim->masters[i];
        uint64_t last = raft_last_index(leader->raft);

        if (!members_has(leader, master))
            continue;
        if (!master->up || raft_last_index(master->raft) != last ||
            master->applied != last || master->disk.waiting_count > 0 ||
            master->stalled_until_us > sim->now_us)
            return false;
    }
    return leader != NULL;
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

/* First something that was proposed after healing is committed, then nobody
 * asks for more and all become equal. */
void sim_settle(struct sim *sim)
{
    uint64_t end_us = sim->now_us + PROGRESS_US;
    uint64_t before = 0;

    fault_heal(sim);
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (sim->masters[i].up &&
            raft_last_index(sim->masters[i].raft) > before)
            before = raft_last_index(sim->masters[i].raft);

    while (!story_failed(&sim->story)) {
        if (sim->checks.last_committed > before)
            sim->quiet = true;
        if (sim->quiet && caught_up(sim))
            break;
        if (sim->now_us >= end_us)
            story_fail(&sim->story, "no progress %u ms after healing",
                       PROGRESS_US / 1000);
        sim_run_until(sim, sim->now_us + LOOK_US);
    }
    sim_run_until(sim, sim->now_us + QUIET_US);
    if (!story_failed(&sim->story))
        check_equal(sim);
}

void sim_begin(struct sim *sim, uint64_t seed, enum story_telling telling,
               const struct machine_kind *machine)
{
    memset(sim, 0, sizeof *sim);
    sim->seed = seed;
    sim->random.state = seed;
    sim->machine = machine;
    sim->story.telling = telling;
}

void sim_start(struct sim *sim)
{
    unsigned count = sim->traits.masters;

    for (unsigned i = 0; i < count; i++)
        master_init(sim, i, raft_members(count, 0, RAFT_NOBODY));
    for (unsigned i = 0; i < count; i++)
        master_start(sim, &sim->masters[i]);
    client_wait(sim, 1);
}

bool sim_run(struct sim *sim, uint64_t seed, enum story_telling telling,
             const struct machine_kind *machine)
{
    sim_begin(sim, seed, telling, machine);
    traits_draw(sim);
    sim_start(sim);
    fault_start(sim);
    members_start(sim);

    sim_run_until(sim, CHAOS_US);
    if (!story_failed(&sim->story))
        sim_settle(sim);
    return !story_failed(&sim->story);
}

void sim_fini(struct sim *sim)
{
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        sim->machine->destroy(sim->masters[i].machine);
        master_fini(&sim->masters[i]);
    }
    event_queue_fini(&sim->events);
    checks_fini(&sim->checks);
    story_fini(&sim->story);
}
