/* ambush.c - faults that wait for the moment at which they hurt most.
 *
 * Chance alone seldom cuts a leader off between two messages of one change.
 * So when a leader has just proposed something, changed members or handed
 * over, it may be cut off, lose its process, or everybody theirs; who was cut
 * off is asked for reads all the while; and old answers come again when the
 * one that they were for begins to stand or to lead. */
#include "test/sim/sim.h"

enum {
    SOON_US = 30000, /* until it strikes: while messages are on their way */
    CUT_MAX_US = 600000,
    ASKED_US = 400000,
    ASKED_EVERY_US = 6000,
    DOWN_US = 20000,
    LATE_US = 100000, /* an old answer, after its receiver began */
};

/* ---- reads at who was cut off ---- */

static void on_asked(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];

    if (raft_role(master->raft) != RAFT_LEADER || sim->now_us > event->a)
        return;
    master_read(sim, master);
    sim_after(sim, 1 + random_below(&sim->random, ASKED_EVERY_US), event);
}

static void ask_on(struct sim *sim, const struct master *master)
{
    struct event event = {
        .run = on_asked,
        .to_process = true,
        .master = master->position,
        .incarnation = master->incarnation,
        .a = sim->now_us + ASKED_US,
    };

    sim_after(sim, 1, &event);
}

/* ---- the faults ---- */

static void on_heal(struct sim *sim, struct event *event)
{
    (void)event;
    fault_heal_links(sim);
}

static void cut_off(struct sim *sim, struct master *master)
{
    struct event heal = {.run = on_heal};

    fault_cut_off(sim, master);
    ask_on(sim, master);
    sim_after(sim, random_below(&sim->random, CUT_MAX_US), &heal);
}

/* All but `master`, or it too, come back at once and remember what they must.
 */
static void crash_others(struct sim *sim, struct master *master, bool all)
{
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (sim->masters[i].up && (all || i != master->position))
            fault_crash(sim, &sim->masters[i], DOWN_US);
}

static void on_ambush(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];
    uint64_t choice = random_below(&sim->random, 100);

    if (sim->healed)
        return;
    if (choice < 40) {
        cut_off(sim, master);
    } else if (choice < 60) {
        cut_off(sim, master);
        crash_others(sim, master, false);
    } else if (choice < 70) {
        crash_others(sim, master, true);
    } else if (choice < 85) {
        fault_crash(sim, master, CUT_MAX_US);
    } else {
        struct event heal = {.run = on_heal};

        fault_split(sim);
        ask_on(sim, master);
        sim_after(sim, random_below(&sim->random, CUT_MAX_US), &heal);
    }
}

void ambush(struct sim *sim, const struct master *master, unsigned percent)
{
    struct event event = {
        .run = on_ambush,
        .to_process = true,
        .master = master->position,
        .incarnation = master->incarnation,
    };

    if (sim->traits.ambushes && !sim->healed && sim_chance(sim, percent))
        sim_after(sim, random_below(&sim->random, SOON_US), &event);
}

/* ---- old answers ---- */

void ambush_keep(struct sim *sim, const struct raft_message *message)
{
    struct master *to = &sim->masters[message->to - 1];

    if (sim->traits.ordered || !message->granted ||
        (message->kind != RAFT_APPEND_RESULT &&
         message->kind != RAFT_VOTE_RESULT))
        return;
    if (message->kind == RAFT_VOTE_RESULT || sim_chance(sim, 10))
        to->old_answers[to->old_answer_count++ % OLD_ANSWERS_MAX] = *message;
}

void ambush_begins(struct sim *sim, const struct master *master)
{
    size_t count = master->old_answer_count;

    if (!sim->traits.ambushes || sim->healed)
        return;
    for (size_t i = 0; i < count && i < OLD_ANSWERS_MAX; i++)
        if (sim_chance(sim, 50))
            network_late(sim, &master->old_answers[i], LATE_US);
}
