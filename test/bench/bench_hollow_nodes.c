/* bench_hollow_nodes.c - as many nodes as are asked for, that run nothing
 * (hollow.h), so that a benchmark measures the masters alone.
 *
 *   bench_hollow_nodes --pki DIR --masters HOST:PORT,... --nodes 5000
 *
 * n1, n2 ... listen on 127.1.0.1:7500, 127.1.0.2:7500 ... Their certificates
 * are made in DIR, which holds the authority and its key; on a tmpfs that
 * takes half a millisecond each. Prints "registered" once a master has taken
 * them all, and runs until it is killed. A process holds so many of them as
 * its files allow, others are its children. */
#include "base/memory.h"
#include "base/options.h"
#include "base/random.h"
#include "client/pki.h"
#include "kontor/v1/cluster.pb-c.h"
#include "rpc/channel.h"
#include "test/bench/hollow.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
    NODES_MOST = 50000,
    PODS_MOST = 1 << 30, /* more memory than theirs no node may offer */
    AT_ONCE = 64,        /* that register */
    A_PROCESS = 2500,    /* four files each: it listens, and three come */
    REGISTER_TIMEOUT_MS = 5000,
};

/* What one pod of bench_calls asks for. */
#define POD_MEMORY_BYTES (UINT64_C(1) << 20)
#define PLENTY (UINT64_C(1) << 50)

struct fleet;

struct machine {
    struct fleet *fleet;
    struct hollow hollow;
    struct server *server;
    struct tls_context *tls;
    struct channel *channel; /* while it registers */
    bool registered;
    char name[16];
    char host[24];
    char address[32];
};

struct fleet {
    const char *pki;
    const char *masters;
    const char *board_path;
    uint64_t count;
    uint64_t pods; /* of bench_calls's that fit on each */
    struct hollow_board *board;
    struct machine *machines;
    uint64_t first; /* of this process; counted from 0 */
    uint64_t end;
    uint64_t next; /* to register */
    char master[128];
};

/* ---- registering ---- */

static void register_next(struct fleet *fleet);
static void ask(struct machine *machine);

static void on_message(struct call *call, const ProtobufCMessage *message)
{
    struct machine *machine = call_data(call);

    (void)message;
    machine->registered = true;
}

static void on_closed(void *data)
{
    struct machine *machine = data;
    struct fleet *fleet = machine->fleet;

    machine->channel = NULL;
    if (++fleet->board->nodes == fleet->count) {
        puts("registered");
        fflush(stdout);
    }
    register_next(fleet);
}

static void on_ended(struct call *call, const struct error *why)
{
    struct machine *machine = call_data(call);

    if (machine->registered) {
        channel_close(machine->channel, on_closed, machine);
        return;
    }
    fprintf(stderr, "register %s: %s\n", machine->name, why->message);
    if (why->code != ERROR_UNAVAILABLE && why->code != ERROR_ABORTED &&
        why->code != ERROR_DEADLINE_EXCEEDED)
        exit(EXIT_FAILURE); /* it would be refused again */
    ask(machine);
}

static const struct call_events events = {.message = on_message,
                                          .ended = on_ended};

static void ask(struct machine *machine)
{
    const uint64_t pods = machine->fleet->pods;
    const struct call_request request = {
        .path = "/kontor.v1.Cluster/RegisterNode",
        .response = &kontor__v1__register_node_response__descriptor,
        .timeout_ms = REGISTER_TIMEOUT_MS,
        .events = &events,
        .data = machine,
    };
    Kontor__V1__Resources capacity = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    Kontor__V1__RegisterNodeRequest message =
        KONTOR__V1__REGISTER_NODE_REQUEST__INIT;

    capacity.cpu_milli = (uint32_t)pods;
    capacity.memory_bytes = pods * POD_MEMORY_BYTES;
    capacity.disk_bytes = PLENTY;
    capacity.net_bits = PLENTY;
    random_bytes(&id.high, sizeof id.high);
    message.request_id = &id;
    message.name = machine->name;
    message.address = machine->address;
    message.capacity = &capacity;
    message.version = (char[]){KONTOR_VERSION};
    message.routes_apart = true;
    channel_call_unary(machine->channel, &request, &message.base);
}

static void register_next(struct fleet *fleet)
{
    struct machine *machine;
    struct channel_config config = {.address = fleet->master,
                                    .role = RPC_ROLE_MASTER};

    if (fleet->next == fleet->end)
        return;
    machine = &fleet->machines[fleet->next++ - fleet->first];
    config.context = machine->tls;
    machine->channel = channel_open(uv_default_loop(), &config);
    ask(machine);
}

/* ---- the machines ---- */

static int start(struct machine *machine, const struct pki *pki,
                 struct error *why)
{
    const struct server_limits limits = {.connections = 16};
    const struct pki_subject subject = {
        .name = machine->name,
        .role = RPC_ROLE_NODE,
        .host = machine->host,
        .days = 1,
    };
    bool made;

    if (pki_issue(pki, &subject, &made, why) != 0 ||
        tls_context_new(&machine->tls, pki->folder, machine->name, why) != 0 ||
        server_open(&machine->server, uv_default_loop(), machine->address,
                    machine->tls, &limits, why) != 0)
        return (int)why->code;
    server_add(machine->server, &hollow_service, &machine->hollow);
    return 0;
}

static int start_all(struct fleet *fleet, struct error *why)
{
    struct pki pki;
    int code = pki_open(&pki, fleet->pki, why);

    if (code != 0)
        return code;
    fleet->machines =
        memory_array(fleet->end - fleet->first, sizeof *fleet->machines);
    for (uint64_t i = fleet->first; i < fleet->end && code == 0; i++) {
        struct machine *machine = &fleet->machines[i - fleet->first];

        machine->fleet = fleet;
        snprintf(machine->name, sizeof machine->name, "n%u", (unsigned)i + 1);
        snprintf(machine->host, sizeof machine->host, "127.1.%u.%u",
                 (unsigned)i / 250, (unsigned)i % 250 + 1);
        snprintf(machine->address, sizeof machine->address, "%s:7500",
                 machine->host);
        hollow_init(&machine->hollow, fleet->board, i + 1, uv_default_loop());
        code = start(machine, &pki, why);
    }
    pki_close(&pki);
    return code;
}

/* The nodes of this process. */
static int run(struct fleet *fleet, struct error *why)
{
    if (start_all(fleet, why) != 0)
        return (int)why->code;
    snprintf(fleet->master, sizeof fleet->master, "%.*s",
             (int)strcspn(fleet->masters, ","), fleet->masters);
    fleet->next = fleet->first;
    for (int i = 0; i < AT_ONCE; i++)
        register_next(fleet);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    return 0;
}

/* This process takes the first nodes, children take the others. */
static int run_all(struct fleet *fleet, struct error *why)
{
    if (hollow_board_open(&fleet->board, fleet->board_path, true, why) != 0)
        return (int)why->code;
    fleet->end = fleet->count < A_PROCESS ? fleet->count : A_PROCESS;
    for (uint64_t at = A_PROCESS; at < fleet->count; at += A_PROCESS) {
        if (fork() != 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fleet->first = at;
        fleet->end =
            at + A_PROCESS < fleet->count ? at + A_PROCESS : fleet->count;
        break;
    }
    return run(fleet, why);
}

int main(int argc, char **argv)
{
    static struct fleet fleet = {.count = 1, .pods = PODS_MOST};
    const struct option table[] = {
        {"pki", OPTION_STRING, &fleet.pki, "DIR", "the authority"},
        {"masters", OPTION_STRING, &fleet.masters, "HOST:PORT,...",
         "the masters"},
        {"nodes", OPTION_NUMBER, &fleet.count, "N", "how many (1)"},
        {"pods", OPTION_NUMBER, &fleet.pods, "N",
         "of bench_calls that fit on each"},
        {"board", OPTION_STRING, &fleet.board_path, "FILE",
         "where it says what it saw (hollow.h)"},
        {.name = NULL},
    };
    struct operands operands;
    struct error why;
    bool help;

    if (options_parse(table, argc, argv, &operands, &help, &why) != 0) {
        fprintf(stderr, "bench_hollow_nodes: %s\n", why.message);
        return 2;
    }
    if (help || !fleet.pki || !fleet.masters || fleet.count < 1 ||
        fleet.count > NODES_MOST || fleet.pods < 1 || fleet.pods > PODS_MOST) {
        options_print(table, stdout);
        return 2;
    }
    if (run_all(&fleet, &why) != 0) {
        fprintf(stderr, "bench_hollow_nodes: %s\n", why.message);
        return 1;
    }
    return 0;
}
