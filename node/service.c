#include "node/service.h"

#include "base/log.h"
#include "base/memory.h"
#include "node/exec.h"
#include "node/images.h"
#include "node/logs.h"
#include "node/pod/status.h"
#include "node/usage.h"
#include "node/watch.h"

#include <inttypes.h>

enum {
    ORDERS_MAX = 4096, /* of one call */
};

struct node_service {
    uv_loop_t *loop;
    struct node_service_config config;
    struct watch_board *board;
    struct log_streams *logs; /* NULL before the start */
    struct exec_streams *execs;
    uint64_t routes_version; /* of the last SetRoutes; 0: none */
    void (*closed)(void *data);
    void *closed_data;
};

/* Refuse the call of a leader that was replaced. */
static bool in_term(struct node_service *service, struct call *call,
                    uint64_t term)
{
    struct error why;

    if (term_check(service->config.term, term, &why) == 0)
        return true;
    call_finish(call, &why);
    return false;
}

/* Refuse what was held up on its way until the leader had begun anew. */
static bool in_session(struct node_service *service, struct call *call,
                       uint64_t session)
{
    struct error why;

    if (term_check_session(service->config.term, session, &why) == 0)
        return true;
    call_finish(call, &why);
    return false;
}

/* ---- orders -------------------------------------------------------------- */

/* An order call, from its acceptance until it is on disk. */
struct order_call {
    struct call *call; /* NULL when it ended before */
    struct pod_sync sync;
    const ProtobufCMessage *answer; /* static */
    struct error why;               /* the first order that was not taken */
};

static void order_on_ended(struct call *call, const struct error *why)
{
    struct order_call *op = call_data(call);

    (void)why;
    if (op)
        op->call = NULL;
}

static const struct call_events order_events = {.ended = order_on_ended};

static void order_on_synced(struct pod_sync *sync, const struct error *why)
{
    struct order_call *op = container_of(sync, struct order_call, sync);
    const struct error *failure = op->why.code != ERROR_OK ? &op->why : why;

    if (op->call) {
        call_listen(op->call, &order_events, NULL);
        if (failure->code != ERROR_OK)
            call_finish(op->call, failure);
        else
            call_reply(op->call, op->answer);
    }
    free(op);
}

static bool too_many(struct call *call, size_t count)
{
    if (count <= ORDERS_MAX)
        return false;
    call_fail(call, ERROR_RESOURCE_EXHAUSTED,
              "%zu orders in one call: at most %d", count, ORDERS_MAX);
    return true;
}

/* What CreatePods and DeletePods bring. */
struct orders {
    uint64_t term;
    uint64_t session; /* 0: whichever */
    size_t count;
    Kontor__V1__PodOrder **list;
    int (*take)(struct pod_engine *engine, const Kontor__V1__PodOrder *order,
                struct error *why);
    const ProtobufCMessage *answer; /* static */
};

/* The call is answered when what was taken is on disk. One order that is not
 * taken keeps none of the others from being carried out; the call then fails
 * with its reason. */
static void take_orders(struct call *call, const struct orders *orders)
{
    struct node_service *service = call_service_data(call);
    struct order_call *op;
    struct error why;

    if (!in_term(service, call, orders->term) ||
        !in_session(service, call, orders->session) ||
        too_many(call, orders->count))
        return;
    op = memory_new(sizeof *op);
    op->call = call;
    op->answer = orders->answer;
    op->sync.done = order_on_synced;
    for (size_t i = 0; i < orders->count; i++)
        if (orders->take(service->config.engine, orders->list[i], &why) != 0 &&
            op->why.code == ERROR_OK)
            op->why = why;
    call_listen(call, &order_events, op);
    pod_engine_sync(service->config.engine, &op->sync);
}

static void create_pods(struct call *call, const ProtobufCMessage *message)
{
    static const Kontor__V1__CreatePodsResponse done =
        KONTOR__V1__CREATE_PODS_RESPONSE__INIT;
    const Kontor__V1__CreatePodsRequest *request =
        (const Kontor__V1__CreatePodsRequest *)message;
    struct orders orders = {.term = request->term,
                            .session = request->session,
                            .count = request->n_pods,
                            .list = request->pods,
                            .take = pod_engine_create,
                            .answer = &done.base};

    take_orders(call, &orders);
}

static int take_delete(struct pod_engine *engine,
                       const Kontor__V1__PodOrder *order, struct error *why)
{
    return pod_engine_delete(engine, order->pod_id, order->generation, why);
}

static void delete_pods(struct call *call, const ProtobufCMessage *message)
{
    static const Kontor__V1__DeletePodsResponse done =
        KONTOR__V1__DELETE_PODS_RESPONSE__INIT;
    const Kontor__V1__DeletePodsRequest *request =
        (const Kontor__V1__DeletePodsRequest *)message;
    struct orders orders = {.term = request->term,
                            .count = request->n_pods,
                            .list = request->pods,
                            .take = take_delete,
                            .answer = &done.base};

    take_orders(call, &orders);
}

/* ---- the rest ------------------------------------------------------------ */

struct listing {
    const Kontor__V1__PodStatus **pods;
    size_t count;
};

static void list_pod(void *data, const Kontor__V1__PodStatus *status)
{
    struct listing *listing = data;

    listing->pods = memory_resize(listing->pods,
                                  (listing->count + 1) * sizeof *listing->pods);
    listing->pods[listing->count++] = status;
}

static void list_pods(struct call *call, const ProtobufCMessage *message)
{
    struct node_service *service = call_service_data(call);
    const Kontor__V1__NodeListPodsRequest *request =
        (const Kontor__V1__NodeListPodsRequest *)message;
    Kontor__V1__NodeListPodsResponse response =
        KONTOR__V1__NODE_LIST_PODS_RESPONSE__INIT;
    struct listing listing = {0};

    if (!in_term(service, call, request->term))
        return;
    term_begin_session(service->config.term, request->session);
    pod_engine_each(service->config.engine, list_pod, &listing);
    /* Packed before this returns, and not changed: the statuses stay the
     * engine's. */
    response.pods = without_const(listing.pods);
    response.n_pods = listing.count;
    response.routes_version = service->routes_version;
    call_reply(call, &response.base);
    free(listing.pods);
}

static void watch(struct call *call, const ProtobufCMessage *message)
{
    struct node_service *service = call_service_data(call);
    const Kontor__V1__NodeWatchRequest *request =
        (const Kontor__V1__NodeWatchRequest *)message;

    if (in_term(service, call, request->term))
        watch_board_add(service->board, call);
}

static void logs(struct call *call, const ProtobufCMessage *message)
{
    struct node_service *service = call_service_data(call);

    log_streams_add(service->logs, call,
                    (const Kontor__V1__NodeLogsRequest *)message);
}

static void exec(struct call *call)
{
    struct node_service *service = call_service_data(call);

    exec_streams_add(service->execs, call);
}

static void usage(struct call *call, const ProtobufCMessage *message)
{
    struct node_service *service = call_service_data(call);

    (void)message;
    usage_answer(call, service->config.engine);
}

static void set_routes(struct call *call, const ProtobufCMessage *message)
{
    Kontor__V1__SetRoutesResponse done = KONTOR__V1__SET_ROUTES_RESPONSE__INIT;
    struct node_service *service = call_service_data(call);
    const Kontor__V1__SetRoutesRequest *request =
        (const Kontor__V1__SetRoutesRequest *)message;
    struct error why;

    if (!in_term(service, call, request->term))
        return;
    if (request->after_version != 0 &&
        request->after_version != service->routes_version) {
        call_fail(call, ERROR_FAILED_PRECONDITION,
                  "these routes follow version %" PRIu64
                  ", this node has %" PRIu64,
                  request->after_version, service->routes_version);
        return;
    }
    if (service->config.set_routes(service->config.data, request, &why) != 0) {
        call_finish(call, &why);
        return;
    }
    service->routes_version = request->version;
    done.version = request->version;
    call_reply(call, &done.base);
}

static void list_images(struct call *call, const ProtobufCMessage *message)
{
    struct node_service *service = call_service_data(call);

    (void)message;
    images_list(service->config.images, call);
}

static void pull_image(struct call *call, const ProtobufCMessage *message)
{
    struct node_service *service = call_service_data(call);

    images_pull(service->config.images, call,
                (const Kontor__V1__PullImageRequest *)message);
}

static void remove_images(struct call *call, const ProtobufCMessage *message)
{
    struct node_service *service = call_service_data(call);

    images_remove(service->config.images, call,
                  (const Kontor__V1__RemoveImagesRequest *)message);
}

#define REQUEST(type) .request = &kontor__v1__##type##__descriptor
#define RESPONSE(type) .response = &kontor__v1__##type##__descriptor

static const struct method methods[] = {
    {.name = "CreatePods",
     REQUEST(create_pods_request),
     RESPONSE(create_pods_response),
     .roles = RPC_ROLE_MASTER,
     .handle = create_pods},
    {.name = "DeletePods",
     REQUEST(delete_pods_request),
     RESPONSE(delete_pods_response),
     .roles = RPC_ROLE_MASTER,
     .handle = delete_pods},
    {.name = "ListPods",
     REQUEST(node_list_pods_request),
     RESPONSE(node_list_pods_response),
     .roles = RPC_ROLE_MASTER,
     .handle = list_pods},
    {.name = "Watch",
     REQUEST(node_watch_request),
     RESPONSE(node_report),
     .roles = RPC_ROLE_MASTER,
     .server_streams = true,
     .handle = watch},
    {.name = "Logs",
     REQUEST(node_logs_request),
     RESPONSE(logs_chunk),
     .roles = RPC_ROLE_MASTER,
     .server_streams = true,
     .handle = logs},
    {.name = "Exec",
     REQUEST(exec_request),
     RESPONSE(exec_response),
     .roles = RPC_ROLE_MASTER,
     .client_streams = true,
     .server_streams = true,
     .open = exec},
    {.name = "Usage",
     REQUEST(usage_request),
     RESPONSE(usage_response),
     .roles = RPC_ROLE_MASTER,
     .handle = usage},
    {.name = "SetRoutes",
     REQUEST(set_routes_request),
     RESPONSE(set_routes_response),
     .roles = RPC_ROLE_MASTER,
     .handle = set_routes},
    {.name = "ListImages",
     REQUEST(list_images_request),
     RESPONSE(list_images_response),
     .roles = RPC_ROLE_MASTER,
     .handle = list_images},
    {.name = "PullImage",
     REQUEST(pull_image_request),
     RESPONSE(pull_image_progress),
     .roles = RPC_ROLE_MASTER,
     .server_streams = true,
     .handle = pull_image},
    {.name = "RemoveImages",
     REQUEST(remove_images_request),
     RESPONSE(remove_images_response),
     .roles = RPC_ROLE_MASTER,
     .handle = remove_images},
};

static const struct service node_methods = {
    .name = "kontor.v1.Node",
    .methods = methods,
    .method_count = ARRAY_LEN(methods),
};

/* ---- the service --------------------------------------------------------- */

struct node_service *node_service_open(uv_loop_t *loop)
{
    struct node_service *service = memory_new(sizeof *service);

    service->loop = loop;
    service->board = watch_board_open(loop);
    return service;
}

/* What the engine has not reported by itself: pods that are just kept. */
static void put_pod(void *data, const Kontor__V1__PodStatus *status)
{
    watch_board_put(data, status);
}

void node_service_start(struct node_service *service,
                        const struct node_service_config *config,
                        struct server *server)
{
    service->config = *config;
    service->logs = log_streams_new(service->loop, config->engine);
    service->execs = exec_streams_new(service->loop, config->engine);
    pod_engine_each(config->engine, put_pod, service->board);
    server_add(server, &node_methods, service);
}

static const char *phase_name(Kontor__V1__PodPhase phase)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
        &kontor__v1__pod_phase__descriptor, (int)phase);

    return value ? value->name : "?";
}

void node_service_changed(void *data, const Kontor__V1__PodStatus *status)
{
    struct node_service *service = data;

    /* Progress is for who watches. */
    if (status->phase != KONTOR__V1__POD_PHASE__POD_PULLING ||
        status->reason[0])
        log_info("pod %" PRIu64 ".%u: %s%s%s", status->pod_id,
                 status->generation, phase_name(status->phase),
                 status->reason[0] ? ": " : "", status->reason);
    watch_board_put(service->board, status);
    if (service->logs)
        log_streams_changed(service->logs, status->pod_id);
}

size_t node_service_watchers(const struct node_service *service)
{
    return watch_board_watchers(service->board);
}

void node_service_hang_up(struct node_service *service)
{
    watch_board_hang_up(service->board);
    log_streams_hang_up(service->logs);
    exec_streams_hang_up(service->execs);
}

static void service_on_board_closed(void *data)
{
    struct node_service *service = data;
    void (*closed)(void *data) = service->closed;
    void *closed_data = service->closed_data;

    log_streams_free(service->logs);
    exec_streams_free(service->execs);
    free(service);
    closed(closed_data);
}

void node_service_close(struct node_service *service,
                        void (*closed)(void *data), void *data)
{
    service->closed = closed;
    service->closed_data = data;
    watch_board_close(service->board, service_on_board_closed, service);
}
