#include "master/cluster_view.h"

/* Messages have plain char *; nothing writes through them. */
static void borrow(char **field, struct text *text)
{
    if (text)
        *field = text->bytes;
}

static void fill_pod(struct pod_view *view, const struct cluster *cluster,
                     const struct pod_facts *facts, const char *name)
{
    const struct node *node = nodes_find(&cluster->nodes, facts->node_id);
    Kontor__V1__Pod *pod = &view->pod;
    Kontor__V1__PodStatus *status = &view->status;

    kontor__v1__pod__init(pod);
    kontor__v1__pod_status__init(status);
    pod->id = facts->id;
    pod->name = without_const(name);
    pod->spec = facts->spec->message;
    pod->status = status;
    if (node)
        borrow(&pod->node, node->name);
    pod->created_at_ms = facts->created_at_ms;
    pod->changed_index = facts->changed_index;
    pod->stop_requested = facts->stop_requested;

    status->pod_id = facts->id;
    status->generation = facts->generation;
    status->phase = (Kontor__V1__PodPhase)facts->phase;
    borrow(&status->reason, facts->reason);
    status->address = without_const(facts->address);
    status->pid = facts->pid;
    status->restarts = facts->restarts;
    status->exit_code = facts->exit_code;
    status->signal = facts->signal;
    status->oom_killed = facts->oom_killed;
    status->started_at_ms = facts->started_at_ms;
    status->finished_at_ms = facts->finished_at_ms;
    details_tell(facts->details, status);
}

void pod_view_fill(struct pod_view *view, const struct cluster *cluster,
                   const struct pod *pod)
{
    fill_pod(view, cluster, &pod->facts, pod->name);
}

void node_view_fill(struct node_view *view, const struct cluster *cluster,
                    const struct node *node)
{
    Kontor__V1__NodeInfo *info = &view->node;

    kontor__v1__node_info__init(info);
    kontor__v1__resources__init(&view->capacity);
    kontor__v1__resources__init(&view->allocated);
    resources_tell(&node->capacity, &view->capacity);
    resources_tell(&node->allocated, &view->allocated);
    info->id = node->id;
    borrow(&info->name, node->name);
    borrow(&info->address, node->address);
    borrow(&info->version, node->version);
    info->subnet = pod_network_subnet(&cluster->network, node->subnet_number,
                                      view->subnet);
    info->capacity = &view->capacity;
    info->allocated = &view->allocated;
    info->labels = node->labels.all;
    info->n_labels = node->labels.count;
    info->set_labels = node->set_labels.all;
    info->n_set_labels = node->set_labels.count;
    info->taints = node->taints.all;
    info->n_taints = node->taints.count;
    info->state = (Kontor__V1__NodeState)node->state;
    info->cordoned = node->cordoned;
    info->pods = node->pod_count;
    info->leaving = node->leaving.count;
    info->registered_at_ms = node->registered_at_ms;
}

void event_view_fill(struct event_view *view, const struct cluster *cluster,
                     const struct event *event)
{
    kontor__v1__event__init(&view->event);
    view->event.index = event->index;
    view->event.time_ms = event->time_ms;
    view->event.kind = (Kontor__V1__EventKind)event->kind;
    borrow(&view->event.subject, event->subject);
    borrow(&view->event.message, event->message);
    if (event->pod.spec) {
        fill_pod(&view->pod, cluster, &event->pod, text_string(event->subject));
        view->event.pod = &view->pod.pod;
    }
}
