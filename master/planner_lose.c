/* A node is lost, and what was there is to be placed anew: turn by turn, as
 * matcher.c and preemptor.c do it. */
#include "master/planner_parts.h"

#include "base/memory.h"
#include "master/placement/single.h"

/* What a choice costs, told in looks. */
enum { LOOKS_A_CHOICE = 64 };

/* One that waits, as the placer sees it: all of one spec stand where the first
 * of them does, in the order they came. */
struct waiter {
    struct plan_pod told;
    struct order_key turn;
    size_t came;
    struct placement_hold *hold; /* where it is placed; NULL: nowhere yet */
    bool barred;                 /* nobody makes room for it */
};

struct waiters {
    struct plan *plan;
    uint64_t lost_id;
    struct waiter *all; /* owned */
    size_t count;
    size_t came; /* in all */
    size_t looks;
    uint64_t *changed; /* owned; nodes where others came or went */
    size_t changed_count;
    uint64_t node_id; /* the one of them that is looked at */
};

static const struct spec *spec_of(const struct waiter *waiter)
{
    return waiter->told.pod->facts.spec;
}

static struct placement_request request_of(const struct waiter *waiter)
{
    return placer_request(spec_of(waiter)->message);
}

static void begin_to_wait(struct waiters *waiters, struct plan_pod pod)
{
    if ((waiters->count & (waiters->count - 1)) == 0)
        waiters->all = memory_resize(waiters->all, (2 * waiters->count + 1) *
                                                       sizeof *waiters->all);
    waiters->all[waiters->count++] =
        (struct waiter){.told = pod, .came = waiters->came++};
}

static int by_spec(const void *left, const void *right)
{
    const struct waiter *a = left;
    const struct waiter *b = right;

    if (spec_of(a) != spec_of(b))
        return (uintptr_t)spec_of(a) < (uintptr_t)spec_of(b) ? -1 : 1;
    return a->came < b->came ? -1 : 1;
}

static int by_turn(const void *left, const void *right)
{
    const struct waiter *a = left;
    const struct waiter *b = right;

    if (spec_of(a) != spec_of(b))
        return order_key_less(a->turn, b->turn) ? -1 : 1;
    return a->came < b->came ? -1 : 1;
}

static void line_up(struct waiters *waiters)
{
    struct waiter *all = waiters->all;

    if (waiters->count == 0)
        return;
    qsort(all, waiters->count, sizeof *all, by_spec);
    for (size_t i = 0; i < waiters->count; i++)
        all[i].turn = i > 0 && spec_of(&all[i]) == spec_of(&all[i - 1])
                          ? all[i - 1].turn
                          : pending_key(all[i].told.pod);
    qsort(all, waiters->count, sizeof *all, by_turn);
}

static void bar_alike(struct waiters *waiters, const struct spec *spec,
                      bool barred)
{
    for (size_t i = 0; i < waiters->count; i++) {
        if (spec_of(&waiters->all[i]) == spec)
            waiters->all[i].barred = barred;
    }
}

/* As in the placer nobody is evicted in the turn in which he is placed. */
static bool hold(struct waiters *waiters, struct waiter *waiter)
{
    struct placement_request request = request_of(waiter);
    uint64_t to_id = placement_choose(waiters->plan->copy, &request);

    waiters->looks += LOOKS_A_CHOICE;
    if (to_id)
        waiter->hold = placement_hold(waiters->plan->copy, to_id, &request);
    return to_id != 0;
}

static bool fits_there(const struct waiters *waiters,
                       const struct waiter *waiter)
{
    const struct placement *copy = waiters->plan->copy;
    const struct spec *spec = spec_of(waiter);
    struct resources room;

    return placement_offers(copy, waiters->node_id, &room) &&
           resources_fit(&room, &spec->want) &&
           placement_suits(copy, waiters->node_id, spec->message) &&
           placement_admits(copy, waiters->node_id, spec->message);
}

static bool would_contest(const struct waiters *waiters,
                          const struct waiter *waiter)
{
    struct placement_request request = request_of(waiter);

    return placement_would_yield(waiters->plan->copy, waiters->node_id,
                                 &request);
}

/* Of those that are the next ones of their spec. NULL: there is none. */
static struct waiter *first_that(struct waiters *waiters,
                                 bool (*does)(const struct waiters *,
                                              const struct waiter *))
{
    const struct spec *seen = NULL;
    struct waiter *first = NULL;

    for (size_t i = 0; i < waiters->count; i++) {
        struct waiter *waiter = &waiters->all[i];

        if (waiter->hold || spec_of(waiter) == seen)
            continue;
        seen = spec_of(waiter);
        if (does(waiters, waiter) &&
            (!first || order_key_less(pending_key(waiter->told.pod),
                                      pending_key(first->told.pod))))
            first = waiter;
    }
    return first;
}

/* What others left of the node goes to the first that fit; and for the first
 * that would, others there may have to go. */
static void look_at_node(struct waiters *waiters, uint64_t node_id)
{
    struct waiter *first;

    waiters->node_id = node_id;
    do {
        first = first_that(waiters, fits_there);
    } while (first && hold(waiters, first));
    first = first_that(waiters, would_contest);
    if (first)
        bar_alike(waiters, spec_of(first), false);
}

static void hold_waiters(struct waiters *waiters)
{
    const struct spec *stuck = NULL; /* the one before, and what is like it */

    line_up(waiters);
    for (size_t i = 0; i < waiters->changed_count; i++)
        look_at_node(waiters, waiters->changed[i]);
    waiters->changed_count = 0;
    for (size_t i = 0; i < waiters->count; i++) {
        struct waiter *waiter = &waiters->all[i];

        if (!waiter->hold && spec_of(waiter) != stuck && !hold(waiters, waiter))
            stuck = spec_of(waiter);
    }
}

static void land(struct waiters *waiters, struct waiter *waiter, uint64_t to_id)
{
    struct plan_pod *told = &waiter->told;

    waiters->changed =
        memory_resize(waiters->changed,
                      (waiters->changed_count + 1) * sizeof *waiters->changed);
    waiters->changed[waiters->changed_count++] = to_id;
    told->to_id = to_id;
    told->fate = PLAN_PLACED;
    placement_give(waiters->plan->copy, to_id, told->pod->facts.id,
                   spec_of(waiter)->message);
    plan_note(waiters->plan, *told);
}

static void land_waiters(struct waiters *waiters)
{
    size_t kept = 0;

    for (size_t i = 0; i < waiters->count; i++) {
        struct waiter *waiter = &waiters->all[i];

        if (!waiter->hold) {
            waiters->all[kept++] = *waiter;
            continue;
        }
        uint64_t to_id = placement_hold_node(waiter->hold);

        placement_unhold(waiters->plan->copy, waiter->hold);
        land(waiters, waiter, to_id);
    }
    waiters->count = kept;
}

/* What was told of a pod is told no more; where it comes from. */
static uint64_t take_back(struct plan *plan, uint64_t pod_id, uint64_t from_id)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct plan_pod *told = &plan->pods[i];

        if (told->pod->facts.id != pod_id)
            continue;
        from_id = told->from_id;
        plan->fates[told->fate]--;
        *told = plan->pods[--plan->count];
        break;
    }
    return from_id;
}

/* One for which others made room is there, and they wait. Those that the lost
 * node had were only to go there. */
static void make_way(struct waiters *waiters, size_t at,
                     const struct placement_victims *victims)
{
    struct plan *plan = waiters->plan;
    struct waiter winner = waiters->all[at];

    waiters->all[at] = waiters->all[--waiters->count];
    land(waiters, &winner, victims->node_id);
    for (size_t i = 0; i < victims->count; i++) {
        uint64_t pod_id = victims->pod_ids[i];
        struct plan_pod victim = {
            .pod = pods_find(&plan->cluster->pods, pod_id),
            .from_id = take_back(plan, pod_id, victims->node_id),
        };

        if (victim.from_id != waiters->lost_id)
            victim.for_whom = winner.told.pod;
        begin_to_wait(waiters, victim);
    }
}

/* The first for which others can. */
static void make_room_for_one(struct waiters *waiters)
{
    struct plan *plan = waiters->plan;

    for (size_t i = 0; i < waiters->count; i++) {
        struct waiter *waiter = &waiters->all[i];
        struct placement_request request = request_of(waiter);
        struct placement_victims victims;

        if (waiter->hold || waiter->barred)
            continue;
        if (waiters->looks > PLAN_LOOKS_MAX) {
            plan->preempts_more = true;
            return;
        }
        victims = plan_evict(plan, &request, &waiters->looks);
        if (victims.node_id) {
            make_way(waiters, i, &victims);
            free(victims.pod_ids);
            return;
        }
        bar_alike(waiters, spec_of(waiter), true);
    }
}

/* Each once, however often it made room. */
static void count_preempted(struct plan *plan)
{
    plan->preempted = 0;
    for (size_t i = 0; i < plan->count; i++)
        plan->preempted += plan->pods[i].for_whom != NULL;
}

static void place_waiters(struct waiters *waiters)
{
    do {
        hold_waiters(waiters);
        make_room_for_one(waiters);
        land_waiters(waiters);
    } while (waiters->changed_count > 0);
    for (size_t i = 0; i < waiters->count; i++) {
        waiters->all[i].told.fate = PLAN_PENDING;
        plan_note(waiters->plan, waiters->all[i].told);
    }
    count_preempted(waiters->plan);
    free(waiters->all);
    free(waiters->changed);
}

void plan_lose(struct plan *plan, const struct node *node)
{
    struct placement_node seen = node_placement(node);
    struct waiters waiters = {.plan = plan, .lost_id = node->id};
    size_t count;
    struct pod **pods = node_pods(node, &count);

    seen.closed = PLACEMENT_LOST;
    placement_set(plan->copy, &seen);
    for (size_t i = 0; i < count; i++) {
        struct plan_pod pod = {
            .pod = pods[i], .from_id = node->id, .fate = PLAN_FAILS};

        placement_take(plan->copy, node->id, pods[i]->facts.id);
        if (pods[i]->facts.stop_requested)
            continue; /* it has stopped then */
        if (pod_runs_once(pods[i]))
            plan_note(plan, pod);
        else
            begin_to_wait(&waiters, pod);
    }
    place_waiters(&waiters);
    plan->nodes_after = placement_nodes_used(plan->copy);
    free(pods);
}
