#include "fake_node.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

/* A Watch: heartbeats until it ends. */
struct fake_watch {
    uv_timer_t timer;
    struct fake_node *node;
    struct call *call;
    uint64_t sequence;
};

/* ---- pods ---- */

Kontor__V1__PodStatus *fake_pod(struct fake_node *node, uint64_t pod_id)
{
    for (size_t i = 0; i < node->pod_count; i++) {
        if (node->pods[i].pod_id == pod_id)
            return &node->pods[i];
    }
    return NULL;
}

static void keep_pod(struct fake_node *node, const Kontor__V1__PodOrder *order)
{
    Kontor__V1__PodStatus *pod = fake_pod(node, order->pod_id);

    if (!pod) {
        assert(node->pod_count < FAKE_PODS_MAX);
        pod = &node->pods[node->pod_count++];
    }
    kontor__v1__pod_status__init(pod);
    pod->pod_id = order->pod_id;
    pod->generation = order->generation;
    pod->phase = KONTOR__V1__POD_PHASE__POD_PLACED;
}

/* A heartbeat when `status` is NULL. */
static void send_report(struct fake_watch *watch, Kontor__V1__PodStatus *status)
{
    Kontor__V1__NodeReport report = KONTOR__V1__NODE_REPORT__INIT;
    struct error why;

    if (watch->node->silent)
        return;
    report.sequence = ++watch->sequence;
    report.pods = &status;
    report.n_pods = status ? 1 : 0;
    call_send(watch->call, &report.base, &why);
}

void fake_report(struct fake_node *node, uint64_t pod_id,
                 Kontor__V1__PodPhase phase)
{
    Kontor__V1__PodStatus *pod = fake_pod(node, pod_id);

    assert(pod);
    pod->phase = phase;
    if (node->watch)
        send_report(node->watch, pod);
    if (phase == KONTOR__V1__POD_PHASE__POD_STOPPED)
        *pod = node->pods[--node->pod_count];
}

/* ---- the service ---- */

static bool in_term(struct call *call, uint64_t term)
{
    struct fake_node *node = call_service_data(call);

    if (term < node->term) {
        call_fail(call, ERROR_FAILED_PRECONDITION, "term is old");
        return false;
    }
    node->term = term;
    return true;
}

void fake_answer(struct fake_node *node)
{
    Kontor__V1__CreatePodsResponse response =
        KONTOR__V1__CREATE_PODS_RESPONSE__INIT;
    struct call *call = node->held;

    assert(call);
    node->held = NULL;
    if (node->verdict.code)
        call_fail(call, node->verdict.code, "%s", node->verdict.message);
    else
        call_reply(call, &response.base);
}

static void on_create_ended(struct call *call, const struct error *why)
{
    struct fake_node *node = call_data(call);

    (void)why;
    if (node->held == call)
        node->held = NULL;
}

static void create_pods(struct call *call, const ProtobufCMessage *message)
{
    static const struct call_events events = {.ended = on_create_ended};
    struct fake_node *node = call_service_data(call);
    const Kontor__V1__CreatePodsRequest *request = (const void *)message;

    if (!in_term(call, request->term))
        return;
    node->create_calls++;
    node->verdict = (struct error){0};
    if (node->broken)
        error_set(&node->verdict, ERROR_INTERNAL, "%s", node->broken);
    for (size_t i = 0; !node->broken && i < request->n_pods; i++) {
        const Kontor__V1__PodOrder *order = request->pods[i];

        if (node->refuse && strcmp(order->name, node->refuse) == 0) {
            error_set(&node->verdict, ERROR_INVALID_ARGUMENT, "no such thing");
            continue;
        }
        node->created++;
        keep_pod(node, order);
    }
    call_listen(call, &events, node);
    node->held = call;
    if (!node->holds)
        fake_answer(node);
}

static void delete_pods(struct call *call, const ProtobufCMessage *message)
{
    struct fake_node *node = call_service_data(call);
    const Kontor__V1__DeletePodsRequest *request = (const void *)message;
    Kontor__V1__DeletePodsResponse response =
        KONTOR__V1__DELETE_PODS_RESPONSE__INIT;

    if (!in_term(call, request->term))
        return;
    call_reply(call, &response.base);
    node->deleted += (unsigned)request->n_pods;
    for (size_t i = 0; i < request->n_pods; i++) {
        if (fake_pod(node, request->pods[i]->pod_id))
            fake_report(node, request->pods[i]->pod_id,
                        node->lingers ? KONTOR__V1__POD_PHASE__POD_STOPPING
                                      : KONTOR__V1__POD_PHASE__POD_STOPPED);
    }
}

static void list_pods(struct call *call, const ProtobufCMessage *message)
{
    struct fake_node *node = call_service_data(call);
    const Kontor__V1__NodeListPodsRequest *request = (const void *)message;
    Kontor__V1__NodeListPodsResponse response =
        KONTOR__V1__NODE_LIST_PODS_RESPONSE__INIT;
    Kontor__V1__PodStatus *pods[FAKE_PODS_MAX];

    if (!in_term(call, request->term))
        return;
    for (size_t i = 0; i < node->pod_count; i++)
        pods[i] = &node->pods[i];
    response.pods = pods;
    response.n_pods = node->pod_count;
    response.routes_version = node->routes_version;
    call_reply(call, &response.base);
}

static void on_heartbeat(uv_timer_t *timer)
{
    send_report(container_of(timer, struct fake_watch, timer), NULL);
}

static void on_watch_freed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)handle, struct fake_watch, timer));
}

static void on_watch_ended(struct call *call, const struct error *why)
{
    struct fake_watch *watch = call_data(call);

    (void)why;
    if (watch->node->watch == watch)
        watch->node->watch = NULL;
    uv_close((uv_handle_t *)&watch->timer, on_watch_freed);
}

static void watch_pods(struct call *call, const ProtobufCMessage *message)
{
    static const struct call_events events = {.ended = on_watch_ended};
    struct fake_node *node = call_service_data(call);
    const Kontor__V1__NodeWatchRequest *request = (const void *)message;
    struct fake_watch *watch;

    if (!in_term(call, request->term))
        return;
    watch = memory_new(sizeof *watch);
    watch->node = node;
    watch->call = call;
    node->watch = watch;
    call_listen(call, &events, watch);
    uv_timer_init(node->loop, &watch->timer);
    uv_timer_start(&watch->timer, on_heartbeat, 0, node->heartbeat_ms);
}

/* Three chunks; a request for one line fails. */
static void logs(struct call *call, const ProtobufCMessage *message)
{
    const Kontor__V1__NodeLogsRequest *request = (const void *)message;
    Kontor__V1__LogsChunk chunk = KONTOR__V1__LOGS_CHUNK__INIT;
    uint8_t text[] = "hello\n";
    struct error why;

    if (request->tail_lines == 1) {
        call_fail(call, ERROR_NOT_FOUND, "the log is gone");
        return;
    }
    chunk.data.data = text;
    chunk.data.len = sizeof text - 1;
    for (int i = 0; i < 3; i++)
        call_send(call, &chunk.base, &why);
    call_finish(call, &(struct error){0});
}

static void set_routes(struct call *call, const ProtobufCMessage *message)
{
    struct fake_node *node = call_service_data(call);
    const Kontor__V1__SetRoutesRequest *request = (const void *)message;
    Kontor__V1__SetRoutesResponse response =
        KONTOR__V1__SET_ROUTES_RESPONSE__INIT;

    if (!in_term(call, request->term))
        return;
    assert(request->after_version == 0 ||
           request->after_version == node->routes_version);
    node->route_changes += request->after_version != 0;
    node->routes = (unsigned)request->n_routes +
                   (request->after_version ? node->routes : 0);
    node->routes_version = request->version;
    response.version = request->version;
    call_reply(call, &response.base);
}

static const struct method methods[] = {
    {.name = "CreatePods",
     .request = &kontor__v1__create_pods_request__descriptor,
     .response = &kontor__v1__create_pods_response__descriptor,
     .roles = RPC_ROLE_MASTER,
     .handle = create_pods},
    {.name = "DeletePods",
     .request = &kontor__v1__delete_pods_request__descriptor,
     .response = &kontor__v1__delete_pods_response__descriptor,
     .roles = RPC_ROLE_MASTER,
     .handle = delete_pods},
    {.name = "ListPods",
     .request = &kontor__v1__node_list_pods_request__descriptor,
     .response = &kontor__v1__node_list_pods_response__descriptor,
     .roles = RPC_ROLE_MASTER,
     .handle = list_pods},
    {.name = "Watch",
     .request = &kontor__v1__node_watch_request__descriptor,
     .response = &kontor__v1__node_report__descriptor,
     .roles = RPC_ROLE_MASTER,
     .server_streams = true,
     .handle = watch_pods},
    {.name = "Logs",
     .request = &kontor__v1__node_logs_request__descriptor,
     .response = &kontor__v1__logs_chunk__descriptor,
     .roles = RPC_ROLE_MASTER,
     .server_streams = true,
     .handle = logs},
    {.name = "SetRoutes",
     .request = &kontor__v1__set_routes_request__descriptor,
     .response = &kontor__v1__set_routes_response__descriptor,
     .roles = RPC_ROLE_MASTER,
     .handle = set_routes},
};

const struct service fake_node_service = {"kontor.v1.Node", methods,
                                          ARRAY_LEN(methods)};
