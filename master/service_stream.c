/* Watch, and what a node answers: Logs, and other calls relayed to it. */
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

/* ---- relays ---- */

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

void service_relay(struct master *master, struct call *call,
                   const struct node *node,
                   const struct node_question *question)
{
    struct channel *channel = dispatch_channel(&master->dispatch, node->id);
    uint64_t remaining_ms = call_remaining_ms(call);
    struct relay *relay;
    struct error why;

    if (!channel || !channel_connected(channel)) {
        error_set(&why, question->unreachable,
                  "node %s cannot be reached: %.300s", text_string(node->name),
                  channel ? channel_trouble(channel)->message : "no address");
        service_fail(call, &why);
        return;
    }
    relay = memory_new(sizeof *relay);
    relay->down = call;
    memcpy(relay->node, node->name->bytes, node->name->length);
    call_listen(call, &down_events, relay);
    relay->up = channel_call_unary(
        channel,
        &(struct call_request){
            .path = question->path,
            .response = service_method(call)->response,
            .timeout_ms = remaining_ms == UINT64_MAX ? 0 : remaining_ms + 1,
            .events = &up_events,
            .data = relay,
        },
        question->request);
}

/* ---- Logs ---- */

static void logs(struct master *master, struct call *call,
                 const ProtobufCMessage *message)
{
    const Kontor__V1__LogsRequest *request =
        (const Kontor__V1__LogsRequest *)message;
    Kontor__V1__NodeLogsRequest order = KONTOR__V1__NODE_LOGS_REQUEST__INIT;
    const struct cluster *cluster = master->cluster;
    const struct node_question question = {"/kontor.v1.Node/Logs", &order.base,
                                           ERROR_UNAVAILABLE};
    const struct node *node;
    struct error why;
    struct pod *pod;

    if (cluster_find_pod(cluster, request->pod, &pod, &why) != 0) {
        service_fail(call, &why);
        return;
    }
    node = nodes_find(&cluster->nodes, pod->facts.node_id);
    if (!node) {
        error_set(&why, ERROR_FAILED_PRECONDITION,
                  "pod %s is on no node: there is no output yet", pod->name);
        service_fail(call, &why);
    } else {
        order.pod_id = pod->facts.id;
        order.follow = request->follow;
        order.container = request->container;
        order.since_wall_ms = request->since_wall_ms;
        order.since_ms = request->since_ms;
        order.previous = request->previous;
        order.tail_lines = request->tail_lines;
        order.after = request->after;
        service_relay(master, call, node, &question);
    }
}

void service_logs(struct call *call, const ProtobufCMessage *request)
{
    service_read(call, request, logs);
}
