/* Suspect and Lost: what a node's silence means. Only the leader judges. */
#include "master/link.h"

#include "base/memory.h"
#include "master/propose.h"

static void on_state_applied(struct replica_proposal *proposal, uint64_t index,
                             const struct error *why)
{
    struct link_proposal *op =
        container_of(proposal, struct link_proposal, proposal);

    (void)index;
    (void)why; /* when it failed, the next tick judges again */
    if (op->link)
        op->link->state_proposal = NULL;
    free(op);
}

static void propose_state(struct link *link, Kontor__V1__NodeState state)
{
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__SetNodeState operation = KONTOR__V1__SET_NODE_STATE__INIT;
    struct link_proposal *op = memory_new(sizeof *op);

    op->link = link;
    op->proposal.done = on_state_applied;
    link->state_proposal = op;
    operation.node_id = link->node_id;
    operation.state = state;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_SET_NODE_STATE;
    command.set_node_state = &operation;
    propose(link->dispatch->replica, &op->proposal, &command);
}

void link_judge(struct link *link, uint64_t now_ms)
{
    const struct dispatch *dispatch = link->dispatch;
    const struct node *node =
        nodes_find(&dispatch->cluster->nodes, link->node_id);
    uint64_t silent_ms = now_ms - link->heard_at_ms;
    int32_t state;

    if (!node || link->state_proposal)
        return;
    state = node->state;
    if (silent_ms >= dispatch->config.lost_after_ms)
        state = KONTOR__V1__NODE_STATE__NODE_LOST;
    else if (silent_ms >= dispatch->config.suspect_after_ms &&
             state == KONTOR__V1__NODE_STATE__NODE_READY)
        state = KONTOR__V1__NODE_STATE__NODE_SUSPECT;
    else if (silent_ms < dispatch->config.suspect_after_ms &&
             link->state == LINK_SYNCED)
        state = KONTOR__V1__NODE_STATE__NODE_READY;
    if (state != node->state)
        propose_state(link, (Kontor__V1__NodeState)state);
}
