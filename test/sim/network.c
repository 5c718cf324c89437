#include "base/memory.h"
#include "test/sim/fault.h"
#include "test/sim/sim.h"

#include <inttypes.h>
#include <string.h>

enum {
    HINT_US = 3000,
    GHOST_US = 3000000,
    LATE_US = 250000,
    VOTE_LATE_US = 40000
};

static void tell(struct sim *sim, struct master *master,
                 const struct raft_message *message)
{
    static const char *const names[] = {
        "?",    "pre-vote?", "pre-vote",      "vote?",
        "vote", "append",    "append result", "take over"};

    STORY(sim, master,
          "gets %s from m%u, term %" PRIu64 ": %" PRIu64 "@%" PRIu64
          " +%zu, %s match %" PRIu64 " hint %" PRIu64 " commit %" PRIu64,
          names[message->kind], message->from, message->term,
          message->last_index, message->last_term, message->entry_count,
          message->granted ? "yes," : "no,", message->match_index,
          message->hint_index, message->commit_index);
}

static void on_message(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];
    const struct raft_message *message = &event->message;

    if (sim->story.telling)
        tell(sim, master, message);
    story_mix(&sim->story, message->kind, message->from, message->last_index,
              sim->now_us);
    raft_receive(master->raft, message, master_now_ms(sim, master),
                 &master->out);
    master_stepped(sim, master);
    event_fini(event);
}

static struct raft_message copy(const struct raft_message *message)
{
    struct raft_message twin = *message;

    if (twin.entry_count)
        twin.entries = memory_array(twin.entry_count, sizeof *twin.entries);
    for (size_t i = 0; i < twin.entry_count; i++) {
        twin.entries[i] = message->entries[i];
        raft_payload_take(twin.entries[i].payload);
    }
    return twin;
}

static uint64_t arrival_us(struct sim *sim, const struct raft_message *message)
{
    uint64_t arrives_us =
        sim->now_us + sim_latency_us(sim, sim->traits.delay_us);

    if (message->kind == RAFT_VOTE &&
        sim->masters[message->from - 1].votes_late)
        arrives_us += VOTE_LATE_US + random_below(&sim->random, VOTE_LATE_US);
    else if (sim_chance(sim, sim->traits.late_percent))
        arrives_us += random_below(&sim->random, LATE_US);
    return arrives_us;
}

void network_event(struct sim *sim, unsigned from, unsigned to,
                   struct event *event)
{
    uint64_t arrives_us = arrival_us(sim, &event->message);

    if (sim->blocked[from][to] || sim_chance(sim, sim->traits.loss_percent)) {
        event_fini(event);
        return;
    }
    if (sim->traits.ordered)
        event->incarnation = sim->masters[to].incarnation;
    if (sim->traits.ordered || event->in_order) {
        if (arrives_us < sim->link_us[from][to])
            arrives_us = sim->link_us[from][to];
        sim->link_us[from][to] = arrives_us;
    }
    event->master = to;
    event->to_process = true;
    sim_after(sim, arrives_us - sim->now_us, event);
}

/* Twice; the second may come when its time is long over. */
static void send_twin(struct sim *sim, const struct raft_message *message)
{
    struct event twin = {.run = on_message, .message = copy(message)};

    if (sim_chance(sim, 80)) {
        network_event(sim, message->from - 1, message->to - 1, &twin);
        return;
    }
    twin.to_process = true;
    twin.master = message->to - 1;
    sim_after(sim, random_below(&sim->random, GHOST_US), &twin);
}

void network_late(struct sim *sim, const struct raft_message *message,
                  uint64_t late_us)
{
    struct event event = {
        .run = on_message,
        .to_process = true,
        .master = message->to - 1,
        .message = *message,
    };

    sim_after(sim, random_below(&sim->random, late_us), &event);
}

void network_send(struct sim *sim, const struct raft_message *message)
{
    struct event event = {.run = on_message, .message = *message};

    ambush_keep(sim, message);
    if (!sim->traits.ordered && sim_chance(sim, sim->traits.twice_percent))
        send_twin(sim, message);
    network_event(sim, message->from - 1, message->to - 1, &event);
}

static void on_hint(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];

    STORY(sim, master, "lost the connection to m%" PRIu64, event->a + 1);
    story_mix(&sim->story, 6, master->position, event->a, sim->now_us);
    raft_peer_lost(master->raft, (uint32_t)event->a + 1,
                   master_now_ms(sim, master), &master->out);
    master_stepped(sim, master);
}

void network_hint_to(struct sim *sim, unsigned told, unsigned lost)
{
    struct event event = {
        .run = on_hint,
        .to_process = true,
        .master = told,
        .incarnation = sim->masters[told].incarnation,
        .a = lost,
    };

    sim_after(sim, random_below(&sim->random, HINT_US), &event);
}

void network_hint(struct sim *sim, const struct master *master,
                  unsigned percent)
{
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (i != master->position && sim_chance(sim, percent))
            network_hint_to(sim, i, master->position);
}
