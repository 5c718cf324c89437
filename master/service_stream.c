/* Watch, and Logs relayed from the pod's node. */
#include "master/service.h"

#include "base/memory.h"
#include "kontor/v1/node.pb-c.h"
#include "master/pipe.h"

#include <string.h>

static void watch(struct master *master, struct call *call,
                  const ProtobufCMessage *message)
{
    watchers_add(&master->watchers, call,
                 (const Kontor__V1__WatchRequest *)message);
}

void service_watch(struct call *call, const ProtobufCMessage *request)
{
    service_read(call, request, watch);
}

/* ---- Logs ---- */

/* Lives as long as the caller's call. */
struct relay {
    struct call *down; /* the caller's */
    struct call *up;   /* to the node; NULL: it has ended */
    char node[NODE_NAME_MAX + 1];
};

static void on_down_writable(struct call *call)
{
    struct relay *relay = call_data(call);

    if (relay->up)
        pipe_writable(relay->up);
}

static void on_down_ended(struct call *call, const struct error *why)
{
    struct relay *relay = call_data(call);

    (void)why;
    pipe_drop(&relay->up);
    free(relay);
}

static void on_up_message(struct call *call, const ProtobufCMessage *message)
{
    struct relay *relay = call_data(call);

    pipe_pass(call, relay->down, message);
}

static void on_up_ended(struct call *call, const struct error *why)
{
    struct relay *relay = call_data(call);
    struct error told = *why;

    relay->up = NULL;
    if (told.code != 0)
        error_wrap(&told, "node %s", relay->node);
    call_finish(relay->down, &told);
}

static const struct call_events down_events = {
    .writable = on_down_writable,
    .ended = on_down_ended,
};
static const struct call_events up_events = {
    .message = on_up_message,
    .ended = on_up_ended,
};

static void relay_logs(struct channel *channel, struct call *call,
                       const struct node *node,
                       const Kontor__V1__NodeLogsRequest *request)
{
    struct relay *relay = memory_new(sizeof *relay);
    uint64_t remaining_ms = call_remaining_ms(call);

    relay->down = call;
    memcpy(relay->node, node->name->bytes, node->name->length);
    call_listen(call, &down_events, relay);
    relay->up = channel_call_unary(
        channel,
        &(struct call_request){
            .path = "/kontor.v1.Node/Logs",
            .response = &kontor__v1__logs_chunk__descriptor,
            .timeout_ms = remaining_ms == UINT64_MAX ? 0 : remaining_ms + 1,
            .events = &up_events,
            .data = relay,
        },
        &request->base);
}

static void logs(struct master *master, struct call *call,
                 const ProtobufCMessage *message)
{
    const Kontor__V1__LogsRequest *request =
        (const Kontor__V1__LogsRequest *)message;
    Kontor__V1__NodeLogsRequest order = KONTOR__V1__NODE_LOGS_REQUEST__INIT;
    const struct cluster *cluster = master->cluster;
    const struct node *node;
    struct channel *channel;
    struct error why;
    struct pod *pod;

    if (cluster_find_pod(cluster, request->pod, &pod, &why) != 0) {
        service_fail(call, &why);
        return;
    }
    node = nodes_find(&cluster->nodes, pod->facts.node_id);
    channel = dispatch_channel(&master->dispatch, pod->facts.node_id);
    if (!node) {
        error_set(&why, ERROR_FAILED_PRECONDITION,
                  "pod %s is on no node: there is no output yet",
                  text_string(pod->facts.name));
        service_fail(call, &why);
    } else if (!channel || !channel_connected(channel)) {
        error_set(&why, ERROR_UNAVAILABLE, "node %s cannot be reached: %.300s",
                  text_string(node->name),
                  channel ? channel_trouble(channel)->message : "no address");
        service_fail(call, &why);
    } else {
        order.pod_id = pod->facts.id;
        order.follow = request->follow;
        order.tail_bytes = request->tail_bytes;
        relay_logs(channel, call, node, &order);
    }
}

void service_logs(struct call *call, const ProtobufCMessage *request)
{
    service_read(call, request, logs);
}
