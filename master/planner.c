#include "master/planner.h"

#include "base/feature.h"
#include "base/memory.h"
#include "master/placement/rebalance.h"

/* Some 40 ms: meanwhile the leader does nothing else, heartbeats neither. */
enum { REBALANCE_STEPS_MAX = 8000000 };

void plan_init(struct plan *plan, const struct placer *placer)
{
    *plan = (struct plan){.cluster = placer->cluster,
                          .copy = placement_copy(placer->view)};
    plan->nodes_before = placement_nodes_used(plan->copy);
}

void plan_fini(struct plan *plan)
{
    placement_free(plan->copy);
    free(plan->pods);
}

static void reserve(struct plan *plan, size_t count)
{
    plan->pods = memory_array(count + 1, sizeof *plan->pods);
}

static void add(struct plan *plan, struct plan_pod pod)
{
    plan->pods[plan->count++] = pod;
    plan->fates[pod.fate]++;
}

/* ---- one after the other, as the placer does ---- */

/* Pods that wait for a node, in this order. What fits nowhere is only told
 * when `all`. */
static void place_each(struct plan *plan, const struct plan_pod *pods,
                       size_t count, bool all)
{
    struct placement_hold **holds =
        memory_array(count + 1, sizeof(struct placement_hold *));

    for (size_t i = 0; i < count; i++) {
        const struct pod *pod = pods[i].pod;
        struct placement_request request =
            placer_request(pod->facts.spec->message);
        struct plan_pod out = pods[i];

        out.to_id = placement_choose(plan->copy, &request);
        out.fate = out.to_id ? PLAN_PLACED : PLAN_PENDING;
        if (out.to_id)
            holds[i] = placement_hold(plan->copy, out.to_id, &request);
        if (out.to_id || all)
            add(plan, out);
        else
            plan->fates[PLAN_PENDING]++;
    }
    for (size_t i = 0; i < count; i++) {
        if (!holds[i])
            continue;
        placement_put(plan->copy, placement_hold_node(holds[i]),
                      pods[i].pod->facts.id, pods[i].pod->facts.spec->message);
        placement_unhold(plan->copy, holds[i]);
    }
    free(holds);
    plan->nodes_after = placement_nodes_used(plan->copy);
}

void plan_schedule(struct plan *plan, const Kontor__V1__PodSpec *spec)
{
    struct placement_request request = placer_request(spec);
    uint64_t to_id = placement_choose(plan->copy, &request);

    reserve(plan, 1);
    add(plan, (struct plan_pod){.to_id = to_id,
                                .fate = to_id ? PLAN_PLACED : PLAN_PENDING});
    if (to_id)
        placement_put(plan->copy, to_id, plan->cluster->next_pod_id, spec);
    plan->nodes_after = placement_nodes_used(plan->copy);
}

void plan_lose(struct plan *plan, const struct node *node)
{
    struct placement_node seen = node_placement(node);
    size_t count, waiting = 0;
    struct pod **pods = node_pods(node, &count);
    struct plan_pod *moving = memory_array(count + 1, sizeof *moving);

    reserve(plan, count);
    seen.closed = PLACEMENT_LOST;
    placement_set(plan->copy, &seen);
    for (size_t i = 0; i < count; i++) {
        struct plan_pod pod = {
            .pod = pods[i], .from_id = node->id, .fate = PLAN_FAILS};

        placement_take(plan->copy, node->id, pods[i]->facts.id);
        if (pods[i]->facts.stop_requested)
            continue; /* it has stopped then */
        if (pod_runs_once(pods[i]))
            add(plan, pod);
        else
            moving[waiting++] = pod;
    }
    place_each(plan, moving, waiting, true);
    free(moving);
    free(pods);
}

static int in_turn(const void *left, const void *right)
{
    struct order_key a = pending_key(((const struct plan_pod *)left)->pod);
    struct order_key b = pending_key(((const struct plan_pod *)right)->pod);

    return order_key_less(a, b) ? -1 : order_key_less(b, a);
}

/* All that wait, in the order they are to be placed in. */
static size_t list_pending(const struct waiting *waiting, struct plan_pod *out)
{
    size_t count = 0;

    list_for_each(link, next, &waiting->all)
    {
        const struct waiting_group *group =
            container_of(link, struct waiting_group, all);

        for (struct pod *pod = waiting_first(group); pod;
             pod = waiting_next(group, pod))
            out[count++] = (struct plan_pod){.pod = pod};
    }
    qsort(out, count, sizeof *out, in_turn);
    return count;
}

/* A knode that is new can do all there is. */
struct new_labels {
    Kontor__V1__Label labels[FEATURE_COUNT];
    Kontor__V1__Label *list[FEATURE_COUNT];
};

static struct kind_labels label_as_new(struct new_labels *out)
{
    for (int i = 0; i < FEATURE_COUNT; i++) {
        kontor__v1__label__init(&out->labels[i]);
        out->labels[i].key = without_const(feature_label((enum feature)i));
        out->labels[i].value = without_const(FEATURE_KNOWN);
        out->list[i] = &out->labels[i];
    }
    return (struct kind_labels){.labels = out->list,
                                .label_count = FEATURE_COUNT};
}

void plan_add(struct plan *plan, const struct resources *capacity)
{
    const struct pods *pods = &plan->cluster->pods;
    struct new_labels labels;
    struct placement_node node = {.id = plan->cluster->next_node_id,
                                  .name = "new",
                                  .labels = label_as_new(&labels),
                                  .capacity = *capacity,
                                  .free = *capacity};
    struct plan_pod *pending =
        memory_array(pods->by_id.count + 1, sizeof *pending);
    size_t count = list_pending(&pods->waiting, pending);

    reserve(plan, count);
    placement_set(plan->copy, &node);
    place_each(plan, pending, count, false);
    free(pending);
}

/* ---- together ---- */

/* Add what moves of placement say. */
static void add_moves(struct plan *plan, const struct placement_moves *moves)
{
    for (size_t i = 0; i < moves->count; i++) {
        const struct placement_move *move = &moves->moves[i];

        add(plan, (struct plan_pod){
                      .pod = pods_find(&plan->cluster->pods, move->pod_id),
                      .from_id = move->from_id,
                      .to_id = move->to_id,
                      .fate = move->to_id ? PLAN_PLACED : PLAN_PENDING,
                  });
    }
}

void plan_drain(struct plan *plan, const struct node *node, bool force)
{
    size_t count;
    struct pod **pods = node_pods(node, &count);
    struct placement_moves moves;

    reserve(plan, count);
    for (size_t i = 0; i < count; i++) {
        if (!pod_runs_once(pods[i]) && !pods[i]->facts.stop_requested)
            continue;
        placement_take(plan->copy, node->id, pods[i]->facts.id);
        if (!pods[i]->facts.stop_requested)
            add(plan, (struct plan_pod){
                          .pod = pods[i],
                          .from_id = node->id,
                          .fate = force ? PLAN_FAILS : PLAN_STAYS,
                      });
    }
    moves = placement_drain(plan->copy, node->id);
    add_moves(plan, &moves);
    free(moves.moves);
    free(pods);
    plan->nodes_after =
        placement_nodes_used(plan->copy) + (plan->fates[PLAN_STAYS] > 0);
}

/* Something on the node is not to be moved, or its room not to be relied on. */
static bool is_unsettled(const struct node *node)
{
    if (node->leaving.count > 0)
        return true;
    list_for_each(link, next, &node->pods)
    {
        if (!pod_is_movable(container_of(link, struct pod, queue)))
            return true;
    }
    return false;
}

struct numbered_move {
    struct placement_move move;
    size_t number;
};

static int by_pod(const void *left, const void *right)
{
    const struct numbered_move *a = left;
    const struct numbered_move *b = right;

    if (a->move.pod_id != b->move.pod_id)
        return a->move.pod_id < b->move.pod_id ? -1 : 1;
    return a->number < b->number ? -1 : 1;
}

/* A pod that is moved several times goes to its last place only. By its id. */
static void join_moves(struct placement_moves *moves)
{
    struct numbered_move *all = memory_array(moves->count + 1, sizeof *all);
    size_t count = 0;

    for (size_t i = 0; i < moves->count; i++)
        all[i] = (struct numbered_move){moves->moves[i], i};
    qsort(all, moves->count, sizeof *all, by_pod);
    for (size_t first = 0, last; first < moves->count; first = last + 1) {
        last = first;
        while (last + 1 < moves->count &&
               all[last + 1].move.pod_id == all[first].move.pod_id)
            last++;
        all[first].move.to_id = all[last].move.to_id;
        if (all[first].move.to_id != all[first].move.from_id)
            moves->moves[count++] = all[first].move;
    }
    moves->count = count;
    free(all);
}

void plan_rebalance(struct plan *plan, size_t moves_max)
{
    const struct rebalance_limits limits = {moves_max, REBALANCE_STEPS_MAX};
    struct placement_moves moves;

    list_for_each(link, next, &plan->cluster->nodes.all)
    {
        const struct node *node = container_of(link, struct node, all);
        struct placement_node seen = node_placement(node);

        if (!is_unsettled(node))
            continue;
        seen.closed = PLACEMENT_CORDONED;
        placement_set(plan->copy, &seen);
    }
    moves = placement_rebalance(plan->copy, &limits);
    for (size_t i = 0; i < moves.count; i++)
        placement_move(plan->copy, &moves.moves[i]);
    join_moves(&moves);
    reserve(plan, moves.count);
    add_moves(plan, &moves);
    free(moves.moves);
    plan->nodes_after = placement_nodes_used(plan->copy);
}
