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

/* All pods are taken off their nodes, then put on the others: who makes room
 * for whom does not matter. What is taken counts as the next generation, of
 * which nobody has been told. */
struct trial {
    struct cluster *cluster;
    const Kontor__V1__MovePods *moves;
    uint64_t *from; /* owned; the nodes that they were taken off */
    size_t taken;
    size_t put;
};

static struct pod *pod_of(const struct trial *trial, size_t i)
{
    return pods_find(&trial->cluster->pods, trial->moves->moves[i]->pod_id);
}

static bool take_next(struct trial *trial)
{
    struct nodes *nodes = &trial->cluster->nodes;
    const Kontor__V1__MovePods__Move *move = trial->moves->moves[trial->taken];
    struct pod *pod = find_movable(trial->cluster, move);

    if (!pod || pod->facts.node_id == move->node_id ||
        pod->facts.generation == UINT32_MAX)
        return false;
    trial->from[trial->taken++] = pod->facts.node_id;
    node_take(nodes, nodes_find(nodes, pod->facts.node_id), pod);
    pod->facts.node_id = 0;
    pod->facts.generation++;
    return true;
}

static bool put_next(struct trial *trial)
{
    struct nodes *nodes = &trial->cluster->nodes;
    struct node *to =
        nodes_find(nodes, trial->moves->moves[trial->put]->node_id);
    struct pod *pod = pod_of(trial, trial->put);

    if (!to || !node_accepts(to, pod->facts.spec, 1))
        return false;
    node_put(nodes, to, pod);
    pod->facts.node_id = to->id;
    trial->put++;
    return true;
}

static void put_back(struct trial *trial)
{
    struct nodes *nodes = &trial->cluster->nodes;

    while (trial->taken-- > 0) {
        struct pod *pod = pod_of(trial, trial->taken);
        uint64_t from = trial->from[trial->taken];

        if (pod->facts.node_id)
            node_take(nodes, nodes_find(nodes, pod->facts.node_id), pod);
        node_put(nodes, nodes_find(nodes, from), pod);
        pod->facts.node_id = from;
        pod->facts.generation--;
    }
}

static void move_all(struct apply *apply, const Kontor__V1__MovePods *in)
{
    struct cluster *cluster = apply->cluster;
    struct trial trial = {
        .cluster = cluster,
        .moves = in,
        .from = memory_array(in->n_moves + 1, sizeof *trial.from)};

    while (trial.taken < in->n_moves && take_next(&trial))
        ;
    while (trial.taken == in->n_moves && trial.put < in->n_moves &&
           put_next(&trial))
        ;
    if (trial.put < in->n_moves) {
        size_t failed = trial.taken < in->n_moves ? trial.taken : trial.put;

        error_set(&apply->result->error, ERROR_FAILED_PRECONDITION,
                  "pod %" PRIu64 " or where it was to go has changed since "
                  "that was planned: nothing was moved",
                  in->moves[failed]->pod_id);
        put_back(&trial);
    } else {
        for (size_t i = 0; i < in->n_moves; i++)
            pod_moved(apply, pod_of(&trial, i),
                      nodes_find(&cluster->nodes, trial.from[i]));
    }
    free(trial.from);
}

/* ---- a node is drained ---- */

/* One pod that goes elsewhere, if it still can. */
static void drain_to(struct apply *apply, struct node *node,
                     const Kontor__V1__MovePods__Move *move)
{
    struct nodes *nodes = &apply->cluster->nodes;
    struct pod *pod = find_movable(apply->cluster, move);
    struct node *to = nodes_find(nodes, move->node_id);

    if (!pod || !to || pod->facts.node_id != node->id || to == node ||
        pod->facts.generation == UINT32_MAX ||
        !node_accepts(to, pod->facts.spec, 1))
        return;
    node_take(nodes, node, pod);
    node_put(nodes, to, pod);
    pod->facts.node_id = to->id;
    pod->facts.generation++;
    pod_moved(apply, pod, node);
}

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
    for (size_t i = 0; i < in->n_moves; i++)
        drain_to(apply, node, in->moves[i]);
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
