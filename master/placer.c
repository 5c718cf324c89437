#include "master/placer.h"

#include "base/memory.h"
#include "master/cluster_apply.h"
#include "master/placement/preempt.h"
#include "master/preemptor.h"
#include "master/propose.h"

enum {
    BATCH_MAX = 512,    /* placements in one command, or a gang more */
    TOO_LARGE_MAX = 64, /* wants that a pass remembers as not fitting */
    MISSED_BITS = 12,   /* and specs: so many, as a power of two */
};

struct placed {
    uint64_t pod_id;
    struct placement_hold *hold;
};

/* One PlacePods under way; room is reserved for it. */
struct placer_batch {
    struct replica_proposal proposal;
    struct placer *placer; /* NULL: it has been closed */
    uint32_t format;
    size_t count;
    size_t capacity;
    struct placed *placed; /* owned */
};

/* What a pass found not to fit: as many, or more, of what wants as much do not
 * fit either, where only room matters. */
struct too_large {
    struct {
        struct resources want;
        size_t pods;
    } known[TOO_LARGE_MAX];
    size_t count;
};

/* ---- the view of the state ---- */

static void on_put(void *data, const struct node *node, const struct pod *pod)
{
    struct placer *placer = data;
    const Kontor__V1__PodSpec *spec = pod->facts.spec->message;

    placement_put(placer->view, node->id, pod->facts.id, spec);
    if (spec->priority < placer->waiting ||
        presences_find(&placer->awaited, PRESENCE_PODS, spec->app))
        placer->look_again = true;
}

static void on_taken(void *data, const struct node *node, const struct pod *pod)
{
    struct placer *placer = data;

    placement_take(placer->view, node->id, pod->facts.id);
    placer->look_again = true;
}

/* See all that there is, and be told of pods from now on. */
static void look_at(struct placer *placer, struct cluster *cluster)
{
    placer->view = placement_new();
    placer->cluster = cluster;
    list_for_each(link, next, &cluster->nodes.all)
    {
        struct node *node = container_of(link, struct node, all);
        struct placement_node seen = node_placement(node);

        placement_set(placer->view, &seen);
        list_for_each(pod, following, &node->pods)
            on_put(placer, node, container_of(pod, struct pod, queue));
    }
    cluster->nodes.watcher = (struct node_watcher){on_put, on_taken, placer};
}

void placer_init(struct placer *placer, struct cluster *cluster)
{
    *placer = (struct placer){.waiting = INT32_MIN};
    presences_init(&placer->awaited);
    look_at(placer, cluster);
}

void placer_fini(struct placer *placer)
{
    if (placer->batch)
        placer->batch->placer = NULL;
    preemption_forget(placer->preemption);
    placer->cluster->nodes.watcher = (struct node_watcher){0};
    placement_free(placer->view);
    presences_fini(&placer->awaited);
}

void placer_reset(struct placer *placer, struct cluster *cluster)
{
    placer->cluster->nodes.watcher = (struct node_watcher){0};
    placement_free(placer->view);
    look_at(placer, cluster);
    placer_refresh(placer);
}

void placer_refresh(struct placer *placer)
{
    struct node *node;

    while ((node = nodes_take_changed(&placer->cluster->nodes))) {
        struct placement_node seen = node_placement(node);

        if (placement_set(placer->view, &seen))
            placer->look_again = true;
    }
}

void placer_lead(struct placer *placer)
{
    placer->look_again = true;
}

struct placement_request placer_request(const Kontor__V1__PodSpec *spec)
{
    return (struct placement_request){
        .want = resources_of(spec->resources),
        .node = spec->node,
        .spec = spec,
    };
}

/* ---- pending pods ---- */

static bool known_too_large(const struct too_large *too_large,
                            const struct resources *want, size_t pods)
{
    for (size_t i = 0; i < too_large->count; i++) {
        if (pods >= too_large->known[i].pods &&
            resources_fit(want, &too_large->known[i].want))
            return true;
    }
    return false;
}

/* What a pass over the pending pods finds. */
struct pass {
    struct placer_batch *batch;
    struct too_large too_large;
    const struct spec *missed[1 << MISSED_BITS]; /* by hash, the latest */
    struct preemptors preemptors;
};

static void batch_add(struct placer_batch *batch, uint64_t pod_id,
                      struct placement_hold *hold)
{
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity ? batch->capacity * 2 : 16;
        batch->placed = memory_resize(batch->placed,
                                      batch->capacity * sizeof *batch->placed);
    }
    batch->placed[batch->count++] = (struct placed){pod_id, hold};
}

/* The pods of the gang that `first` leads. */
static size_t gang_size(const struct placer *placer, const struct pod *first)
{
    size_t size = 0;

    for (const struct pod *pod = first; pod;
         pod = pod_gang_next(&placer->cluster->pods, pod))
        size++;
    return size;
}

/* Hold room for all pods of a gang, in holds[]; or for none: how many fit. */
static size_t hold_gang(struct placer *placer,
                        const struct placement_request *request, size_t size,
                        struct placement_hold **holds)
{
    struct placement_request *requests = memory_array(size, sizeof *requests);
    size_t fit = size; /* equals are placed in their order */

    for (size_t i = 0; i < size; i++)
        requests[i] = *request;
    placement_place_gang(placer->view, requests, size, holds, &fit);
    free(requests);
    return fit;
}

/* False: they do not all fit. */
static bool place_gang(struct placer *placer, const struct pod *first,
                       size_t size, struct placer_batch *batch)
{
    struct placement_request request =
        placer_request(first->facts.spec->message);
    struct placement_hold **holds =
        memory_array(size, sizeof(struct placement_hold *));
    bool fit = hold_gang(placer, &request, size, holds) == size;
    const struct pod *pod = first;

    for (size_t i = 0; fit && i < size; i++) {
        batch_add(batch, pod->facts.id, holds[i]);
        pod = pod_gang_next(&placer->cluster->pods, pod);
    }
    if (fit)
        batch->format = CLUSTER_FORMAT_1;
    free(holds);
    return fit;
}

static bool place_one(struct placer *placer, const struct pod *pod,
                      struct placer_batch *batch)
{
    struct placement_request request = placer_request(pod->facts.spec->message);
    uint64_t node_id = placement_choose(placer->view, &request);

    if (node_id)
        batch_add(batch, pod->facts.id,
                  placement_hold(placer->view, node_id, &request));
    return node_id != 0;
}

static void waits(struct placer *placer, const struct pod *pod)
{
    int32_t priority = pod->facts.spec->message->priority;

    if (priority > placer->waiting)
        placer->waiting = priority;
}

static const struct spec **missed_slot(struct pass *pass,
                                       const struct spec *spec)
{
    return &pass->missed[map_hash_id((uintptr_t)spec) >> (64 - MISSED_BITS)];
}

/* One pod, or `size` of a gang. What did not fit is not tried again for others
 * of its spec: nothing is given back while a pass lasts. */
static bool place(struct placer *placer, const struct pod *pod, size_t size,
                  struct pass *pass)
{
    struct too_large *too_large = &pass->too_large;
    const struct spec **missed = missed_slot(pass, pod->facts.spec);
    struct placement_request request = placer_request(pod->facts.spec->message);
    bool ruled = placement_is_ruled(placer->view, &request);
    bool placed;

    if ((!pod->gang && *missed == pod->facts.spec) ||
        (!ruled && known_too_large(too_large, &request.want, size)))
        return false;
    placed = pod->gang ? place_gang(placer, pod, size, pass->batch)
                       : place_one(placer, pod, pass->batch);
    if (!placed && !ruled && too_large->count < TOO_LARGE_MAX) {
        too_large->known[too_large->count].want = request.want;
        too_large->known[too_large->count++].pods = size;
    }
    if (!placed && !pod->gang)
        *missed = pod->facts.spec;
    return placed;
}

/* Where it wants to be with others, it waits for them, too. */
static void await_others(struct placer *placer, const struct spec *spec)
{
    for (size_t i = 0; i < spec->message->n_with; i++)
        presences_add(&placer->awaited, PRESENCE_PODS, spec->message->with[i],
                      0);
}

/* Choose for the pods of one queue until the batch is full. */
static void place_queue(struct placer *placer, struct list *queue,
                        struct pass *pass)
{
    for (struct list *link = queue->next;
         link != queue && pass->batch->count < BATCH_MAX;) {
        const struct pod *pod = container_of(link, struct pod, queue);
        size_t size = pod->gang ? gang_size(placer, pod) : 1;
        struct placement_request request =
            placer_request(pod->facts.spec->message);

        for (size_t i = 0; i < size; i++)
            link = link->next;
        if (place(placer, pod, size, pass))
            continue;
        await_others(placer, pod->facts.spec);
        if (pod->gang)
            continue;
        waits(placer, pod);
        if (placement_may_preempt(placer->view, &request))
            preemptors_add(&pass->preemptors, pod);
    }
}

/* Pending, and it need not be, or it may take the place of others. */
static bool helped_now(struct placer *placer, const struct pod *pod)
{
    struct placement_request request = placer_request(pod->facts.spec->message);
    struct placement_victims victims;
    size_t size;

    if (pod->gang)
        return placer_gang_room(placer, pod, &size) == size;
    if (pod->facts.phase != KONTOR__V1__POD_PHASE__POD_PENDING)
        return false;
    if (placement_choose(placer->view, &request) != 0)
        return true;
    waits(placer, pod);
    victims = placement_preempt(placer->view, &request);
    free(victims.pod_ids);
    return victims.node_id != 0;
}

void placer_return(struct placer *placer, struct placement_hold *hold,
                   uint64_t pod_id)
{
    const struct pod *pod = pods_find(&placer->cluster->pods, pod_id);

    if (!hold) {
        if (pod && pod->facts.phase == KONTOR__V1__POD_PHASE__POD_PENDING)
            await_others(placer, pod->facts.spec);
        placer->look_again |= pod && helped_now(placer, pod);
        return;
    }
    if (!pod || pod->facts.node_id != placement_hold_node(hold))
        placer->look_again = true;
    placement_unhold(placer->view, hold);
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
    if (placer) {
        for (size_t i = 0; i < batch->count; i++)
            placer_return(placer, batch->placed[i].hold,
                          batch->placed[i].pod_id);
        if (why->code != 0 || batch->count >= BATCH_MAX)
            placer->look_again = true;
        placer->batch = NULL;
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
    propose(placer->replica, &batch->proposal, &command);
    free(operation.placements);
    free(messages);
}

static void look_at_pending(struct placer *placer)
{
    struct pods *pods = &placer->cluster->pods;
    struct pass pass = {.batch = memory_new(sizeof *pass.batch)};

    place_queue(placer, &pods->displaced, &pass);
    place_queue(placer, &pods->fresh, &pass);
    preempt_for(placer, &pass.preemptors);
    if (pass.batch->count == 0) {
        batch_free(pass.batch);
        return;
    }
    pass.batch->placer = placer;
    pass.batch->proposal.done = on_applied;
    placer->batch = pass.batch;
    propose_batch(placer, pass.batch);
}

void placer_step(struct placer *placer)
{
    const struct pods *pods = &placer->cluster->pods;

    if (!placer->look_again || placer->batch)
        return;
    placer->look_again = false;
    placer->waiting = INT32_MIN;
    presences_fini(&placer->awaited);
    presences_init(&placer->awaited);
    if (!list_empty(&pods->displaced) || !list_empty(&pods->fresh))
        look_at_pending(placer);
}

struct placement_verdict *placer_why(struct placer *placer,
                                     const struct pod *pod, size_t *count,
                                     char summary[PLACEMENT_SUMMARY_MAX])
{
    const struct pod_facts *facts = &pod->facts;
    struct placement_request request = placer_request(facts->spec->message);
    const struct node *own =
        pod_ended(pod) ? NULL
                       : nodes_find(&placer->cluster->nodes, facts->node_id);
    struct placement_verdict *verdicts;
    struct placement_node seen;

    if (own) { /* as if it were still to be placed */
        seen = node_placement(own);
        resources_add(&seen.free, &request.want);
        placement_set(placer->view, &seen);
        placement_take(placer->view, own->id, facts->id);
    }
    verdicts = placement_explain(placer->view, &request, count);
    placement_summarise(placer->view, &request, summary);
    if (own) {
        seen = node_placement(own);
        placement_set(placer->view, &seen);
        placement_put(placer->view, own->id, facts->id, request.spec);
    }
    return verdicts;
}

size_t placer_gang_room(struct placer *placer, const struct pod *pod,
                        size_t *size)
{
    const struct pods *pods = &placer->cluster->pods;
    struct placement_request request = placer_request(pod->facts.spec->message);
    struct placement_hold **holds;
    size_t fit;

    while (!pod_leads_gang(pods, pod))
        pod = container_of(pod->queue.prev, struct pod, queue);
    *size = gang_size(placer, pod);
    holds = memory_array(*size, sizeof(struct placement_hold *));
    fit = hold_gang(placer, &request, *size, holds);
    for (size_t i = 0; i < *size; i++)
        placement_unhold(placer->view, holds[i]);
    free(holds);
    return fit;
}
