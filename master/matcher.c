/* Two things may let a pod be placed that waits: a node has changed for the
 * better, or the pod has begun to wait. In both cases only the node is held
 * against the index of those who wait (pending.h), or only the pod against that
 * of the nodes; nothing walks the queue.
 *
 * What was looked at in vain is counted, and no more of it is done than
 * LOOKS_A_MS on average: the rest of the time is for what comes in. What is
 * placed is not counted. */
#include "master/matcher.h"

#include "base/clock.h"
#include "base/memory.h"
#include "master/cluster_apply.h"
#include "master/keeper.h"
#include "master/placement/preempt.h"
#include "master/placement/single.h"
#include "master/preemptor.h"
#include "master/propose.h"

enum {
    BATCH_MAX = 512,    /* placements in one command, or a gang more */
    BATCHES_MAX = 8,    /* commands under way */
    GANG_AGAIN_MS = 50, /* a gang that did not fit is not tried sooner */
    LOOKS_A_MS = 1000,  /* at items of the index: a twentieth of a core */
    LOOKS_SAVED_MAX = 10000,
    LOOKS_A_CHOICE = 64,   /* what else is done, told in these */
    NODES_A_LOOK = 4,      /* of counting the room on all nodes */
    LOOKS_A_GANG_POD = 64, /* of trying a gang */
};

struct placed {
    uint64_t pod_id;
    struct placement_hold *hold;
    struct seeker *seeker;
};

/* One PlacePods under way; room is reserved for it. */
struct placer_batch {
    struct replica_proposal proposal;
    struct list under_way;
    struct placer *placer; /* NULL: it has been closed */
    uint32_t format;
    size_t count;
    size_t capacity;
    struct placed *placed; /* owned */
};

/* What a turn does. */
struct pass {
    struct placer *placer;
    struct placer_batch *batch; /* NULL: nothing is placed yet */
    struct node *node;          /* that is looked at */
    int32_t lowest;             /* and the lowest priority there */
    int64_t above;              /* only for those of a higher priority */
};

/* ---- the batch ---- */

static void batch_add(struct pass *pass, const struct placed *placed)
{
    struct placer_batch *batch = pass->batch;

    if (!batch)
        batch = pass->batch = memory_new(sizeof *batch);
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity ? batch->capacity * 2 : 16;
        batch->placed = memory_resize(batch->placed,
                                      batch->capacity * sizeof *batch->placed);
    }
    batch->placed[batch->count++] = *placed;
    if (placed->seeker->group->gang)
        batch->format = CLUSTER_FORMAT_1;
}

static void batch_free(struct placer_batch *batch)
{
    free(batch->placed);
    free(batch);
}

static void on_applied(struct replica_proposal *proposal, uint64_t index,
                       const struct error *why)
{
    struct placer_batch *batch =
        container_of(proposal, struct placer_batch, proposal);
    struct placer *placer = batch->placer;

    (void)index;
    (void)why;
    for (size_t i = 0; i < batch->count; i++) {
        const struct placed *placed = &batch->placed[i];

        if (placer)
            placer_return(placer, placed->hold, placed->pod_id);
        pending_land(placer ? &placer->pending : NULL, placed->seeker);
    }
    if (placer) {
        list_remove(&batch->under_way);
        placer->batch_count--;
    }
    batch_free(batch);
}

static void propose_batch(struct placer *placer, struct placer_batch *batch)
{
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__PlacePods operation = KONTOR__V1__PLACE_PODS__INIT;
    Kontor__V1__PlacePods__Placement *messages =
        memory_array(batch->count, sizeof *messages);

    operation.placements = memory_array(batch->count, sizeof(void *));
    operation.n_placements = batch->count;
    for (size_t i = 0; i < batch->count; i++) {
        kontor__v1__place_pods__placement__init(&messages[i]);
        messages[i].pod_id = batch->placed[i].pod_id;
        messages[i].node_id = placement_hold_node(batch->placed[i].hold);
        operation.placements[i] = &messages[i];
    }
    command.format = batch->format;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_PLACE_PODS;
    command.place_pods = &operation;
    batch->proposal.changes = batch->count;
    propose(placer->replica, &batch->proposal, &command);
    free(operation.placements);
    free(messages);
}

void matcher_forget(struct placer *placer)
{
    list_for_each(link, next, &placer->batches)
    {
        struct placer_batch *batch =
            container_of(link, struct placer_batch, under_way);

        list_remove(link);
        batch->placer = NULL;
    }
}

/* ---- one that waits ---- */

static bool is_full(const struct pass *pass)
{
    return pass->batch && pass->batch->count >= BATCH_MAX;
}

static struct placement_request request_of(const struct seeker *seeker)
{
    return placer_request(seeker->next->facts.spec->message);
}

static bool place_one(struct pass *pass, struct seeker *seeker)
{
    struct placement *view = pass->placer->view;
    struct placement_request request = request_of(seeker);
    uint64_t node_id = placement_choose(view, &request);

    if (!node_id)
        return false;
    batch_add(pass, &(struct placed){seeker->next->facts.id,
                                     placement_hold(view, node_id, &request),
                                     seeker});
    pending_fly(&pass->placer->pending, seeker);
    return true;
}

/* All of a gang that is due, or none. It costs much to find that it does not
 * fit, so it is not tried often. */
static bool place_gang(struct pass *pass, struct seeker *seeker)
{
    struct placer *placer = pass->placer;
    struct placement_request request = request_of(seeker);
    size_t size = seeker->group->count;
    struct placement_hold **holds;
    const struct pod *pod = seeker->next;
    bool fit;

    seeker->due_ms = placer->pending.now_ms + GANG_AGAIN_MS;
    placer->looks_left -= (int64_t)placer->cluster->nodes.count / NODES_A_LOOK;
    if (placement_room_for(placer->view, &request, size) < size)
        return false;
    holds = memory_array(size, sizeof(struct placement_hold *));
    fit = placer_hold_all(placer->view, &request, size, holds) == size;
    for (size_t i = 0; fit && i < size; i++) {
        batch_add(pass, &(struct placed){pod->facts.id, holds[i], seeker});
        pod = waiting_next(seeker->group, pod);
    }
    free(holds);
    if (fit)
        pending_fly(&placer->pending, seeker);
    else
        placer->looks_left -= (int64_t)size * LOOKS_A_GANG_POD;
    return fit;
}

static bool place_next(struct pass *pass, struct seeker *seeker)
{
    return seeker->group->gang ? place_gang(pass, seeker)
                               : place_one(pass, seeker);
}

/* One of which it is not known whether it fits somewhere. */
static void look_at_seeker(struct pass *pass, struct seeker *seeker)
{
    struct placer *placer = pass->placer;
    struct pending *pending = &placer->pending;
    bool gang = seeker->group->gang != 0;
    struct placement_request request;

    placer->looks_left -= LOOKS_A_CHOICE;
    if (gang && seeker->due_ms > pending->now_ms) {
        pending_take_out(pending, seeker, PENDING_UNSURE);
        pending_defer(pending, seeker);
        return;
    }
    while (seeker->next && !is_full(pass) && place_next(pass, seeker))
        ;
    if (!seeker->next || is_full(pass))
        return;
    pending_take_out(pending, seeker, PENDING_UNSURE);
    request = request_of(seeker);
    if (!gang && placement_may_preempt(placer->view, &request))
        pending_put_in(pending, seeker, PENDING_PREEMPTS);
}

/* ---- a node that may help some ---- */

static bool suits(void *data, const Kontor__V1__PodSpec *spec)
{
    const struct pass *pass = data;

    return placement_suits(pass->placer->view, pass->node->id, spec);
}

static bool takes(void *data, struct seeker *seeker)
{
    const struct pass *pass = data;
    struct pending *pending = &pass->placer->pending;

    if (seeker_priority(seeker) <= pass->above)
        return false;
    if (seeker->group->gang && seeker->due_ms > pending->now_ms) {
        pending_defer(pending, seeker);
        return false;
    }
    return placement_admits(pass->placer->view, pass->node->id,
                            seeker->next->facts.spec->message);
}

static bool would_yield(void *data, struct seeker *seeker)
{
    const struct pass *pass = data;
    struct placement_request request = request_of(seeker);

    return !seeker->group->gang && seeker_priority(seeker) > pass->lowest &&
           placement_would_yield(pass->placer->view, pass->node->id, &request);
}

/* The first that a node with so much room takes. */
static struct seeker *find_for(struct pass *pass, const struct resources *room,
                               bool (*fits)(void *, struct seeker *))
{
    struct pending_query query = {
        .room = *room, .suits = suits, .takes = fits, .data = pass};
    struct seeker *seeker = pending_match(&pass->placer->pending, &query);

    pass->placer->looks_left -= (int64_t)query.looks;
    return seeker;
}

/* Somebody there may have to go for one of those who wait. */
static void look_for_contest(struct pass *pass)
{
    struct placer *placer = pass->placer;
    struct resources room;
    struct seeker *seeker;

    if (!placement_could_offer(placer->view, pass->node->id,
                               pending_highest(&placer->pending), &room,
                               &pass->lowest))
        return;
    seeker = find_for(pass, &room, would_yield);
    if (!seeker)
        return;
    pending_put_in(&placer->pending, seeker, PENDING_PREEMPTS);
    list_append(&placer->contested, &pass->node->helped);
}

static void look_at_node(struct pass *pass, struct node *node)
{
    struct placer *placer = pass->placer;
    struct resources room;
    struct seeker *seeker;

    pass->node = node;
    while (!is_full(pass) && placement_offers(placer->view, node->id, &room)) {
        seeker = find_for(pass, &room, takes);
        if (!seeker)
            break;
        if (!place_next(pass, seeker) && !seeker->group->gang)
            break;
    }
    if (is_full(pass))
        return;
    list_remove(&node->helped);
    look_for_contest(pass);
}

/* What is kept for one: is it enough for it, or does one of a higher priority
 * take it? */
static void look_at_kept(struct pass *pass)
{
    struct placer *placer = pass->placer;
    struct seeker *favoured = placer->pending.favoured;

    keeper_open(placer);
    if (place_next(pass, favoured))
        return; /* keeper_step() sees that it is done */
    pass->above = seeker_priority(favoured);
    for (size_t i = 0; i < placer->keeper.count &&
                       pending_highest(&placer->pending) > pass->above;
         i++)
        look_at_node(pass, placer->keeper.nodes[i]);
    pass->above = INT64_MIN;
    keeper_close(placer);
}

/* ---- a turn ---- */

static void earn(int64_t *looks_left, uint64_t earned)
{
    *looks_left += (int64_t)earned;
    if (*looks_left > LOOKS_SAVED_MAX)
        *looks_left = LOOKS_SAVED_MAX;
}

/* So much may be looked at, by the time since it was last counted; whose room
 * could be taken apart from the rest, as one search is long, and why there is
 * none, as it is asked for from outside. */
static void count_looks(struct placer *placer)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t earned = (now_ms - placer->counted_ms) * LOOKS_A_MS;

    placer->counted_ms = now_ms;
    placer->pending.now_ms = now_ms;
    if (earned > LOOKS_SAVED_MAX)
        earned = LOOKS_SAVED_MAX;
    earn(&placer->looks_left, earned);
    earn(&placer->preempt_looks_left, earned);
    earn(&placer->reason_looks_left, earned);
}

static bool is_idle(const struct placer *placer)
{
    const struct pending *pending = &placer->pending;

    return list_empty(&placer->helped) && list_empty(&pending->later) &&
           !pending_first(pending, PENDING_UNSURE) && !preempt_whom(placer);
}

/* Nodes first: their room goes to the first in order, whoever came last. True:
 * all has been looked at. */
static bool look_around(struct pass *pass)
{
    struct placer *placer = pass->placer;

    while (!is_full(pass) && placer->looks_left > 0) {
        struct node *node = list_first(&placer->helped, struct node, helped);
        struct seeker *seeker = pending_first(&placer->pending, PENDING_UNSURE);

        if (node)
            look_at_node(pass, node);
        else if (seeker)
            look_at_seeker(pass, seeker);
        else
            return true;
    }
    return false;
}

bool placer_step(struct placer *placer)
{
    struct pass pass = {.placer = placer, .above = INT64_MIN};

    count_looks(placer);
    if ((placer->pending.count == 0 && placer->keeper.count == 0) ||
        placer->batch_count >= BATCHES_MAX)
        return false;
    pending_wake_due(&placer->pending);
    keeper_step(placer);
    if (is_idle(placer) && !keeper_is_due(placer))
        return false;
    if (keeper_is_due(placer) && placer->looks_left > 0)
        look_at_kept(&pass);
    if (look_around(&pass))
        preempt_next(placer);
    if (pass.batch) {
        pass.batch->placer = placer;
        pass.batch->proposal.done = on_applied;
        list_append(&placer->batches, &pass.batch->under_way);
        placer->batch_count++;
        propose_batch(placer, pass.batch);
    }
    return !is_idle(placer);
}
