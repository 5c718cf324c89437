#include "master/placer.h"

#include "base/memory.h"
#include "master/cluster_apply.h"
#include "master/propose.h"

#include <assert.h>
#include <string.h>

enum {
    BATCH_MAX = 512,    /* placements in one command */
    TOO_LARGE_MAX = 64, /* wants that a pass remembers as not fitting */
};

struct placed {
    uint64_t pod_id;
    struct placement_hold *hold;
};

/* One PlacePods under way; room is reserved for it. */
struct placer_batch {
    struct replica_proposal proposal;
    struct placer *placer; /* NULL: it has been closed */
    size_t count;
    struct placed placed[BATCH_MAX];
};

/* What a pass found not to fit: what wants as much does not fit either, where
 * only room matters. */
struct too_large {
    struct resources wants[TOO_LARGE_MAX];
    size_t count;
};

/* ---- the view of the state ---- */

static void on_put(void *data, const struct node *node, const struct pod *pod)
{
    placement_put(data, node->id, pod->facts.id, pod->facts.spec->message);
}

static void on_taken(void *data, const struct node *node, const struct pod *pod)
{
    placement_take(data, node->id, pod->facts.id);
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
            on_put(placer->view, node, container_of(pod, struct pod, queue));
    }
    cluster->nodes.watcher =
        (struct node_watcher){on_put, on_taken, placer->view};
}

void placer_init(struct placer *placer, struct cluster *cluster)
{
    *placer = (struct placer){0};
    look_at(placer, cluster);
}

void placer_fini(struct placer *placer)
{
    if (placer->batch)
        placer->batch->placer = NULL;
    placer->cluster->nodes.watcher = (struct node_watcher){0};
    placement_free(placer->view);
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

        /* A lost node's pods are pending from now on. */
        if (placement_set(placer->view, &seen) || seen.closed == PLACEMENT_LOST)
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

static bool known_too_large(const struct too_large *known,
                            const struct resources *want)
{
    for (size_t i = 0; i < known->count; i++) {
        if (resources_fit(want, &known->wants[i]))
            return true;
    }
    return false;
}

/* Choose for the pods of one queue until the batch is full. */
static void place_queue(struct placer *placer, struct list *queue,
                        struct placer_batch *batch, struct too_large *known)
{
    list_for_each(link, next, queue)
    {
        const struct pod *pod = container_of(link, struct pod, queue);
        const struct spec *spec = pod->facts.spec;
        struct placement_request request = placer_request(spec->message);
        uint64_t node_id;
        bool ruled;

        if (batch->count == BATCH_MAX)
            return;
        ruled = placement_is_ruled(placer->view, &request);
        if (!ruled && known_too_large(known, &request.want))
            continue;
        node_id = placement_choose(placer->view, &request);
        if (node_id == 0) {
            if (!ruled && known->count < TOO_LARGE_MAX)
                known->wants[known->count++] = request.want;
            continue;
        }
        batch->placed[batch->count++] = (struct placed){
            pod->facts.id, placement_hold(placer->view, node_id, &request)};
    }
}

static bool fits_now(struct placer *placer, const struct pod *pod)
{
    struct placement_request request = placer_request(pod->facts.spec->message);

    return pod->facts.phase == KONTOR__V1__POD_PHASE__POD_PENDING &&
           placement_choose(placer->view, &request) != 0;
}

void placer_return(struct placer *placer, struct placement_hold *hold,
                   uint64_t pod_id)
{
    const struct pod *pod = pods_find(&placer->cluster->pods, pod_id);

    if (!hold) {
        placer->look_again |= pod && fits_now(placer, pod);
        return;
    }
    if (!pod || pod->facts.node_id != placement_hold_node(hold))
        placer->look_again = true;
    placement_unhold(placer->view, hold);
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
        if (why->code != 0 || batch->count == BATCH_MAX)
            placer->look_again = true;
        placer->batch = NULL;
    }
    free(batch);
}

static void propose_batch(struct placer *placer, struct placer_batch *batch)
{
    static const Kontor__V1__PlacePods__Placement empty =
        KONTOR__V1__PLACE_PODS__PLACEMENT__INIT;
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__PlacePods operation = KONTOR__V1__PLACE_PODS__INIT;
    Kontor__V1__PlacePods__Placement messages[BATCH_MAX];
    Kontor__V1__PlacePods__Placement *pointers[BATCH_MAX];

    for (size_t i = 0; i < batch->count; i++) {
        messages[i] = empty;
        messages[i].pod_id = batch->placed[i].pod_id;
        messages[i].node_id = placement_hold_node(batch->placed[i].hold);
        pointers[i] = &messages[i];
    }
    operation.placements = pointers;
    operation.n_placements = batch->count;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_PLACE_PODS;
    command.place_pods = &operation;
    propose(placer->replica, &batch->proposal, &command);
}

void placer_step(struct placer *placer)
{
    struct pods *pods = &placer->cluster->pods;
    struct too_large known = {.count = 0};
    struct placer_batch *batch;

    if (!placer->look_again || placer->batch)
        return;
    placer->look_again = false;
    if (list_empty(&pods->displaced) && list_empty(&pods->fresh))
        return;
    batch = memory_new(sizeof *batch);
    place_queue(placer, &pods->displaced, batch, &known);
    place_queue(placer, &pods->fresh, batch, &known);
    if (batch->count == 0) {
        free(batch);
        return;
    }
    batch->placer = placer;
    batch->proposal.done = on_applied;
    placer->batch = batch;
    propose_batch(placer, batch);
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
    }
    verdicts = placement_explain(placer->view, &request, count);
    placement_summarise(placer->view, &request, summary);
    if (own) {
        seen = node_placement(own);
        placement_set(placer->view, &seen);
    }
    return verdicts;
}
