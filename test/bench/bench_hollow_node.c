/* bench_hollow_node.c - a node that takes every order and runs nothing, so
 * that a benchmark measures the masters alone.
 *
 *   bench_hollow_node --pki DIR --name n1 --listen HOST:PORT
 *                     --masters HOST:PORT,HOST:PORT,HOST:PORT
 *
 * It speaks the real Node service over real sockets. Prints "registered" once
 * a master has taken it, and runs until it is killed. */
#include "base/memory.h"
#include "base/options.h"
#include "base/random.h"
#include "kontor/v1/node.pb-c.h"
#include "rpc/channel.h"
#include "rpc/server.h"

#include <string.h>

struct hollow {
    const char *name;
    const char *address;
    struct channel *channel;
    bool registered;
};

static void create_pods(struct call *call, const ProtobufCMessage *request)
{
    Kontor__V1__CreatePodsResponse response =
        KONTOR__V1__CREATE_PODS_RESPONSE__INIT;

    (void)request;
    call_reply(call, &response.base);
}

static void delete_pods(struct call *call, const ProtobufCMessage *request)
{
    Kontor__V1__DeletePodsResponse response =
        KONTOR__V1__DELETE_PODS_RESPONSE__INIT;

    (void)request;
    call_reply(call, &response.base);
}

static void list_pods(struct call *call, const ProtobufCMessage *request)
{
    Kontor__V1__NodeListPodsResponse response =
        KONTOR__V1__NODE_LIST_PODS_RESPONSE__INIT;

    (void)request;
    call_reply(call, &response.base);
}

static void set_routes(struct call *call, const ProtobufCMessage *request)
{
    Kontor__V1__SetRoutesResponse response =
        KONTOR__V1__SET_ROUTES_RESPONSE__INIT;

    (void)request;
    call_reply(call, &response.base);
}

/* A Watch: a heartbeat a second until it ends. */
struct watch {
    uv_timer_t timer;
    struct call *call;
    uint64_t sequence;
};

static void watch_beat(uv_timer_t *timer)
{
    struct watch *watch = container_of(timer, struct watch, timer);
    Kontor__V1__NodeReport report = KONTOR__V1__NODE_REPORT__INIT;
    struct error why;

    report.sequence = ++watch->sequence;
    call_send(watch->call, &report.base, &why);
}

static void watch_on_freed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)handle, struct watch, timer));
}

static void watch_on_ended(struct call *call, const struct error *why)
{
    struct watch *watch = call_data(call);

    (void)why;
    uv_close((uv_handle_t *)&watch->timer, watch_on_freed);
}

static const struct call_events watch_events = {.ended = watch_on_ended};

static void watch_open(struct call *call, const ProtobufCMessage *request)
{
    struct watch *watch = memory_new(sizeof *watch);

    (void)request;
    watch->call = call;
    uv_timer_init(uv_default_loop(), &watch->timer);
    uv_timer_start(&watch->timer, watch_beat, 0, 1000);
    call_listen(call, &watch_events, watch);
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
     .handle = watch_open},
    {.name = "SetRoutes",
     .request = &kontor__v1__set_routes_request__descriptor,
     .response = &kontor__v1__set_routes_response__descriptor,
     .roles = RPC_ROLE_MASTER,
     .handle = set_routes},
};

static const struct service node_service = {
    .name = "kontor.v1.Node",
    .methods = methods,
    .method_count = ARRAY_LEN(methods),
};

static void hollow_register(struct hollow *hollow);

static void register_on_message(struct call *call,
                                const ProtobufCMessage *message)
{
    struct hollow *hollow = call_data(call);

    (void)message;
    hollow->registered = true;
    puts("registered");
    fflush(stdout);
}

static void register_on_ended(struct call *call, const struct error *why)
{
    struct hollow *hollow = call_data(call);

    if (hollow->registered)
        return;
    fprintf(stderr, "register: %s\n", why->message);
    hollow_register(hollow);
}

static const struct call_events register_events = {
    .message = register_on_message,
    .ended = register_on_ended,
};

static void hollow_register(struct hollow *hollow)
{
    const struct call_request request = {
        .path = "/kontor.v1.Cluster/RegisterNode",
        .response = &kontor__v1__register_node_response__descriptor,
        .timeout_ms = 5000,
        .events = &register_events,
        .data = hollow,
    };
    Kontor__V1__Resources capacity = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    Kontor__V1__RegisterNodeRequest message =
        KONTOR__V1__REGISTER_NODE_REQUEST__INIT;

    capacity.cpu_milli = 2000000000;
    capacity.memory_bytes = UINT64_C(1) << 50;
    capacity.disk_bytes = UINT64_C(1) << 50;
    capacity.net_bits = UINT64_C(1) << 50;
    random_bytes(&id.high, sizeof id.high);
    message.request_id = &id;
    message.name = memory_string(hollow->name);
    message.address = memory_string(hollow->address);
    message.capacity = &capacity;
    message.version = (char[]){KONTOR_VERSION};
    channel_call_unary(hollow->channel, &request, &message.base);
    free(message.name);
    free(message.address);
}

static int run(struct hollow *hollow, const char *pki, const char *masters)
{
    struct tls_context *tls;
    struct server *server;
    struct error why;
    char first[128];
    struct channel_config config = {.address = first, .role = RPC_ROLE_MASTER};

    snprintf(first, sizeof first, "%.*s", (int)strcspn(masters, ","), masters);
    if (tls_context_new(&tls, pki, hollow->name, &why) != 0 ||
        server_open(&server, uv_default_loop(), hollow->address, tls, NULL,
                    &why) != 0) {
        fprintf(stderr, "bench_hollow_node: %s\n", why.message);
        return 1;
    }
    server_add(server, &node_service, hollow);
    config.context = tls;
    hollow->channel = channel_open(uv_default_loop(), &config);
    hollow_register(hollow);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    struct hollow hollow = {0};
    const char *pki = NULL;
    const char *masters = NULL;
    const struct option table[] = {
        {"pki", OPTION_STRING, &pki, "DIR", "the node's certificate"},
        {"name", OPTION_STRING, &hollow.name, "NAME", "the node"},
        {"listen", OPTION_STRING, &hollow.address, "HOST:PORT", "its service"},
        {"masters", OPTION_STRING, &masters, "HOST:PORT,...", "the masters"},
        {.name = NULL},
    };
    struct operands operands;
    struct error why;
    bool help;

    if (options_parse(table, argc, argv, &operands, &help, &why) != 0) {
        fprintf(stderr, "bench_hollow_node: %s\n", why.message);
        return 2;
    }
    if (help || !pki || !masters || !hollow.name || !hollow.address) {
        options_print(table, stdout);
        return 2;
    }
    return run(&hollow, pki, masters);
}
