#include "test/sim/sim.h"
#include "test/sim/fault.h"
#include "test/unit/raft_members.h"

#include <inttypes.h>
#include <string.h>

enum {
    /* More in one run is a storm: messages that cause each other. */
    EVENTS_MAX = 4000000,
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

    for (unsigned i = 0; i < sim->traits.rounds && !story_failed(&sim->story);
         i++) {
        if (i > 0)
            fault_resume(sim);
        if (sim->traits.sleeper)
            settle_send_one(sim);
        sim_run_until(sim, sim->now_us + sim->traits.chaos_us);
        if (!story_failed(&sim->story))
            sim_recover(sim);
    }
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
