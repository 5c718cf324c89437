/* ambush.c - faults that wait for the moment at which they hurt most.
 *
 * Chance alone seldom cuts a leader off between two messages of one change.
 * So when a leader was just elected, has proposed something, changed members
 * or handed over, it may be cut off, lose its process, or everybody theirs.
 * Who was cut off is asked for reads all the while, and to change members. Old
 * answers come again when the one that they were for begins to stand or to
 * lead, or has got far enough to believe them. */
#include "test/sim/sim.h"

enum {
    SOON_US = 30000, /* until it strikes: while messages are on their way */
    CUT_MAX_US = 600000,
    ASKED_US = 400000,
    ASKED_EVERY_US = 6000,
    DOWN_US = 20000,
    LATE_US = 20000,    /* an old answer, after its receiver began */
    ANSWER_US = 200000, /* one that was on its way */
    UNDERMINE_US = 300000,
};

/* ---- reads at who was cut off ---- */

static void on_asked(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];

    if (raft_role(master->raft) != RAFT_LEADER || sim->now_us > event->a ||
        sim->healed)
        return;
    master_read(sim, master);
    if (sim->traits.change_every_us && sim_chance(sim, 10))
        members_change(sim, master);
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

/* The answers that are on their way take long. */
static void cut_off(struct sim *sim, struct master *master)
{
    struct event heal = {.run = on_heal};

    fault_cut_off(sim, master);
    ask_on(sim, master);
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX && !sim->traits.ordered; i++)
        if (master->old.newest[i].kind == RAFT_APPEND_RESULT)
            network_late(sim, &master->old.newest[i], ANSWER_US);
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

static void on_undermined(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];

    if (sim->healed)
        return;
    cut_off(sim, master);
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (sim->masters[i].up && i != master->position && i != event->a)
            fault_crash(sim, &sim->masters[i], DOWN_US);
}

/* One hears nothing any more and will soon stand; then the others, who have
 * heard the leader, lose their memory and hear nothing either. */
static void undermine(struct sim *sim, struct master *master)
{
    const struct raft_configuration *now = raft_configuration(master->raft);
    unsigned one = now->members[random_below(&sim->random, now->count)].id - 1;
    struct event event = {
        .run = on_undermined,
        .to_process = true,
        .master = master->position,
        .incarnation = master->incarnation,
        .a = one,
    };

    sim->blocked[master->position][one] = true;
    sim->blocked[one][master->position] = true;
    sim_after(sim, random_below(&sim->random, UNDERMINE_US), &event);
}

/* What it has said reaches only some. */
static void hush(struct sim *sim, struct master *master)
{
    struct event heal = {.run = on_heal};

    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (sim_chance(sim, 50))
            sim->blocked[master->position][i] = true;
    sim_after(sim, random_below(&sim->random, CUT_MAX_US), &heal);
}

static void on_ambush(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];
    uint64_t choice = random_below(&sim->random, 100);

    if (sim->healed)
        return;
    if (choice < 30) {
        cut_off(sim, master);
    } else if (choice < 40) {
        cut_off(sim, master);
        crash_others(sim, master, false);
    } else if (choice < 55) {
        undermine(sim, master);
    } else if (choice < 60) {
        crash_others(sim, master, true);
    } else if (choice < 80) {
        fault_crash(sim, master, sim_chance(sim, 50) ? DOWN_US : CUT_MAX_US);
    } else if (choice < 90) {
        hush(sim, master);
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
    struct old_answers *old = &sim->masters[message->to - 1].old;
    struct raft_message *match = &old->match[message->from - 1];

    if (message->kind == RAFT_APPEND_RESULT)
        old->newest[message->from - 1] = *message;
    if (sim->traits.ordered || !message->granted)
        return;
    if (message->kind == RAFT_VOTE_RESULT)
        old->votes[old->vote_count++ % OLD_VOTES_MAX] = *message;
    if (message->kind == RAFT_APPEND_RESULT &&
        message->match_index > match->match_index)
        *match = *message;
}

/* A leader that was cut off is heard again by all but the one that stands. */
static void reprieve(struct sim *sim, unsigned stands)
{
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        struct master *leader = &sim->masters[i];

        if (!leader->up || raft_role(leader->raft) != RAFT_LEADER)
            continue;
        for (unsigned j = 0; j < RAFT_MEMBERS_MAX; j++) {
            sim->blocked[i][j] = j == stands;
            sim->blocked[j][i] = j == stands;
        }
        ask_on(sim, leader);
    }
}

void ambush_begins(struct sim *sim, const struct master *master)
{
    size_t count = master->old.vote_count;

    if (!sim->traits.ambushes || sim->healed)
        return;
    if (raft_role(master->raft) == RAFT_CANDIDATE && sim_chance(sim, 40))
        reprieve(sim, master->position);
    for (size_t i = 0; i < count && i < OLD_VOTES_MAX; i++)
        if (sim_chance(sim, 50))
            network_late(sim, &master->old.votes[i], LATE_US);
}

void ambush_grows(struct sim *sim, const struct master *leader)
{
    if (!sim->traits.ambushes || sim->healed)
        return;
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        const struct raft_message *match = &leader->old.match[i];

        if (match->match_index > 0 && match->term < raft_term(leader->raft) &&
            match->match_index <= raft_last_index(leader->raft) &&
            members_has(leader, &sim->masters[i]) &&
            match->match_index > raft_match_index(leader->raft, i + 1))
            network_late(sim, match, LATE_US / 10);
    }
}
