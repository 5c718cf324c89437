/* members.c - an operator who adds and removes masters, and moves the lead,
 * whatever else goes wrong. One change at a time, as the core demands; members
 * who were removed stay there and may speak until their machine is taken. */
#include "test/sim/fault.h"
#include "test/sim/sim.h"

#include "test/unit/raft_members.h"

#include <inttypes.h>

enum {
    VOTERS_MAX = 5,
    RETIRE_US = 2000000,
    AT_ONCE_US = 3000,
    EAGER_US = 20000
};

/* The present members with one more, one less, one made a voter or no more
 * one. */
struct change {
    uint32_t add;
    uint32_t promote;
    uint32_t demote;
    uint32_t remove;
};

static struct raft_payload *changed(const struct raft *raft,
                                    const struct change *change)
{
    const struct raft_configuration *now = raft_configuration(raft);
    struct raft_roll roll = {0};

    for (unsigned i = 0; i < now->count; i++) {
        const struct raft_member *member = &now->members[i];

        if (member->id != change->remove)
            raft_roll_add(
                &roll, member->id,
                member->id == change->demote ||
                    (member->learner && member->id != change->promote));
    }
    if (change->add)
        raft_roll_add(&roll, change->add, true);
    return raft_roll_pack(&roll);
}

static unsigned voters(const struct raft_configuration *configuration)
{
    unsigned count = 0;

    for (unsigned i = 0; i < configuration->count; i++)
        count += !configuration->members[i].learner;
    return count;
}

/* A machine that never was a member. RAFT_NOBODY: all have been. */
static uint32_t fresh_machine(const struct sim *sim)
{
    for (uint32_t id = 1; id <= RAFT_MEMBERS_MAX; id++)
        if (!sim->masters[id - 1].exists)
            return id;
    return RAFT_NOBODY;
}

/* Who is replaced while somebody sleeps: in the end it knows nobody. */
static const struct raft_member *oldest(const struct sim *sim,
                                        const struct raft_configuration *now,
                                        const struct master *leader)
{
    unsigned at = 0;

    while (at + 1 < now->count &&
           (now->members[at].id == leader->position + 1 ||
            sim->masters[now->members[at].id - 1].away))
        at++;
    return &now->members[at];
}

/* What would be done now; false when there is nothing sensible. */
static bool draw(struct sim *sim, const struct master *leader,
                 struct change *change)
{
    const struct raft_configuration *now = raft_configuration(leader->raft);
    const struct raft_member *any =
        &now->members[random_below(&sim->random, now->count)];

    if (sim->traits.sleeper)
        any = oldest(sim, now, leader);
    for (unsigned i = 0; i < now->count; i++)
        if (now->members[i].learner &&
            raft_match_index(leader->raft, now->members[i].id) >=
                raft_commit_index(leader->raft))
            change->promote = now->members[i].id;
    if (change->promote && sim_chance(sim, 70))
        return true;
    change->promote = 0;
    if (sim->traits.theme == AMBUSH_CHANGE_TWICE && !sim->first)
        return false; /* all vote when it begins */
    if (!sim->traits.same_members && sim_chance(sim, 40)) {
        change->add = fresh_machine(sim);
        return change->add && voters(now) + 1 >= now->count &&
               now->count < VOTERS_MAX;
    }
    if (sim->traits.same_members ||
        (!sim->traits.sleeper && sim_chance(sim, 60)))
        change->demote = any->id;
    else
        change->remove = any->id;
    return any->id != leader->position + 1 &&
           (any->learner || voters(now) > 2 || sim_chance(sim, 20));
}

bool members_has(const struct master *judge, const struct master *master)
{
    return master->exists &&
           raft_configuration_find(raft_configuration(judge->raft),
                                   master->position + 1) >= 0;
}

bool members_votes(const struct master *judge, const struct master *master)
{
    const struct raft_configuration *now = raft_configuration(judge->raft);
    int at = raft_configuration_find(now, master->position + 1);

    return master->exists && at >= 0 && !now->members[at].learner;
}

static void on_retired(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->a];

    if (sim->checks.members & (1u << event->a))
        return; /* the change was not committed */
    STORY(sim, master, "is taken away");
    if (master->up)
        master_crash(sim, master);
    master->retired = true;
}

static void retire(struct sim *sim, uint32_t id)
{
    struct event event = {.run = on_retired, .a = id - 1};

    sim_after(sim, random_below(&sim->random, RETIRE_US), &event);
}

void members_change(struct sim *sim, struct master *leader)
{
    struct change change = {0};
    struct raft_payload *payload;
    uint64_t index;

    if (!raft_may_change(leader->raft) || !draw(sim, leader, &change))
        return;
    payload = changed(leader->raft, &change);
    index = raft_propose_configuration(leader->raft, payload, &leader->out);
    STORY(sim, leader,
          "members at %" PRIu64 ": +m%u, m%u votes, m%u learns, -m%u", index,
          change.add, change.promote, change.demote, change.remove);
    story_mix(&sim->story, 7, change.add, change.promote, change.remove);
    sim->checks.changes++;
    if (change.add) {
        master_init(sim, change.add - 1, raft_payload_take(payload));
        master_start(sim, &sim->masters[change.add - 1]);
    }
    if (change.remove)
        retire(sim, change.remove);
    raft_payload_drop(payload);
    ambush_change(sim, leader);
    master_stepped(sim, leader);
    ambush(sim, leader, 40);
}

void members_hand_over(struct sim *sim, struct master *leader, uint32_t to)
{
    STORY(sim, leader, "hands over to m%u", to);
    story_mix(&sim->story, 8, leader->position, to, sim->now_us);
    sim->checks.transfers++;
    raft_transfer(leader->raft, to, master_now_ms(sim, leader), &leader->out);
    master_stepped(sim, leader);
    ambush(sim, leader, 60);
}

static void transfer(struct sim *sim, struct master *leader)
{
    const struct raft_configuration *now = raft_configuration(leader->raft);
    const struct raft_member *to =
        &now->members[random_below(&sim->random, now->count)];

    if (raft_may_transfer(leader->raft) && !to->learner &&
        to->id != leader->position + 1)
        members_hand_over(sim, leader, to->id);
}

static void on_operator(struct sim *sim, struct event *event)
{
    struct master *leader = client_leader(sim);
    uint64_t wait_us =
        1 + random_below(&sim->random, sim->traits.change_every_us);

    if (leader && !sim->healed && !sim->first && sim_chance(sim, 30))
        transfer(sim, leader);
    else if (leader && !sim->healed)
        members_change(sim, leader);
    sim_after(sim, wait_us, event);
}

static void on_new_leader(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];

    if (!sim->healed && raft_role(master->raft) == RAFT_LEADER)
        members_change(sim, master);
}

void members_new_leader(struct sim *sim, const struct master *master)
{
    struct event event = {
        .run = on_new_leader,
        .to_process = true,
        .master = master->position,
        .incarnation = master->incarnation,
    };

    if (!sim->traits.eager)
        return;
    sim_after(sim, random_below(&sim->random, AT_ONCE_US), &event);
    if (sim_chance(sim, 50))
        sim_after(sim, random_below(&sim->random, EAGER_US), &event);
}

void members_start(struct sim *sim)
{
    struct event event = {.run = on_operator};

    if (sim->traits.change_every_us)
        sim_after(sim, sim->traits.change_every_us, &event);
}
