#include "base/error.h"
#include "master/cluster_apply.h"
#include "master/cluster_status.h"

#include <assert.h>
#include <string.h>

void pod_event(struct apply *apply, struct pod *pod, int32_t kind,
               struct text *message)
{
    struct cluster *cluster = apply->cluster;

    pod->facts.changed_index = apply->index;
    events_add(&cluster->events, &cluster->specs,
               &(struct event){
                   .index = apply->index,
                   .time_ms = apply->time_ms,
                   .kind = kind,
                   .subject = text_new(pod->name),
                   .message = message,
                   .pod = pod_facts_copy(&pod->facts),
               });
}

void node_event(struct apply *apply, const struct node *node, int32_t kind,
                struct text *message)
{
    struct cluster *cluster = apply->cluster;

    events_add(&cluster->events, &cluster->specs,
               &(struct event){
                   .index = apply->index,
                   .time_ms = apply->time_ms,
                   .kind = kind,
                   .subject = text_take(node->name),
                   .message = message,
               });
}

/* Nothing is known of the pod's run any more. */
static void forget_run(struct pod_facts *facts)
{
    text_replace(&facts->reason, "");
    pod_set_address(facts, "");
    details_drop(facts->details);
    facts->details = NULL;
    facts->pid = 0;
    facts->restarts = 0;
    facts->exit_code = 0;
    facts->signal = 0;
    facts->oom_killed = false;
    facts->started_at_ms = 0;
    facts->finished_at_ms = 0;
}

bool node_takes(const struct node *node, const struct spec *spec)
{
    struct placement_node view = node_placement(node);
    const char *asked = spec->message->node;

    return view.closed == PLACEMENT_OPEN &&
           (asked[0] == '\0' || strcmp(asked, view.name) == 0);
}

bool node_accepts(const struct node *node, const struct spec *spec,
                  size_t count)
{
    struct placement_node view = node_placement(node);

    for (; count > 0 && resources_fit(&view.free, &spec->want); count--)
        view.free = resources_less(&view.free, &spec->want);
    return count == 0 && node_takes(node, spec);
}

bool pod_try_place(struct apply *apply, struct pod *pod, struct node *node)
{
    struct pod_facts *facts = &pod->facts;

    assert(facts->phase == KONTOR__V1__POD_PHASE__POD_PENDING);
    if (facts->generation == UINT32_MAX || !node_accepts(node, facts->spec, 1))
        return false;
    waiting_leave(&apply->cluster->pods.waiting, pod);
    node_put(&apply->cluster->nodes, node, pod);
    forget_run(facts);
    pod->gang = 0;
    facts->node_id = node->id;
    facts->generation++;
    facts->phase = KONTOR__V1__POD_PHASE__POD_PLACED;
    pod_event(apply, pod, KONTOR__V1__EVENT_KIND__EVENT_POD_PLACED,
              text_format("placed on %s", text_string(node->name)));
    return true;
}

void pod_unplace(struct apply *apply, struct pod *pod, struct node *node,
                 struct text *message)
{
    struct pod_facts *facts = &pod->facts;

    node_take(&apply->cluster->nodes, node, pod);
    forget_run(facts);
    facts->node_id = 0;
    facts->phase = KONTOR__V1__POD_PHASE__POD_PENDING;
    waiting_join(&apply->cluster->pods.waiting, pod);
    text_replace(&facts->reason, text_string(message));
    pod_event(apply, pod, KONTOR__V1__EVENT_KIND__EVENT_POD_UNPLACED, message);
}

void pod_give_up(struct apply *apply, struct pod *pod, struct node *node,
                 const char *how)
{
    struct text *message =
        text_format("node %s is %s", text_string(node->name), how);
    bool stop = pod->facts.stop_requested;

    if (!stop && !pod_runs_once(pod)) {
        pod_unplace(apply, pod, node, message);
        return;
    }
    text_replace(&pod->facts.reason, text_string(message));
    text_drop(message);
    pod_end(apply, pod,
            stop ? KONTOR__V1__POD_PHASE__POD_STOPPED
                 : KONTOR__V1__POD_PHASE__POD_FAILED);
}

void pod_moved(struct apply *apply, struct pod *pod, struct node *from)
{
    struct pod_facts *facts = &pod->facts;
    const struct node *to = nodes_find(&apply->cluster->nodes, facts->node_id);
    struct text *reason =
        text_format("has to end on %s first", text_string(from->name));

    departure_begin(&from->leaving, from->id, pod, facts->generation - 1);
    forget_run(facts);
    text_replace(&facts->reason, text_string(reason));
    text_drop(reason);
    facts->phase = KONTOR__V1__POD_PHASE__POD_PLACED;
    pod_event(apply, pod, KONTOR__V1__EVENT_KIND__EVENT_POD_PLACED,
              text_format("moved from %s to %s", text_string(from->name),
                          text_string(to->name)));
}

void pod_departed(struct apply *apply, struct pod *pod)
{
    struct pod_facts *facts = &pod->facts;
    const struct node *node =
        nodes_find(&apply->cluster->nodes, facts->node_id);

    departure_end(pod);
    if (pod_ended(pod) || facts->phase == KONTOR__V1__POD_PHASE__POD_PENDING)
        return;
    text_replace(&facts->reason, "");
    if (facts->stop_requested)
        pod_end(apply, pod, KONTOR__V1__POD_PHASE__POD_STOPPED);
    else
        pod_event(apply, pod, KONTOR__V1__EVENT_KIND__EVENT_POD_PLACED,
                  text_format("may start on %s", text_string(node->name)));
}

static void forget_oldest(struct cluster *cluster)
{
    struct pods *pods = &cluster->pods;

    while (pods->ended_count > PODS_ENDED_MAX)
        pods_remove(pods, &cluster->specs,
                    list_first(&pods->ended, struct pod, queue));
}

void pod_end(struct apply *apply, struct pod *pod, int32_t phase)
{
    struct cluster *cluster = apply->cluster;
    struct pod_facts *facts = &pod->facts;
    struct node *node = nodes_find(&cluster->nodes, facts->node_id);

    assert(!pod_ended(pod) && pod_phase_ended(phase));
    if (node)
        node_take(&cluster->nodes, node, pod);
    else
        waiting_leave(&cluster->pods.waiting, pod);
    list_append(&cluster->pods.ended, &pod->queue);
    cluster->pods.ended_count++;
    pod->app->living--;
    pod->gang = 0;
    facts->phase = (uint8_t)phase;
    facts->pid = 0;
    pod_event(apply, pod, KONTOR__V1__EVENT_KIND__EVENT_POD_ENDED,
              pod_status_text(cluster, facts));
    forget_oldest(cluster);
}
