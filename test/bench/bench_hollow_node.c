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
#include "kontor/v1/cluster.pb-c.h"
#include "rpc/channel.h"
#include "test/unit/fake_node.h"

#include <string.h>

struct hollow {
    const char *name;
    const char *address;
    struct fake_node node;
    struct channel *channel;
    bool registered;
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
    struct error why;
    char first[128];
    struct channel_config config = {.address = first, .role = RPC_ROLE_MASTER};

    hollow->node.loop = uv_default_loop();
    snprintf(first, sizeof first, "%.*s", (int)strcspn(masters, ","), masters);
    if (tls_context_new(&tls, pki, hollow->name, &why) != 0 ||
        server_open(&hollow->node.server, uv_default_loop(), hollow->address,
                    tls, NULL, &why) != 0) {
        fprintf(stderr, "bench_hollow_node: %s\n", why.message);
        return 1;
    }
    server_add(hollow->node.server, &fake_node_service, &hollow->node);
    config.context = tls;
    hollow->channel = channel_open(uv_default_loop(), &config);
    hollow_register(hollow);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    static struct hollow hollow = {
        .node = {.heartbeat_ms = 1000, .hollow = true},
    };
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
