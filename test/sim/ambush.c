/* ambush.c - faults that wait for the moment at which they hurt most.
 *
 * Chance alone seldom cuts a leader off between two messages of one change.
 * So when a leader was just elected, has proposed something, changed members
 * or handed over, it may be cut off, lose its process, or everybody theirs.
 * Who was cut off is asked for reads all the while, and to change members. Old
 * answers come again when the one that they were for begins to stand or to
 * lead, or has got far enough to believe them. */
#include "test/sim/fault.h"
#include "test/sim/sim.h"

enum {
    SOON_US = 30000, /* until it strikes: while messages are on their way */
    AT_ONCE_US = 4000,
    CUT_MIN_US = 100000,
    CUT_MAX_US = 500000, /* the same, and at most so much more */
    ASKED_US = 400000,
    ASKED_EVERY_US = 6000,
    DOWN_US = 20000,
    LATE_US = 20000,    /* an old answer, after its receiver began */
    ANSWER_US = 200000, /* one that was on its way */
    UNDERMINE_US = 300000,
    HANG_US = 3000000,
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

/* Only of the newest cut: one that is over must not end the next. */
static void on_heal(struct sim *sim, struct event *event)
{
    if (event->a != sim->cut_number)
        return;
    fault_heal_links(sim);
    sim->first = NULL;
}

static void heal_later(struct sim *sim, uint64_t least_us)
{
    struct event heal = {.run = on_heal, .a = ++sim->cut_number};

    sim_after(sim, least_us + random_below(&sim->random, CUT_MAX_US), &heal);
}

/* The answers that are on their way take long. */
static void cut_off(struct sim *sim, struct master *master)
{
    fault_cut_off(sim, master);
    ask_on(sim, master);
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX && !sim->traits.ordered; i++)
        if (master->old.newest[i].kind == RAFT_APPEND_RESULT)
            network_late(sim, &master->old.newest[i], ANSWER_US);
    heal_later(sim, CUT_MIN_US);
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
    network_hint_to(sim, (unsigned)event->a, master->position);
}

/* One hears nothing any more and will soon stand, or is told that it may; then
 * the others, who have heard the leader, lose their memory and hear nothing
 * either. */
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

    if (sim_chance(sim, 50)) {
        sim_after(sim, 1, &event);
        return;
    }
    sim->blocked[master->position][one] = true;
    sim->blocked[one][master->position] = true;
    sim_after(sim, random_below(&sim->random, UNDERMINE_US), &event);
}

static void on_strangled(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];

    if (sim->healed)
        return;
    fault_heal_links(sim);
    fault_crash(sim, master, event->a);
}

/* Nothing that it says as leader is heard, and then it is gone: its disk alone
 * has an entry of its term. */
static void strangle(struct sim *sim, const struct master *master,
                     uint64_t down_us)
{
    struct event event = {
        .run = on_strangled,
        .to_process = true,
        .master = master->position,
        .incarnation = master->incarnation,
        .a = down_us,
    };

    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        sim->blocked[master->position][i] = true;
    sim_after(sim, random_below(&sim->random, 2 * SOON_US), &event);
}

/* What it has said reaches only some. */
static void hush(struct sim *sim, struct master *master)
{
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        if (sim_chance(sim, 50))
            sim->blocked[master->position][i] = true;
    heal_later(sim, CUT_MIN_US);
}

static void split(struct sim *sim, struct master *master)
{
    fault_split(sim, random_next(&sim->random));
    ask_on(sim, master);
    heal_later(sim, CUT_MIN_US);
}

/* The erratum of chapter 4: a leader is cut off with a change that it has just
 * made. The next is heard by one alone, and makes another at once; whom it does
 * not reach are left to the first. Till then nothing else is to happen. */
static void change_twice(struct sim *sim, struct master *master)
{
    sim->first = master;
    fault_cut_off(sim, master);
    members_change(sim, master);
    heal_later(sim, CUT_MAX_US);
}

static void next_is_split_off(struct sim *sim, const struct master *next)
{
    const struct raft_configuration *now = raft_configuration(next->raft);
    unsigned one = now->members[random_below(&sim->random, now->count)].id - 1;

    if (one == next->position || one == sim->first->position)
        return;
    fault_split(sim, 1u << next->position | 1u << one);
    heal_later(sim, CUT_MAX_US);
}

/* Those of a run that has a theme are mostly of it. */
static enum ambush_kind draw_kind(struct sim *sim)
{
    static const enum ambush_kind kinds[] = {
        AMBUSH_CUT_OFF, AMBUSH_CUT_OFF,  AMBUSH_CUT_OFF, AMBUSH_UNDERMINE,
        AMBUSH_OTHERS,  AMBUSH_ALL,      AMBUSH_CRASH,   AMBUSH_CRASH,
        AMBUSH_HUSH,    AMBUSH_STRANGLE, AMBUSH_SPLIT,   AMBUSH_HANG,
    };

    if (sim->traits.theme && sim_chance(sim, 70))
        return sim->traits.theme;
    return kinds[random_below(&sim->random, sizeof kinds / sizeof *kinds)];
}

void ambush_strike(struct sim *sim, struct master *master)
{
    if (sim->first)
        return;
    switch (draw_kind(sim)) {
    case AMBUSH_ANY:
    case AMBUSH_CUT_OFF:
        cut_off(sim, master);
        return;
    case AMBUSH_UNDERMINE:
        undermine(sim, master);
        return;
    case AMBUSH_OTHERS:
        cut_off(sim, master);
        crash_others(sim, master, false);
        return;
    case AMBUSH_ALL:
        crash_others(sim, master, true);
        return;
    case AMBUSH_CRASH:
        fault_crash(sim, master, sim_chance(sim, 50) ? DOWN_US : CUT_MAX_US);
        return;
    case AMBUSH_HUSH:
        hush(sim, master);
        return;
    case AMBUSH_STRANGLE:
        strangle(sim, master, sim_chance(sim, 70) ? DOWN_US : CUT_MAX_US);
        return;
    case AMBUSH_HANG:
        fault_hang_disk(sim, master, HANG_US);
        return;
    case AMBUSH_SPLIT:
        split(sim, master);
        return;
    case AMBUSH_CHANGE_TWICE:
        change_twice(sim, master);
        return;
    }
}

static void on_ambush(struct sim *sim, struct event *event)
{
    if (!sim->healed)
        ambush_strike(sim, &sim->masters[event->master]);
}

void ambush(struct sim *sim, const struct master *master, unsigned percent)
{
    struct event event = {
        .run = on_ambush,
        .to_process = true,
        .master = master->position,
        .incarnation = master->incarnation,
    };

    uint64_t soon_us = SOON_US;

    if (sim->traits.theme == AMBUSH_SPLIT) {
        soon_us = AT_ONCE_US;
        percent *= 2;
    }
    if (sim->traits.ambushes && !sim->healed && !sim->traits.alone &&
        sim_chance(sim, percent))
        sim_after(sim, random_below(&sim->random, soon_us), &event);
}

void ambush_change(struct sim *sim, struct master *leader)
{
    if (sim->traits.theme == AMBUSH_SPLIT && !sim->healed &&
        sim_chance(sim, 60))
        hush(sim, leader);
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

static void on_fall(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];

    if (sim->healed)
        return;
    if (event->a)
        cut_off(sim, master);
    else
        fault_crash(sim, master, 2 * CUT_MAX_US);
}

/* The paper's figure 8, one leader after the other: the first is cut off with
 * entries that nobody else has, the second falls with its no-op alone, the
 * third (the first again, perhaps) while it brings the old entries round. */
static void figure_eight(struct sim *sim, struct master *master)
{
    unsigned act = sim->act++ % 3;
    uint64_t most_us = act == 0 ? CUT_MAX_US : 2 * SOON_US;
    struct event event = {
        .run = on_fall,
        .to_process = true,
        .master = master->position,
        .incarnation = master->incarnation,
        .a = act == 0,
    };

    if (act == 1)
        strangle(sim, master, CUT_MAX_US);
    else
        sim_after(sim, random_below(&sim->random, most_us), &event);
}

void ambush_begins(struct sim *sim, struct master *master)
{
    size_t count = master->old.vote_count;
    bool stands = raft_role(master->raft) == RAFT_CANDIDATE;

    if (!sim->traits.ambushes || sim->healed)
        return;
    if (sim->first) {
        if (!stands && sim->first != master)
            next_is_split_off(sim, master);
        return;
    }
    master->votes_late = stands && sim_chance(sim, 40);
    if (master->votes_late)
        reprieve(sim, master->position);
    else if (!stands && sim->traits.theme == AMBUSH_STRANGLE)
        figure_eight(sim, master);
    else if (!stands && sim->traits.theme == AMBUSH_SPLIT &&
             sim_chance(sim, 50))
        hush(sim, master);
    else if (!stands)
        ambush(sim, master, 20);
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
