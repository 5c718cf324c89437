#include "master/placer.h"

#include "base/clock.h"
#include "base/memory.h"
#include "master/matcher.h"
#include "master/placement/single.h"
#include "master/preemptor.h"

#include <stdio.h>

/* ---- who may have been helped ---- */

void placer_help(struct placer *placer, struct node *node)
{
    if (placer->pending.count == 0)
        return; /* whoever comes later looks for itself */
    list_remove(&node->helped);
    list_append(&placer->helped, &node->helped);
}

void placer_help_contested(struct placer *placer)
{
    list_for_each(link, next, &placer->contested)
        placer_help(placer, container_of(link, struct node, helped));
}

static void help_all(struct placer *placer)
{
    list_for_each(link, next, &placer->cluster->nodes.all)
        placer_help(placer, container_of(link, struct node, all));
}

static bool is_awaited(const struct placer *placer, const char *app)
{
    const struct presences *awaited = &placer->pending.awaited;

    return !list_empty(&awaited->all) &&
           presences_find(awaited, PRESENCE_PODS, app);
}

/* A pod that wants to be with its own app may be the first one anywhere, once
 * there is none. */
static void app_left(struct placer *placer, const char *name)
{
    const struct pods *pods = &placer->cluster->pods;
    const struct pod *pod;
    const struct app *app;

    if (!is_awaited(placer, name) || placement_has_app(placer->view, name))
        return;
    app = pods_find_app(pods, name);
    for (uint32_t at = 0; app && (pod = series_walk(&app->pods, &at));) {
        struct seeker *seeker;

        if (pod->facts.phase != KONTOR__V1__POD_PHASE__POD_PENDING)
            continue;
        seeker = waiting_group_of(&pods->waiting, pod)->note;
        if (seeker->next)
            pending_put_in(&placer->pending, seeker, PENDING_UNSURE);
    }
}

/* ---- the view of the state ---- */

static void on_put(void *data, struct node *node, const struct pod *pod)
{
    struct placer *placer = data;
    const Kontor__V1__PodSpec *spec = pod->facts.spec->message;

    placement_put(placer->view, node->id, pod->facts.id, spec);
    if (placer->pending.count > 0 &&
        (spec->priority < pending_highest(&placer->pending) ||
         is_awaited(placer, spec->app)))
        placer_help(placer, node);
}

static void on_taken(void *data, struct node *node, const struct pod *pod)
{
    struct placer *placer = data;

    placement_take(placer->view, node->id, pod->facts.id);
    if (placer->pending.count == 0)
        return;
    placer_help(placer, node);
    placer_help_contested(placer);
    app_left(placer, pod->facts.spec->message->app);
}

static void on_joined(void *data, struct waiting_group *group, struct pod *pod)
{
    struct placer *placer = data;

    placer->pending.now_ms = clock_monotonic_ms();
    pending_join(&placer->pending, group, pod);
}

static void on_leaves(void *data, struct waiting_group *group, struct pod *pod)
{
    struct placer *placer = data;

    pending_leave(&placer->pending, group, pod);
}

static struct placement_node seen(const struct node *node)
{
    struct placement_node view = node_placement(node);

    if (node->kept && view.closed == PLACEMENT_OPEN)
        view.closed = PLACEMENT_KEPT;
    return view;
}

bool placer_see(struct placer *placer, const struct node *node)
{
    struct placement_node view = seen(node);

    return placement_set(placer->view, &view);
}

/* See all that there is, and be told of pods from now on. */
static void look_at(struct placer *placer, struct cluster *cluster)
{
    struct waiting *waiting = &cluster->pods.waiting;

    placer->view = placement_new();
    placer->cluster = cluster;
    pending_init(&placer->pending);
    keeper_init(&placer->keeper);
    list_init(&placer->helped);
    list_init(&placer->contested);
    list_for_each(link, next, &cluster->nodes.all)
    {
        struct node *node = container_of(link, struct node, all);

        placer_see(placer, node);
        list_for_each(pod, following, &node->pods)
            on_put(placer, node, container_of(pod, struct pod, queue));
    }
    list_for_each(link, next, &waiting->all)
    {
        struct waiting_group *group =
            container_of(link, struct waiting_group, all);

        on_joined(placer, group, waiting_first(group));
    }
    cluster->nodes.watcher = (struct node_watcher){on_put, on_taken, placer};
    waiting->watcher = (struct waiting_watcher){on_joined, on_leaves, placer};
}

static void look_away(struct placer *placer)
{
    placer->cluster->nodes.watcher = (struct node_watcher){0};
    placer->cluster->pods.waiting.watcher = (struct waiting_watcher){0};
    pending_fini(&placer->pending);
    keeper_fini(&placer->keeper);
}

void placer_init(struct placer *placer, struct cluster *cluster)
{
    *placer = (struct placer){0};
    list_init(&placer->batches);
    look_at(placer, cluster);
}

void placer_fini(struct placer *placer)
{
    look_away(placer);
    matcher_forget(placer);
    preemption_forget(placer->preemption);
    placement_free(placer->view);
}

void placer_reset(struct placer *placer, struct cluster *cluster)
{
    look_away(placer);
    placement_free(placer->view);
    look_at(placer, cluster);
    placer_refresh(placer);
}

void placer_refresh(struct placer *placer)
{
    struct node *node;

    while ((node = nodes_take_changed(&placer->cluster->nodes))) {
        if (placer_see(placer, node))
            placer_help(placer, node);
        placer->keeper.gained |= node->kept;
    }
}

void placer_lead(struct placer *placer)
{
    keeper_release(placer);
    help_all(placer);
}

/* ---- room that is kept ---- */

void placer_return(struct placer *placer, struct placement_hold *hold,
                   uint64_t pod_id)
{
    uint64_t node_id = placement_hold_node(hold);
    const struct pod *pod = pods_find(&placer->cluster->pods, pod_id);
    char app[APP_NAME_MAX + 1];

    if (pod && pod->facts.node_id == node_id) {
        placement_unhold(placer->view, hold);
        return;
    }
    snprintf(app, sizeof app, "%s", placement_hold_app(hold));
    placement_unhold(placer->view, hold);
    placer_help(placer, nodes_find(&placer->cluster->nodes, node_id));
    app_left(placer, app);
}

struct placement_request placer_request(const Kontor__V1__PodSpec *spec)
{
    return (struct placement_request){
        .want = resources_of(spec->resources),
        .node = spec->node,
        .spec = spec,
    };
}

size_t placer_hold_all(struct placement *view,
                       const struct placement_request *request, size_t size,
                       struct placement_hold **holds)
{
    struct placement_request *requests = memory_array(size, sizeof *requests);
    size_t fit = size; /* equals are placed in their order */

    for (size_t i = 0; i < size; i++)
        requests[i] = *request;
    placement_place_gang(view, requests, size, holds, &fit);
    free(requests);
    return fit;
}

/* ---- what is told ---- */

void placer_reason(struct placer *placer,
                   const struct placement_request *request,
                   char text[PLACEMENT_SUMMARY_MAX])
{
    if (placer->reason_looks_left < 0) {
        snprintf(text, PLACEMENT_SUMMARY_MAX, PLACER_NOWHERE);
        return;
    }
    placer->reason_looks_left -= (int64_t)placer->cluster->nodes.count;
    placement_summarise(placer->view, request, text);
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

    if (own) { /* as if it were still to be placed */
        struct placement_node view = seen(own);

        resources_add(&view.free, &request.want);
        placement_set(placer->view, &view);
        placement_take(placer->view, own->id, facts->id);
    }
    verdicts = placement_explain(placer->view, &request, count);
    placement_summarise(placer->view, &request, summary);
    if (own) {
        placer_see(placer, own);
        placement_put(placer->view, own->id, facts->id, request.spec);
    }
    return verdicts;
}

size_t placer_gang_room(struct placer *placer, const struct pod *pod,
                        size_t *size)
{
    struct placement_request request = placer_request(pod->facts.spec->message);
    struct placement_hold **holds;
    size_t fit;

    *size = waiting_group_of(&placer->cluster->pods.waiting, pod)->count;
    holds = memory_array(*size, sizeof(struct placement_hold *));
    fit = placer_hold_all(placer->view, &request, *size, holds);
    for (size_t i = 0; i < *size; i++)
        placement_unhold(placer->view, holds[i]);
    free(holds);
    return fit;
}
