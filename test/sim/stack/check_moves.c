#include "test/sim/stack/check_moves.h"

#include "base/memory.h"
#include "test/sim/stack/check.h"

#include <inttypes.h>

struct stand {
    uint64_t pod_id;
    uint64_t node_id; /* 0: there was none */
    uint32_t generation;
};

static const char *self(void)
{
    return process_now->host->identity.name;
}

static struct stand stand_of(const struct cluster *cluster, uint64_t pod_id)
{
    const struct pod *pod = pods_find(&cluster->pods, pod_id);
    struct stand stand = {.pod_id = pod_id};

    if (pod) {
        stand.node_id = pod->facts.node_id;
        stand.generation = pod->facts.generation;
    }
    return stand;
}

/* ---- before ---- */

static void find_named(struct moves_found *found, const struct cluster *cluster)
{
    const Kontor__V1__MovePods *moves = found->moves;

    found->stands = memory_array(moves->n_moves + 1, sizeof *found->stands);
    for (size_t i = 0; i < moves->n_moves; i++)
        found->stands[found->count++] =
            stand_of(cluster, moves->moves[i]->pod_id);
}

static void find_on_node(struct moves_found *found, const struct node *node)
{
    size_t count = 0;
    struct pod **pods = node ? node_pods(node, &count) : NULL;

    found->stands = memory_array(count + 1, sizeof *found->stands);
    for (size_t i = 0; i < count; i++)
        found->stands[found->count++] = (struct stand){
            pods[i]->facts.id, node->id, pods[i]->facts.generation};
    free(pods);
}

void check_moves_before(struct moves_found *found,
                        const struct cluster *cluster,
                        const Kontor__V1__Command *command)
{
    *found = (struct moves_found){.next_event = cluster->events.next};
    if (command->operation_case != KONTOR__V1__COMMAND__OPERATION_MOVE_PODS)
        return;
    found->moves = command->move_pods;
    if (found->moves->drain_node_id)
        find_on_node(found,
                     nodes_find(&cluster->nodes, found->moves->drain_node_id));
    else
        find_named(found, cluster);
}

/* ---- after ---- */

static void check_untouched(const struct moves_found *found,
                            const struct cluster *cluster)
{
    for (size_t i = 0; i < found->count; i++) {
        const struct stand *was = &found->stands[i];
        struct stand is = stand_of(cluster, was->pod_id);

        if (is.node_id != was->node_id || is.generation != was->generation)
            FAIL("%s: pod %" PRIu64 " is moved by a command that was refused",
                 self(), was->pod_id);
    }
    if (cluster->events.next != found->next_event)
        FAIL("%s: a command that was refused brings events", self());
}

static uint64_t count_placed(const struct moves_found *found,
                             const struct cluster *cluster)
{
    uint64_t count = 0;

    for (uint64_t i = found->next_event; i < cluster->events.next; i++)
        count += events_at(&cluster->events, i)->kind ==
                 KONTOR__V1__EVENT_KIND__EVENT_POD_PLACED;
    return count;
}

static void check_moved(const struct moves_found *found,
                        const struct cluster *cluster)
{
    const Kontor__V1__MovePods *moves = found->moves;

    for (size_t i = 0; i < found->count; i++) {
        const struct stand *was = &found->stands[i];
        struct stand is = stand_of(cluster, was->pod_id);

        if (is.node_id != moves->moves[i]->node_id ||
            is.generation != moves->moves[i]->generation + 1 ||
            is.generation != was->generation + 1)
            FAIL("%s: pod %" PRIu64 " is not moved, others of %zu are", self(),
                 was->pod_id, found->count);
    }
    if (count_placed(found, cluster) != found->count)
        FAIL("%s: others are moved than the %zu that were named", self(),
             found->count);
    tally.rebalanced += found->count;
}

/* 0: it is to go nowhere. */
static uint64_t target_of(const Kontor__V1__MovePods *moves, uint64_t pod_id)
{
    for (size_t i = 0; i < moves->n_moves; i++)
        if (moves->moves[i]->pod_id == pod_id)
            return moves->moves[i]->node_id;
    return 0;
}

static void check_drained(const struct moves_found *found,
                          const struct cluster *cluster)
{
    const Kontor__V1__MovePods *moves = found->moves;
    const struct node *node = nodes_find(&cluster->nodes, moves->drain_node_id);

    if (!node->cordoned)
        FAIL("%s: node %s is drained and open", self(), node->name->bytes);
    for (size_t i = 0; i < found->count; i++) {
        const struct stand *was = &found->stands[i];
        const struct pod *pod = pods_find(&cluster->pods, was->pod_id);
        bool stays = pod && !pod_ended(pod) && pod->facts.node_id == node->id;

        if (stays && !pod->facts.stop_requested &&
            (!pod_runs_once(pod) || moves->force))
            FAIL("%s: pod %" PRIu64 " is left on %s, which is drained", self(),
                 was->pod_id, node->name->bytes);
        if (!pod || pod_ended(pod) || stays || pod->facts.node_id == 0)
            continue;
        if (pod->facts.node_id != target_of(moves, was->pod_id) ||
            pod->facts.generation != was->generation + 1)
            FAIL("%s: pod %" PRIu64 " of a drained node is not where it was to "
                 "go",
                 self(), was->pod_id);
        tally.drained++;
    }
}

void check_moves_after(struct moves_found *found, const struct cluster *cluster,
                       const struct cluster_result *result)
{
    if (found->moves && !result->replayed) {
        if (result->error.code != 0)
            check_untouched(found, cluster);
        else if (found->moves->drain_node_id)
            check_drained(found, cluster);
        else
            check_moved(found, cluster);
        tally.moves_refused += result->error.code != 0;
    }
    free(found->stands);
}
