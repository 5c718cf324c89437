/* Many pods by one command: replicas, an app's scale, and gangs. */
#include "base/compare.h"
#include "base/memory.h"
#include "master/cluster_apply.h"

#include <assert.h>

/* ---- gangs ---- */

/* Does every node take all that are to come to it? */
static bool all_fit(const struct cluster *cluster, const struct spec *spec,
                    const uint64_t *node_ids, size_t count)
{
    uint64_t *sorted = memory_array(count + 1, sizeof *sorted);
    bool fit = true;

    for (size_t i = 0; i < count; i++)
        sorted[i] = node_ids[i];
    qsort(sorted, count, sizeof *sorted, compare_u64);
    for (size_t i = 0, next; i < count && fit; i = next) {
        const struct node *node = nodes_find(&cluster->nodes, sorted[i]);

        for (next = i + 1; next < count && sorted[next] == sorted[i];)
            next++;
        fit = node && node_accepts(node, spec, next - i);
    }
    free(sorted);
    return fit;
}

static void place_all(struct apply *apply, struct pod *const *pods,
                      const uint64_t *node_ids, size_t count)
{
    struct cluster *cluster = apply->cluster;

    if (!all_fit(cluster, pods[0]->facts.spec, node_ids, count))
        return;
    for (size_t i = 0; i < count; i++) {
        struct node *node = nodes_find(&cluster->nodes, node_ids[i]);
        bool placed = pod_try_place(apply, pods[i], node);

        assert(placed);
        (void)placed;
    }
}

size_t gang_place(struct apply *apply,
                  Kontor__V1__PlacePods__Placement *const *placements,
                  size_t count)
{
    const struct pods *pods = &apply->cluster->pods;
    struct pod *next = pods_find(pods, placements[0]->pod_id);
    const struct waiting_group *gang = waiting_group_of(&pods->waiting, next);
    bool whole = next == waiting_first(gang);
    struct pod **members = memory_array(count, sizeof(struct pod *));
    uint64_t *node_ids = memory_array(count, sizeof *node_ids);
    size_t told = 0;

    while (next && told < count && placements[told]->pod_id == next->facts.id) {
        members[told] = next;
        node_ids[told] = placements[told]->node_id;
        told++;
        next = waiting_next(gang, next);
    }
    if (whole && !next)
        place_all(apply, members, node_ids, told);
    free(members);
    free(node_ids);
    return told;
}

/* ---- making many ---- */

/* What is to be made; those beyond the ids are pending. */
struct making {
    struct spec *spec; /* a reference is taken for each */
    uint32_t number;   /* of the first */
    size_t count;
    const uint64_t *node_ids;
    size_t node_count;
    const char *reason;
    uint32_t gang; /* all are pending, as one of this number */
};

static void make_pods(struct apply *apply, const struct making *making)
{
    struct text *reason = text_new(making->reason);

    apply->result->subject_id = apply->cluster->next_pod_id;
    for (size_t i = 0; i < making->count; i++) {
        uint64_t node_id = i < making->node_count ? making->node_ids[i] : 0;
        struct pod *pod =
            pod_make(apply, spec_take(making->spec),
                     making->number + (uint32_t)i, node_id, text_take(reason));

        pod_wait(apply, pod, making->gang);
    }
    text_drop(reason);
}

static bool check_count(struct apply *apply, size_t count)
{
    if (count > 0 && count <= PODS_PER_COMMAND_MAX)
        return true;
    error_set(&apply->result->error, ERROR_INVALID_ARGUMENT,
              "%zu pods at one time: 1 to %d can be made or stopped", count,
              PODS_PER_COMMAND_MAX);
    return false;
}

void apply_create_pods(struct apply *apply, const Kontor__V1__CreatePods *in)
{
    struct cluster *cluster = apply->cluster;
    struct making making = {.count = in->n_node_ids,
                            .node_ids = in->node_ids,
                            .node_count = in->n_node_ids,
                            .reason = in->reason};

    if (!check_count(apply, making.count))
        return;
    making.number = pods_admit(&cluster->pods, in->spec, in->named,
                               making.count, &apply->result->error);
    if (making.number == 0 ||
        specs_intern(&cluster->specs, in->spec, &making.spec,
                     &apply->result->error) != 0)
        return;
    if (in->gang &&
        !all_fit(cluster, making.spec, in->node_ids, making.count)) {
        making.gang = making.number;
        making.node_count = 0;
        if (making.reason[0] == '\0')
            making.reason = "the nodes that were chosen have filled up or "
                            "closed";
    }
    make_pods(apply, &making);
    specs_drop(&cluster->specs, making.spec);
}

/* ---- scale ---- */

/* Was another pod the newest one when the nodes were chosen, of another
 * spec? */
static bool is_outdated(const struct cluster *cluster,
                        const Kontor__V1__ScaleApp *in, const struct spec *spec)
{
    const struct pod *like = pods_find(&cluster->pods, in->like_pod_id);

    return in->like_pod_id != 0 && (!like || like->facts.spec != spec);
}

static void make_more(struct apply *apply, const struct app *app,
                      const Kontor__V1__ScaleApp *in, size_t count)
{
    const struct pod *newest = app_newest_pod(app);
    struct making making = {.spec = newest->facts.spec,
                            .count = count,
                            .node_ids = in->node_ids,
                            .node_count = in->n_node_ids,
                            .reason = in->reason};

    if (is_outdated(apply->cluster, in, making.spec)) {
        making.node_count = 0;
        making.reason = "the nodes were chosen for pods of another kind";
    }
    making.number = pods_admit(&apply->cluster->pods, making.spec->message,
                               false, count, &apply->result->error);
    if (making.number != 0)
        make_pods(apply, &making);
}

/* The greatest numbers first. An end may have older ended pods forgotten. */
static void stop_some(struct apply *apply, const struct app *app, size_t count)
{
    struct pod **pods = memory_array(count, sizeof(struct pod *));
    struct pod *pod = app_newest_pod(app);

    for (size_t i = 0; i < count;
         pod = series_before(&app->pods, pod->number)) {
        if (!pod_ended(pod) && !pod->facts.stop_requested)
            pods[i++] = pod;
    }
    for (size_t i = 0; i < count; i++)
        pod_stop(apply, pods[i]);
    free(pods);
}

void apply_scale_app(struct apply *apply, const Kontor__V1__ScaleApp *in)
{
    const struct app *app = pods_find_app(&apply->cluster->pods, in->app);
    size_t staying;

    if (!app) {
        error_set(&apply->result->error, ERROR_NOT_FOUND,
                  "no app is called \"%.80s\"", in->app);
        return;
    }
    staying = app_staying(app);
    if (in->replicas > staying && check_count(apply, in->replicas - staying))
        make_more(apply, app, in, in->replicas - staying);
    else if (in->replicas < staying &&
             check_count(apply, staying - in->replicas))
        stop_some(apply, app, staying - in->replicas);
}
