/* The emptiest nodes, into what others have left: a node's pods go where there
 * is room for each as if it were placed now, or all of them stay. */
#include "master/placement/rebalance_parts.h"

#include "base/memory.h"

#include <string.h>

/* What it costs to choose a node for a pod and to move it there and back, and
 * beside that to find it among its node's, there and back. */
enum { CHOOSE_STEPS = 256, FIND_DIVISOR = 4 };

struct awkward_pod {
    uint64_t awkward;
    uint64_t pod_id;
    const Kontor__V1__PodSpec *spec;
};

struct draining {
    struct rebalance *work;
    struct resources room;    /* on all that are used and open */
    struct awkward_pod *pods; /* of one node, those hardest to place first */
    struct placement_entry **empty; /* closed: they are not moved to */
    size_t empty_count;
};

/* Where a pod may go does not depend on who is where; or for `anti`, which is
 * looked at, only to its gain. */
static bool stands_alone(const Kontor__V1__PodSpec *spec)
{
    return spec->spread[0] == '\0' && spec->n_with == 0;
}

static bool may_drain(const struct placement_entry *entry)
{
    for (uint32_t i = 0; i < entry->resident_count; i++)
        if (!stands_alone(entry->residents[i].spec))
            return false;
    return rebalance_is_free(entry) && entry->resident_count > 0;
}

static void set_closed(struct draining *draining, struct placement_entry *entry,
                       enum placement_closed closed)
{
    entry->node.closed = closed;
    placement_touch(draining->work->placement, entry);
}

static int by_awkwardness(const void *left, const void *right)
{
    const struct awkward_pod *a = left;
    const struct awkward_pod *b = right;

    if (a->awkward != b->awkward)
        return a->awkward > b->awkward ? -1 : 1;
    return a->pod_id < b->pod_id ? -1 : 1;
}

/* Those on the node, in the order in which places are sought. Returns what all
 * of them want. */
static struct resources line_up(struct draining *draining,
                                const struct placement_entry *entry)
{
    const struct demand *demand = &draining->work->placement->demand;
    struct resources all = {0};

    for (uint32_t i = 0; i < entry->resident_count; i++) {
        const struct resident *pod = &entry->residents[i];
        struct resources want = resources_of(pod->spec->resources);

        resources_add(&all, &want);
        draining->pods[i] = (struct awkward_pod){
            demand_awkwardness(demand, &want), pod->pod_id, pod->spec};
    }
    qsort(draining->pods, entry->resident_count, sizeof *draining->pods,
          by_awkwardness);
    return all;
}

static void take_back(struct rebalance *work)
{
    while (work->trial_count > 0) {
        const struct placement_move *move = &work->trial[--work->trial_count];

        placement_move(
            work->placement,
            &(struct placement_move){move->pod_id, move->to_id, move->from_id});
    }
}

/* Move what is on a node, which is closed, to open ones; or nothing. */
static bool drain(struct draining *draining, struct placement_entry *entry)
{
    struct rebalance *work = draining->work;
    uint32_t count = entry->resident_count;
    struct resources all;

    work->trial_count = 0;
    if (!rebalance_spend(work, (uint64_t)count * REBALANCE_SORT_STEPS))
        return false;
    all = line_up(draining, entry);
    if (!resources_fit(&draining->room, &all))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct awkward_pod *pod = &draining->pods[i];
        const struct placement_request request = {
            resources_of(pod->spec->resources), pod->spec->node, pod->spec};
        struct placement_move move = {pod->pod_id, entry->node.id, 0};

        if (rebalance_spend(work, CHOOSE_STEPS + count / FIND_DIVISOR))
            move.to_id = placement_choose(work->placement, &request);
        if (!move.to_id) {
            take_back(work);
            return false;
        }
        placement_move(work->placement, &move);
        work->trial[work->trial_count++] = move;
    }
    rebalance_keep_trial(work);
    draining->room = resources_less(&draining->room, &all);
    return true;
}

/* Those that may be emptied, those with the fewest pods first. Returns how
 * many. */
static size_t look_around(struct draining *draining,
                          struct rebalance_spot *spots)
{
    const struct placement *placement = draining->work->placement;
    size_t count = 0;

    for (size_t i = 0; i < placement->count; i++) {
        struct placement_entry *entry = placement->nodes[i];
        struct resources room = placement_room(entry);

        if (may_drain(entry))
            spots[count++] =
                (struct rebalance_spot){entry->resident_count, entry};
        if (entry->node.closed != PLACEMENT_OPEN)
            continue;
        if (entry->resident_count == 0)
            draining->empty[draining->empty_count++] = entry;
        else
            resources_add(&draining->room, &room);
    }
    qsort(spots, count, sizeof *spots, rebalance_by_key);
    return count;
}

static void drain_one(struct draining *draining, struct placement_entry *entry)
{
    struct resources room = placement_room(entry);

    set_closed(draining, entry, PLACEMENT_CORDONED);
    draining->room = resources_less(&draining->room, &room);
    if (drain(draining, entry)) {
        draining->empty[draining->empty_count++] = entry;
        return;
    }
    set_closed(draining, entry, PLACEMENT_OPEN);
    resources_add(&draining->room, &room);
}

static void drain_all(struct draining *draining, struct rebalance_spot *spots)
{
    struct rebalance *work = draining->work;
    size_t count = look_around(draining, spots);

    for (size_t i = 0; i < draining->empty_count; i++)
        set_closed(draining, draining->empty[i], PLACEMENT_CORDONED);
    for (size_t i = 0; i < count && rebalance_spend(work, 1); i++) {
        struct placement_entry *entry = spots[i].entry;

        if (entry->resident_count == spots[i].key && /* none of the others' */
            work->moves.count + entry->resident_count <= work->moves_max)
            drain_one(draining, entry);
    }
    while (draining->empty_count > 0)
        set_closed(draining, draining->empty[--draining->empty_count],
                   PLACEMENT_OPEN);
}

static uint32_t most_residents(const struct placement *placement)
{
    uint32_t most = 0;

    for (size_t i = 0; i < placement->count; i++)
        if (placement->nodes[i]->resident_count > most)
            most = placement->nodes[i]->resident_count;
    return most;
}

void rebalance_drain_emptiest(struct rebalance *work)
{
    const struct placement *placement = work->placement;
    struct draining draining = {
        .work = work,
        .pods =
            memory_array(most_residents(placement) + 1, sizeof *draining.pods),
        .empty = memory_array(placement->count + 1,
                              sizeof(struct placement_entry *)),
    };
    struct rebalance_spot *spots =
        memory_array(placement->count + 1, sizeof *spots);

    drain_all(&draining, spots);
    free(draining.pods);
    free(draining.empty);
    free(spots);
}
