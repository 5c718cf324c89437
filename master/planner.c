#include "master/planner_parts.h"

#include "base/feature.h"
#include "base/memory.h"
#include "master/placement/rebalance.h"
#include "master/preemptor.h"

#include <string.h>

/* Some 40 ms: meanwhile the leader does nothing else, heartbeats neither. */
enum {
    REBALANCE_STEPS_MAX = 8000000,
};

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

void plan_note(struct plan *plan, struct plan_pod pod)
{
    if ((plan->count & (plan->count - 1)) == 0) /* a power of two: it is full */
        plan->pods = memory_resize(plan->pods,
                                   (2 * plan->count + 1) * sizeof *plan->pods);
    plan->pods[plan->count++] = pod;
    plan->fates[pod.fate]++;
}

/* ---- one after the other, as the placer does ---- */

/* All of a gang that waits, or none; it is told by the first. */
static void place_gang(struct plan *plan, const struct pod *first)
{
    const struct waiting_group *gang =
        waiting_group_of(&plan->cluster->pods.waiting, first);
    const Kontor__V1__PodSpec *spec = first->facts.spec->message;
    struct placement_request request = placer_request(spec);
    struct placement_hold **holds =
        memory_array(gang->count, sizeof(struct placement_hold *));
    size_t fit = placer_hold_all(plan->copy, &request, gang->count, holds);
    const struct pod *pod = first;

    if (fit < gang->count)
        plan->fates[PLAN_PENDING] += gang->count;
    for (size_t i = 0; i < gang->count && fit == gang->count; i++) {
        uint64_t to_id = placement_hold_node(holds[i]);

        placement_unhold(plan->copy, holds[i]);
        placement_give(plan->copy, to_id, pod->facts.id, spec);
        plan_note(plan, (struct plan_pod){
                            .pod = pod, .to_id = to_id, .fate = PLAN_PLACED});
        pod = waiting_next(gang, pod);
    }
    free(holds);
}

/* Pods that wait for a node, in this order. What fits nowhere is only told
 * when `all`. */
static void place_each(struct plan *plan, const struct plan_pod *pods,
                       size_t count, bool all)
{
    const struct spec *stuck = NULL; /* the one before, and what is like it */

    for (size_t i = 0; i < count; i++) {
        const struct pod_facts *facts = &pods[i].pod->facts;
        const Kontor__V1__PodSpec *spec = facts->spec->message;
        struct placement_request request = placer_request(spec);
        struct plan_pod out = pods[i];

        if (pods[i].pod->gang) {
            place_gang(plan, pods[i].pod);
            continue;
        }
        if (facts->spec != stuck)
            out.to_id = placement_choose(plan->copy, &request);
        out.fate = out.to_id ? PLAN_PLACED : PLAN_PENDING;
        stuck = out.to_id ? NULL : facts->spec;
        if (out.to_id)
            placement_give(plan->copy, out.to_id, facts->id, spec);
        if (out.to_id || all)
            plan_note(plan, out);
        else
            plan->fates[PLAN_PENDING]++;
    }
    plan->nodes_after = placement_nodes_used(plan->copy);
}

/* ---- lower ones make room ---- */

struct placement_victims plan_evict(struct plan *plan,
                                    const struct placement_request *request,
                                    size_t *looks)
{
    struct placement_victims victims = {0};

    if (plan->cluster->format < CLUSTER_FORMAT_1)
        return victims;
    victims = preempt_seek(plan->cluster, plan->copy, request);
    *looks += victims.looks;
    for (size_t i = 0; i < victims.count; i++)
        placement_withdraw(plan->copy, victims.node_id, victims.pod_ids[i]);
    plan->preempted += victims.count;
    return victims;
}

/* ---- new pods ---- */

struct scheduling {
    struct plan *plan;
    const struct plan_wanted *wanted;
    struct placement_request request;
    struct plan_pod *victims; /* owned */
    size_t victim_count;
    size_t looks; /* at nodes, for who could make room */
};

static void add_new(struct scheduling *work, uint32_t i, uint64_t to_id)
{
    struct plan *plan = work->plan;

    if (to_id)
        placement_give(plan->copy, to_id, plan->cluster->next_pod_id + i,
                       work->wanted->spec);
    plan_note(plan,
              (struct plan_pod){.number = work->wanted->number + i,
                                .to_id = to_id,
                                .fate = to_id ? PLAN_PLACED : PLAN_PENDING});
}

/* Where lower priorities make room for the new pod of that number: a node; or
 * 0, when they cannot, for others alike neither. */
static uint64_t make_room(struct scheduling *work, uint32_t number)
{
    struct plan *plan = work->plan;
    struct placement_victims victims =
        plan_evict(plan, &work->request, &work->looks);

    if (victims.count > 0)
        work->victims =
            memory_resize(work->victims, (work->victim_count + victims.count) *
                                             sizeof *work->victims);
    for (size_t i = 0; i < victims.count; i++)
        work->victims[work->victim_count++] = (struct plan_pod){
            .pod = pods_find(&plan->cluster->pods, victims.pod_ids[i]),
            .winner = number,
            .from_id = victims.node_id,
        };
    free(victims.pod_ids);
    return victims.node_id;
}

/* As Schedule does. */
static void hold_new(const struct scheduling *work,
                     struct placement_hold **holds)
{
    struct plan *plan = work->plan;
    uint32_t pods = work->wanted->pods;
    struct placement_request *requests;

    if (work->wanted->gang) {
        plan->gang_fit =
            placer_hold_all(plan->copy, &work->request, pods, holds);
        plan->gang = plan->gang_fit < pods ? pods : 0;
        return;
    }
    requests = memory_array(pods, sizeof *requests);
    for (uint32_t i = 0; i < pods; i++)
        requests[i] = work->request;
    placement_place_all(plan->copy, requests, pods, holds);
    free(requests);
}

void plan_schedule(struct plan *plan, const struct plan_wanted *wanted)
{
    struct scheduling work = {.plan = plan,
                              .wanted = wanted,
                              .request = placer_request(wanted->spec)};
    struct placement_hold **holds =
        memory_array(wanted->pods, sizeof(struct placement_hold *));
    bool room = !wanted->gang; /* some may be made */

    hold_new(&work, holds);
    for (uint32_t i = 0; i < wanted->pods; i++) {
        uint64_t to_id = holds[i] ? placement_hold_node(holds[i]) : 0;

        placement_unhold(plan->copy, holds[i]);
        if (!to_id && room && work.looks > PLAN_LOOKS_MAX)
            plan->preempts_more = true;
        else if (!to_id && room)
            room = (to_id = make_room(&work, wanted->number + i)) != 0;
        add_new(&work, i, to_id);
    }
    place_each(plan, work.victims, work.victim_count, true);
    free(work.victims);
    free(holds);
}

/* ---- nodes more ---- */

static int in_turn(const void *left, const void *right)
{
    struct order_key a = pending_key(((const struct plan_pod *)left)->pod);
    struct order_key b = pending_key(((const struct plan_pod *)right)->pod);

    return order_key_less(a, b) ? -1 : order_key_less(b, a);
}

/* All that wait, of a gang the first, in the order they are to be placed in. */
static size_t list_pending(const struct waiting *waiting, struct plan_pod *out)
{
    size_t count = 0;

    list_for_each(link, next, &waiting->all)
    {
        const struct waiting_group *group =
            container_of(link, struct waiting_group, all);

        for (struct pod *pod = waiting_first(group); pod;
             pod = group->gang ? NULL : waiting_next(group, pod))
            out[count++] = (struct plan_pod){.pod = pod};
    }
    qsort(out, count, sizeof *out, in_turn);
    return count;
}

/* A knode that is new can do all there is, unless a label says otherwise. */
struct new_labels {
    Kontor__V1__Label features[FEATURE_COUNT];
    Kontor__V1__Label *list[FEATURE_COUNT + NODE_LABELS_MAX];
    size_t count;
};

static void label_as_new(const struct plan_nodes *nodes, struct new_labels *out)
{
    for (size_t i = 0; i < nodes->label_count; i++)
        out->list[i] = nodes->labels[i];
    out->count = nodes->label_count;
    for (int i = 0; i < FEATURE_COUNT; i++) {
        const char *key = feature_label((enum feature)i);
        bool told = false;

        for (size_t k = 0; k < nodes->label_count; k++)
            told |= strcmp(nodes->labels[k]->key, key) == 0;
        if (told)
            continue;
        kontor__v1__label__init(&out->features[i]);
        out->features[i].key = without_const(key);
        out->features[i].value = without_const(FEATURE_KNOWN);
        out->list[out->count++] = &out->features[i];
    }
}

void plan_add(struct plan *plan, const struct plan_nodes *nodes)
{
    const struct pods *pods = &plan->cluster->pods;
    struct new_labels labels;
    struct placement_node node = {
        .name = "new", .capacity = nodes->capacity, .free = nodes->capacity};
    struct plan_pod *pending =
        memory_array(series_count(&pods->all) + 1, sizeof *pending);
    size_t count = list_pending(&pods->waiting, pending);

    label_as_new(nodes, &labels);
    node.labels = (struct kind_labels){.labels = labels.list,
                                       .label_count = labels.count};
    for (uint32_t i = 0; i < nodes->count; i++) {
        node.id = plan->cluster->next_node_id + i;
        placement_set(plan->copy, &node);
    }
    plan->nodes_added = nodes->count;
    place_each(plan, pending, count, false);
    free(pending);
}

/* ---- together ---- */

/* Add what moves of placement say. */
static void add_moves(struct plan *plan, const struct placement_moves *moves)
{
    for (size_t i = 0; i < moves->count; i++) {
        const struct placement_move *move = &moves->moves[i];

        plan_note(plan,
                  (struct plan_pod){
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

    for (size_t i = 0; i < count; i++) {
        if (!pod_runs_once(pods[i]) && !pods[i]->facts.stop_requested)
            continue;
        placement_take(plan->copy, node->id, pods[i]->facts.id);
        if (!pods[i]->facts.stop_requested)
            plan_note(plan, (struct plan_pod){
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
    join_moves(&moves);
    add_moves(plan, &moves);
    free(moves.moves);
    plan->nodes_after = placement_nodes_used(plan->copy);
}

static bool may_move(const void *pods, uint64_t pod_id)
{
    const struct pod *pod = pods_find(pods, pod_id);

    return pod && pod_is_movable(pod);
}

void plan_even(struct plan *plan, size_t moves_max)
{
    const struct even_limits limits = {.moves = moves_max,
                                       .steps = REBALANCE_STEPS_MAX,
                                       .may_move = may_move,
                                       .data = &plan->cluster->pods};
    struct placement_moves moves;

    plan->even = true;
    plan->even_before = placement_evenness(plan->copy);
    moves = placement_even(plan->copy, &limits);
    plan->even_after = placement_evenness(plan->copy);
    add_moves(plan, &moves);
    free(moves.moves);
    plan->nodes_after = placement_nodes_used(plan->copy);
}
