/* Suspect and Lost: what a node's silence means. Only the leader judges.
 *
 * What a wrong judgement costs: the pods start elsewhere, and are stopped where
 * they are when the node is heard again. So two kinds of silence, which are
 * short for a reason, are waited for longer:
 *   - the machine refuses connections: it is there and so are its pods, only
 *     its agent is being started again;
 *   - most nodes are silent: it is rather this master that is cut off. */
#include "master/link.h"

#include "base/memory.h"
#include "master/propose.h"

enum { LOST_LATER_TIMES = 4 };

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

static void propose_state(struct link *link, const struct node *node,
                          Kontor__V1__NodeState state)
{
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__SetNodeState operation = KONTOR__V1__SET_NODE_STATE__INIT;
    struct link_proposal *op = memory_new(sizeof *op);

    op->link = link;
    op->proposal.done = on_state_applied;
    if (state == KONTOR__V1__NODE_STATE__NODE_LOST)
        op->proposal.changes = node->pod_count;
    link->state_proposal = op;
    operation.node_id = link->node_id;
    operation.state = state;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_SET_NODE_STATE;
    command.set_node_state = &operation;
    propose(link->dispatch->replica, &op->proposal, &command);
}

/* One that has yet to be asked, in its turn, waits for us. */
bool link_is_silent(const struct link *link, uint64_t now_ms)
{
    return (link->asked || list_empty(&link->due)) &&
           now_ms - link->heard_at_ms >=
               link->dispatch->config.suspect_after_ms;
}

static uint64_t lost_after_ms(const struct link *link)
{
    const struct dispatch *dispatch = link->dispatch;
    bool most = dispatch->silent * 2 > dispatch->links.count;
    bool refused = link->channel && channel_refused(link->channel);

    return dispatch->config.lost_after_ms *
           (most || refused ? LOST_LATER_TIMES : 1);
}

void link_judge(struct link *link, uint64_t now_ms)
{
    const struct dispatch *dispatch = link->dispatch;
    const struct node *node =
        nodes_find(&dispatch->cluster->nodes, link->node_id);
    bool silent = link_is_silent(link, now_ms);
    int32_t state;

    if (!node || link->state_proposal)
        return;
    state = node->state;
    if (silent && now_ms - link->heard_at_ms >= lost_after_ms(link))
        state = KONTOR__V1__NODE_STATE__NODE_LOST;
    else if (silent && state == KONTOR__V1__NODE_STATE__NODE_READY)
        state = KONTOR__V1__NODE_STATE__NODE_SUSPECT;
    else if (!silent && link->state == LINK_SYNCED)
        state = KONTOR__V1__NODE_STATE__NODE_READY;
    if (state != node->state)
        propose_state(link, node, (Kontor__V1__NodeState)state);
}
