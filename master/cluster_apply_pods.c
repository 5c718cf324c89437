#include "master/cluster_apply.h"

#include <inttypes.h>

uint32_t pods_admit(const struct pods *pods, const Kontor__V1__PodSpec *spec,
                    bool named, size_t count, struct error *why)
{
    const char *name = spec ? spec->app : "";
    const struct app *app;
    uint32_t number;

    if (!app_name_valid(name)) {
        error_set(why, ERROR_INVALID_ARGUMENT,
                  "spec.app \"%.80s\": a name has a-z, 0-9 and \"-\" inside, "
                  "%d characters at most",
                  name, APP_NAME_MAX);
        return 0;
    }
    app = pods_find_app(pods, name);
    if (named && app && app->living > 0) {
        error_set(why, ERROR_ALREADY_EXISTS,
                  "app %s has a pod that lives: stop it first, or choose "
                  "another name",
                  name);
        return 0;
    }
    if (series_count(&pods->all) - pods->ended_count + count >
        PODS_LIVING_MAX) {
        error_set(why, ERROR_RESOURCE_EXHAUSTED,
                  "the cluster holds %d pods, there is no room for more",
                  PODS_LIVING_MAX);
        return 0;
    }
    number = pods_next_number(pods, name);
    if (number == 0 || count - 1 > UINT32_MAX - number) {
        error_set(why, ERROR_RESOURCE_EXHAUSTED,
                  "app %s has no numbers left for pods", name);
        return 0;
    }
    return number;
}

struct pod *pod_make(struct apply *apply, struct spec *spec, uint32_t number,
                     uint64_t node_id, struct text *reason)
{
    struct cluster *cluster = apply->cluster;
    struct node *node = nodes_find(&cluster->nodes, node_id);
    struct pod *pod = pods_add(&cluster->pods, cluster->next_pod_id++,
                               spec->message->app, number, spec);

    pod->facts.created_at_ms = apply->time_ms;
    pod->facts.reason = reason;
    pod_event(apply, pod, KONTOR__V1__EVENT_KIND__EVENT_POD_CREATED,
              node_id ? text_new("created") : text_take(reason));
    if (node_id && (!node || !pod_try_place(apply, pod, node)))
        text_replace(&pod->facts.reason,
                     "the node that was chosen has filled up or closed");
    return pod;
}

void pod_wait(struct apply *apply, struct pod *pod, uint32_t gang)
{
    if (pod->facts.node_id != 0)
        return;
    pod->gang = gang;
    waiting_join(&apply->cluster->pods.waiting, pod);
}

void apply_create_pod(struct apply *apply, const Kontor__V1__CreatePod *in)
{
    uint32_t number = pods_admit(&apply->cluster->pods, in->spec, in->named, 1,
                                 &apply->result->error);
    struct spec *spec;
    struct pod *pod;

    if (number == 0 || specs_intern(&apply->cluster->specs, in->spec, &spec,
                                    &apply->result->error) != 0)
        return;
    pod = pod_make(apply, spec, number, in->node_id, text_new(in->reason));
    pod_wait(apply, pod, 0);
    apply->result->subject_id = pod->facts.id;
}

void pod_stop(struct apply *apply, struct pod *pod)
{
    if (pod->facts.stop_requested || pod_ended(pod))
        return;
    pod->facts.stop_requested = true;
    if (pod->facts.phase == KONTOR__V1__POD_PHASE__POD_PENDING) {
        text_replace(&pod->facts.reason, ""); /* why it was pending */
        pod_end(apply, pod, KONTOR__V1__POD_PHASE__POD_STOPPED);
        return;
    }
    pod->facts.phase = KONTOR__V1__POD_PHASE__POD_STOPPING;
    pod_event(apply, pod, KONTOR__V1__EVENT_KIND__EVENT_POD_STOP_REQUESTED,
              text_new("asked to stop"));
}

void apply_stop_pod(struct apply *apply, const Kontor__V1__StopPod *in)
{
    struct pod *pod = pods_find(&apply->cluster->pods, in->pod_id);

    if (!pod) {
        error_set(&apply->result->error, ERROR_NOT_FOUND,
                  "no pod has the id %" PRIu64, in->pod_id);
        return;
    }
    apply->result->subject_id = pod->facts.id;
    pod_stop(apply, pod);
}

void apply_place_pods(struct apply *apply, const Kontor__V1__PlacePods *in)
{
    struct cluster *cluster = apply->cluster;

    if (in->n_placements > PLACEMENTS_PER_COMMAND_MAX) {
        error_set(&apply->result->error, ERROR_INVALID_ARGUMENT,
                  "%zu placements in one command, %d are allowed",
                  in->n_placements, PLACEMENTS_PER_COMMAND_MAX);
        return;
    }
    for (size_t i = 0; i < in->n_placements;) {
        struct pod *pod = pods_find(&cluster->pods, in->placements[i]->pod_id);
        struct node *node =
            nodes_find(&cluster->nodes, in->placements[i]->node_id);

        if (pod && pod->gang) {
            i += gang_place(apply, &in->placements[i], in->n_placements - i);
            continue;
        }
        if (pod && node &&
            pod->facts.phase == KONTOR__V1__POD_PHASE__POD_PENDING)
            pod_try_place(apply, pod, node); /* else it stays pending */
        i++;
    }
}
