/* Pods make room for one of a higher priority. They count no more on the node
 * at once, and the winner does; it is started there when there is room on the
 * machine, which is what cluster_departures.h is about. */
#include "master/cluster_apply.h"

/* What the node has left once they have gone; false: one of them may not. */
static bool free_without(const struct cluster *cluster,
                         const struct pod *winner, const struct node *node,
                         const Kontor__V1__PreemptPods *in,
                         struct resources *out)
{
    *out = node_placement(node).free;
    for (size_t i = 0; i < in->n_victims; i++) {
        const struct pod *pod =
            pods_find(&cluster->pods, in->victims[i]->pod_id);

        if (!pod || pod->facts.node_id != node->id ||
            pod->facts.generation != in->victims[i]->generation ||
            !pod_may_yield(pod, winner->facts.spec->message->priority) ||
            (i > 0 && pod->facts.id <= in->victims[i - 1]->pod_id))
            return false;
        resources_add(out, &pod->facts.spec->want);
    }
    return true;
}

/* As one that leaves a node by itself; one that was not started here yet is
 * nowhere but where it is leaving. */
static void yield(struct apply *apply, struct pod *pod, struct node *node,
                  const struct pod *winner)
{
    if (!pod->departure)
        departure_begin(&node->leaving, node->id, pod, pod->facts.generation);
    pod_unplace(apply, pod, node,
                text_format("preempted on %s by %s", text_string(node->name),
                            winner->name));
}

void apply_preempt_pods(struct apply *apply, const Kontor__V1__PreemptPods *in)
{
    const struct cluster *cluster = apply->cluster;
    struct pod *winner = pods_find(&cluster->pods, in->pod_id);
    struct node *node = nodes_find(&cluster->nodes, in->node_id);
    struct resources room;

    if (!winner || winner->gang ||
        winner->facts.phase != KONTOR__V1__POD_PHASE__POD_PENDING || !node ||
        !node_takes(node, winner->facts.spec) ||
        !free_without(cluster, winner, node, in, &room) ||
        !resources_fit(&room, &winner->facts.spec->want)) {
        error_set(&apply->result->error, ERROR_ABORTED,
                  "the pod, its node or those that were to make room have "
                  "changed since that was planned");
        return;
    }
    apply->result->subject_id = winner->facts.id;
    for (size_t i = 0; i < in->n_victims; i++)
        yield(apply, pods_find(&cluster->pods, in->victims[i]->pod_id), node,
              winner);
    pod_try_place(apply, winner, node);
}
