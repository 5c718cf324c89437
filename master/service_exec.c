/* service_exec.c - Exec, passed on both ways: by a follower to the leader, by
 * the leader to the pod's node. Each is held back as the other is. */
#include "base/memory.h"
#include "kontor/v1/node.pb-c.h"
#include "master/pipe.h"
#include "master/service.h"

#include <string.h>

/* Lives as long as the caller's call. */
struct passage {
    struct master *master;
    struct call *down; /* the caller's */
    struct call *up;   /* to the leader or the node; NULL: not yet, or ended */
    bool begun;        /* the first message was seen */
    char node[NODE_NAME_MAX + 1];
};

static void refuse(struct passage *passage, const struct error *why)
{
    pipe_drop(&passage->up);
    call_finish(passage->down, why);
}

/* ---- from the node ---------------------------------------------------------
 */

static void on_up_message(struct call *call, const ProtobufCMessage *message)
{
    struct passage *passage = call_data(call);

    pipe_pass(call, passage->down, message);
}

static void on_up_writable(struct call *call)
{
    struct passage *passage = call_data(call);

    call_resume(passage->down);
}

static void on_up_ended(struct call *call, const struct error *why)
{
    struct passage *passage = call_data(call);
    struct error told = *why;

    (void)call;
    passage->up = NULL;
    if (told.code != 0 && passage->node[0])
        error_wrap(&told, "node %s", passage->node);
    call_finish(passage->down, &told);
}

static const struct call_events up_events = {
    .message = on_up_message,
    .writable = on_up_writable,
    .ended = on_up_ended,
};

/* ---- finding the way -------------------------------------------------------
 */

static struct call *open_up(struct passage *passage, struct channel *channel,
                            const char *path, bool on_behalf)
{
    uint64_t remaining_ms = call_remaining_ms(passage->down);

    return channel_call(
        channel,
        &(struct call_request){
            .path = path,
            .response = &kontor__v1__exec_response__descriptor,
            .timeout_ms = remaining_ms == UINT64_MAX ? 0 : remaining_ms + 1,
            .on_behalf_of = on_behalf ? call_peer(passage->down) : NULL,
            .events = &up_events,
            .data = passage,
        });
}

static int to_leader(struct passage *passage, struct error *why)
{
    struct replica *replica = passage->master->replica;
    struct replica_status status = replica_status(replica);
    struct channel *channel = NULL;

    if (status.leader &&
        strcmp(status.leader, passage->master->config.name) != 0)
        channel = replica_channel(replica, status.leader);
    if (!channel || !channel_connected(channel))
        return error_set(why, ERROR_UNAVAILABLE, "no leader");
    passage->up = open_up(passage, channel, "/kontor.v1.Cluster/Exec", true);
    return 0;
}

/* The id is that of the pod that has this name now: what runs there is what
 * the leader knows of, or the node refuses. */
static int to_node(struct passage *passage, Kontor__V1__ExecStart *start,
                   struct error *why)
{
    struct master *master = passage->master;
    struct channel *channel;
    const struct node *node;
    struct pod *pod;

    if (cluster_find_pod(master->cluster, start->pod, &pod, why) != 0)
        return (int)why->code;
    node = nodes_find(&master->cluster->nodes, pod->facts.node_id);
    if (!node || pod_ended(pod))
        return error_set(why, ERROR_FAILED_PRECONDITION, "pod %s does not run",
                         pod->name);
    channel = dispatch_channel(&master->dispatch, pod->facts.node_id);
    if (!channel || !channel_connected(channel))
        return error_set(
            why, ERROR_UNAVAILABLE, "node %s cannot be reached: %.300s",
            text_string(node->name),
            channel ? channel_trouble(channel)->message : "no address");
    memcpy(passage->node, node->name->bytes, node->name->length);
    start->pod_id = pod->facts.id;
    passage->up = open_up(passage, channel, "/kontor.v1.Node/Exec", false);
    return 0;
}

static int begin(struct passage *passage, Kontor__V1__ExecRequest *request,
                 struct error *why)
{
    if (request->message_case != KONTOR__V1__EXEC_REQUEST__MESSAGE_START)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "the first message must be the start");
    if (request->start->n_command == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT, "start.command is empty");
    passage->begun = true;
    if (!master_leads(passage->master))
        return to_leader(passage, why);
    return to_node(passage, request->start, why);
}

/* ---- from the caller -------------------------------------------------------
 */

static void on_down_message(struct call *call, const ProtobufCMessage *message)
{
    struct passage *passage = call_data(call);
    Kontor__V1__ExecRequest request = *(const Kontor__V1__ExecRequest *)message;
    Kontor__V1__ExecStart start;
    struct error why;

    if (!passage->begun) {
        if (request.message_case == KONTOR__V1__EXEC_REQUEST__MESSAGE_START) {
            start = *request.start;
            request.start = &start;
        }
        if (begin(passage, &request, &why) != 0) {
            refuse(passage, &why);
            return;
        }
    }
    if (!passage->up)
        return;
    if (call_send(passage->up, &request.base, &why) != 0)
        refuse(passage, &why);
    else if (call_queued_bytes(passage->up) >= CALL_QUEUE_HIGH_BYTES)
        call_pause(call);
}

static void on_down_half_closed(struct call *call)
{
    struct passage *passage = call_data(call);

    if (passage->up)
        call_half_close(passage->up);
}

static void on_down_writable(struct call *call)
{
    struct passage *passage = call_data(call);

    if (passage->up)
        pipe_writable(passage->up);
}

static void on_down_ended(struct call *call, const struct error *why)
{
    struct passage *passage = call_data(call);

    (void)why;
    pipe_drop(&passage->up);
    free(passage);
}

static const struct call_events down_events = {
    .message = on_down_message,
    .half_closed = on_down_half_closed,
    .writable = on_down_writable,
    .ended = on_down_ended,
};

void service_exec(struct call *call)
{
    struct passage *passage = memory_new(sizeof *passage);

    passage->master = service_master(call);
    passage->down = call;
    call_listen(call, &down_events, passage);
}
