/* Pods that run go to other nodes: cluster_departures.h. */
#include "base/memory.h"
#include "master/cluster_apply.h"

#include <inttypes.h>

/* May it be moved, as things stand? One that is leaving a node already has to
 * be gone from there first. */
static struct pod *find_movable(const struct cluster *cluster,
                                const Kontor__V1__MovePods__Move *move)
{
    struct pod *pod = pods_find(&cluster->pods, move->pod_id);

    return pod && pod_is_movable(pod) &&
                   pod->facts.generation == move->generation
               ? pod
               : NULL;
}

/* ---- all or nothing ---- */

/* Count a pod on another node. */
static void recount(struct cluster *cluster, struct pod *pod, struct node *to)
{
    node_take(&cluster->nodes, nodes_find(&cluster->nodes, pod->facts.node_id),
              pod);
    node_put(&cluster->nodes, to, pod);
    pod->facts.node_id = to->id;
}

/* Try one move: its pod, now counted on the other node in the next generation,
 * of which nobody has been told. NULL: it cannot be. */
static struct pod *try(struct cluster *cluster,
                       const Kontor__V1__MovePods__Move *move)
{
    struct pod *pod = find_movable(cluster, move);
    struct node *to = nodes_find(&cluster->nodes, move->node_id);

    if (!pod || !to || to->id == pod->facts.node_id ||
        !node_accepts(to, pod->facts.spec))
        return NULL;
    recount(cluster, pod, to);
    pod->facts.generation++;
    return pod;
}

/* The nodes that the pods came from, or NULL and nothing is changed. */
static uint64_t *try_all(struct apply *apply, const Kontor__V1__MovePods *in)
{
    struct cluster *cluster = apply->cluster;
    uint64_t *from = memory_array(in->n_moves + 1, sizeof *from);

    for (size_t i = 0; i < in->n_moves; i++) {
        struct pod *pod = pods_find(&cluster->pods, in->moves[i]->pod_id);

        from[i] = pod ? pod->facts.node_id : 0;
        if (try(cluster, in->moves[i]))
            continue;
        error_set(&apply->result->error, ERROR_FAILED_PRECONDITION,
                  "pod %" PRIu64 " or where it was to go has changed since "
                  "that was planned: nothing was moved",
                  in->moves[i]->pod_id);
        while (i-- > 0) {
            pod = pods_find(&cluster->pods, in->moves[i]->pod_id);
            recount(cluster, pod, nodes_find(&cluster->nodes, from[i]));
            pod->facts.generation--;
        }
        free(from);
        return NULL;
    }
    return from;
}

static void move_all(struct apply *apply, const Kontor__V1__MovePods *in)
{
    struct cluster *cluster = apply->cluster;
    uint64_t *from = try_all(apply, in);

    for (size_t i = 0; from && i < in->n_moves; i++) {
        struct pod *pod = pods_find(&cluster->pods, in->moves[i]->pod_id);

        pod_moved(apply, pod, nodes_find(&cluster->nodes, from[i]));
    }
    free(from);
}

/* ---- a node is drained ---- */

static void drain(struct apply *apply, const Kontor__V1__MovePods *in)
{
    struct cluster *cluster = apply->cluster;
    struct node *node = nodes_find(&cluster->nodes, in->drain_node_id);
    struct pod **pods;
    size_t count;

    if (!node) {
        error_set(&apply->result->error, ERROR_NOT_FOUND,
                  "no node has the id %" PRIu64, in->drain_node_id);
        return;
    }
    apply->result->subject_id = node->id;
    node_cordon(apply, node, true);
    for (size_t i = 0; i < in->n_moves; i++) {
        struct pod *pod = find_movable(cluster, in->moves[i]);

        if (pod && pod->facts.node_id == node->id && try(cluster, in->moves[i]))
            pod_moved(apply, pod, node);
    }
    pods = node_pods(node, &count);
    for (size_t i = 0; i < count; i++) {
        if (pods[i]->facts.stop_requested ||
            (pod_runs_once(pods[i]) && !in->force))
            continue;
        if (!pods[i]->departure) /* else it was not started here yet */
            departure_begin(&node->leaving, node->id, pods[i],
                            pods[i]->facts.generation);
        pod_give_up(apply, pods[i], node, "drained");
    }
    free(pods);
}

void apply_move_pods(struct apply *apply, const Kontor__V1__MovePods *in)
{
    if (in->n_moves > MOVES_PER_COMMAND_MAX)
        error_set(&apply->result->error, ERROR_INVALID_ARGUMENT,
                  "%zu moves in one command, %d are allowed", in->n_moves,
                  MOVES_PER_COMMAND_MAX);
    else if (in->drain_node_id)
        drain(apply, in);
    else
        move_all(apply, in);
}
