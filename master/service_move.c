/* Drain and Rebalance: planned on the state as it is known to be, and decided
 * in one command. What is proposed after it is applied after it, so nothing
 * that is planned meanwhile takes the room; what was under way before has its
 * room held. */
#include "master/service.h"

#include "base/memory.h"
#include "master/cluster_apply.h"
#include "master/cluster_view.h"
#include "master/planner.h"

/* Of the moves in one answer. */
enum { TOLD_MAX = 1000 };

static size_t moves_max(uint32_t asked)
{
    return asked > 0 && asked < MOVES_PER_COMMAND_MAX ? asked
                                                      : MOVES_PER_COMMAND_MAX;
}

void service_plan_rebalance(struct plan *plan,
                            const Kontor__V1__RebalanceRequest *request)
{
    if (request->even)
        plan_even(plan, moves_max(request->even->moves_max));
    else
        plan_rebalance(plan, moves_max(request->moves_max));
}

/* Propose the plan's moves, `operation` holding the rest. */
static void propose_moves(struct write *write, const struct plan *plan,
                          Kontor__V1__MovePods *operation)
{
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__MovePods__Move *moves =
        memory_array(plan->count + 1, sizeof *moves);

    operation->moves =
        memory_array(plan->count + 1, sizeof(Kontor__V1__MovePods__Move *));
    for (size_t i = 0; i < plan->count; i++) {
        const struct plan_pod *pod = &plan->pods[i];
        Kontor__V1__MovePods__Move *move = &moves[operation->n_moves];

        if (!pod->to_id || operation->n_moves == MOVES_PER_COMMAND_MAX)
            continue;
        kontor__v1__move_pods__move__init(move);
        move->pod_id = pod->pod->facts.id;
        move->generation = pod->pod->facts.generation;
        move->node_id = pod->to_id;
        operation->moves[operation->n_moves++] = move;
    }
    command.format = CLUSTER_FORMAT_1;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_MOVE_PODS;
    command.move_pods = operation;
    write->proposal.changes = operation->n_moves;
    service_propose(write, &command);
    free(operation->moves);
    free(moves);
}

/* ---- Drain ---- */

static void drained(struct write *write, const struct request *request)
{
    const struct cluster *cluster = write->master->cluster;
    const struct node *node = nodes_find(&cluster->nodes, request->subject_id);
    Kontor__V1__DrainResponse response = KONTOR__V1__DRAIN_RESPONSE__INIT;
    Kontor__V1__PlannedMove moves[TOLD_MAX];
    Kontor__V1__PlannedMove *pointers[TOLD_MAX];
    struct pod **pods;
    struct node_view view;
    size_t count;

    node_view_fill(&view, cluster, node);
    response.index = request->index;
    response.node = &view.node;
    response.moves = pointers;
    pods = node_pods_leaving(node, &count);
    for (size_t i = 0; i < count && i < TOLD_MAX; i++) {
        const struct pod_facts *facts = &pods[i]->facts;
        const struct node *to = nodes_find(&cluster->nodes, facts->node_id);

        kontor__v1__planned_move__init(&moves[i]);
        moves[i].pod = without_const(pods[i]->name);
        moves[i].from = node->name->bytes;
        if (to && !pod_ended(pods[i]))
            moves[i].to = to->name->bytes;
        else if (facts->reason)
            moves[i].reason = facts->reason->bytes;
        pointers[response.n_moves++] = &moves[i];
    }
    service_reply(write->call, &response.base);
    free(pods);
}

static void drain_now(struct master *master, struct call *call,
                      const ProtobufCMessage *message)
{
    const Kontor__V1__DrainRequest *request =
        (const Kontor__V1__DrainRequest *)message;
    const struct node *node = service_find_node(master, call, request->node);
    Kontor__V1__MovePods operation = KONTOR__V1__MOVE_PODS__INIT;
    struct plan plan;

    if (!node)
        return;
    plan_init(&plan, &master->placer);
    plan_drain(&plan, node, request->force);
    operation.drain_node_id = node->id;
    operation.force = request->force;
    propose_moves(service_write(call, message, request->request_id, drained),
                  &plan, &operation);
    plan_fini(&plan);
}

void service_drain(struct call *call, const ProtobufCMessage *message)
{
    Kontor__V1__DrainRequest request =
        *(const Kontor__V1__DrainRequest *)message;
    Kontor__V1__RequestId id;

    service_request_id(request.request_id, &id);
    request.request_id = &id;
    service_read(call, &request.base, drain_now);
}

/* ---- Rebalance ---- */

static void rebalanced(struct write *write, const struct request *request)
{
    const struct nodes *nodes = &write->master->cluster->nodes;
    Kontor__V1__RebalanceResponse response =
        KONTOR__V1__REBALANCE_RESPONSE__INIT;
    struct evenness evenness = placement_evenness(write->master->placer.view);
    Kontor__V1__Evenness even;

    evenness_tell(&evenness, &even);
    response.even = &even;
    response.index = request->index;
    list_for_each(link, next, &nodes->all)
    {
        const struct node *node = container_of(link, struct node, all);

        response.nodes_after += node->pod_count > 0;
        response.moved += node->leaving.count;
    }
    service_reply(write->call, &response.base);
}

static void rebalance_now(struct master *master, struct call *call,
                          const ProtobufCMessage *message)
{
    const Kontor__V1__RebalanceRequest *request =
        (const Kontor__V1__RebalanceRequest *)message;
    Kontor__V1__MovePods operation = KONTOR__V1__MOVE_PODS__INIT;
    struct plan plan;

    plan_init(&plan, &master->placer);
    service_plan_rebalance(&plan, request);
    propose_moves(service_write(call, message, request->request_id, rebalanced),
                  &plan, &operation);
    plan_fini(&plan);
}

void service_rebalance(struct call *call, const ProtobufCMessage *message)
{
    Kontor__V1__RebalanceRequest request =
        *(const Kontor__V1__RebalanceRequest *)message;
    Kontor__V1__RequestId id;

    service_request_id(request.request_id, &id);
    request.request_id = &id;
    service_read(call, &request.base, rebalance_now);
}
