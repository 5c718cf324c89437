/* bench_calls.c - unary calls in a closed loop against a real cluster, ours or
 * etcd's, by the same client over the same mutual TLS.
 *
 *   bench_calls schedule --pki DIR --at HOST:PORT --concurrency 256 --count N
 *
 * Each of `concurrency` callers sends its next request when the one before was
 * answered. Times are from call to answer. With --board FILE (hollow.h) it also
 * waits until the hollow nodes were ordered as many pods, and says when.
 *
 * etcd's messages are not ours, but on the wire a PutRequest is a Label (bytes
 * 1 and 2), a RangeRequest a GetPodRequest (bytes 1), and of the answers
 * nothing is looked at. */
#include "base/clock.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/random.h"
#include "kontor/v1/cluster.pb-c.h"
#include "master/placement/resources.h"
#include "rpc/channel.h"
#include "test/bench/hollow.h"
#include "test/bench/samples.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 80, ETCD_VALUE_BYTES = 200 };

struct bench {
    const struct workload *workload;
    struct channel *channel;
    uint64_t left;     /* requests still to be sent */
    uint64_t replicas; /* pods that each Schedule makes */
    uint64_t sent;     /* pods that are to wait */
    uint64_t running;
    uint64_t refused;
    bool pending; /* some pod was not placed */
    struct error last_error;
    struct samples samples;
    struct hollow_board *board; /* or NULL */
};

struct caller {
    struct bench *bench;
    uint64_t sent_at_ns;
    char pod[NAME_MAX_BYTES]; /* churn: to be stopped; empty: none */
};

struct workload {
    const char *name;
    const char *label;
    void (*send)(struct caller *caller);
};

static void caller_next(struct caller *caller);

static void on_message(struct call *call, const ProtobufCMessage *message)
{
    struct caller *caller = call_data(call);
    const Kontor__V1__ScheduleResponse *response;

    samples_add(&caller->bench->samples,
                clock_monotonic_ns() - caller->sent_at_ns);
    caller->pod[0] = '\0';
    if (message->descriptor != &kontor__v1__schedule_response__descriptor)
        return;
    response = (const Kontor__V1__ScheduleResponse *)message;
    if (!response->pod || response->pod->node[0] == '\0')
        caller->bench->pending = true;
    if (response->pod)
        snprintf(caller->pod, sizeof caller->pod, "%s", response->pod->name);
}

static void on_ended(struct call *call, const struct error *why)
{
    struct caller *caller = call_data(call);

    caller->bench->running--;
    if (why->code) {
        caller->bench->refused++;
        caller->bench->last_error = *why;
    }
    caller_next(caller);
}

static void send_call(struct caller *caller, const char *path,
                      const ProtobufCMessageDescriptor *response,
                      const ProtobufCMessage *message)
{
    static const struct call_events events = {
        .message = on_message,
        .ended = on_ended,
    };

    caller->sent_at_ns = clock_monotonic_ns();
    channel_call_unary(caller->bench->channel,
                       &(struct call_request){
                           .path = path,
                           .response = response,
                           .timeout_ms = 10000,
                           .events = &events,
                           .data = caller,
                       },
                       message);
}

static void caller_next(struct caller *caller)
{
    if (caller->bench->left == 0)
        return;
    caller->bench->left--;
    caller->bench->running++;
    caller->bench->workload->send(caller);
}

/* ---- what is called ---- */

static void fill_id(Kontor__V1__RequestId *id)
{
    kontor__v1__request_id__init(id);
    random_bytes(&id->high, sizeof id->high);
    random_bytes(&id->low, sizeof id->low);
}

/* What the pods of a benchmark want, but those that are to wait. */
enum { POD_CPU_MILLI = 1, POD_MEMORY_BYTES = 1 << 20 };

/* On `node`; "": anywhere. */
static void schedule(struct caller *caller, char *node,
                     const struct resources *want)
{
    Kontor__V1__Resources resources = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__ContainerSpec container = KONTOR__V1__CONTAINER_SPEC__INIT;
    Kontor__V1__ContainerSpec *containers[] = {&container};
    Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__ScheduleRequest message = KONTOR__V1__SCHEDULE_REQUEST__INIT;
    Kontor__V1__RequestId id;

    fill_id(&id);
    resources_tell(want, &resources);
    container.image = (char[]){"registry.local:5000/web:1"};
    spec.resources = &resources;
    spec.containers = containers;
    spec.n_containers = 1;
    spec.node = node;
    message.request_id = &id;
    message.spec = &spec;
    message.replicas = (uint32_t)caller->bench->replicas;
    send_call(caller, "/kontor.v1.Cluster/Schedule",
              &kontor__v1__schedule_response__descriptor, &message.base);
}

static const struct resources little = {{POD_CPU_MILLI, POD_MEMORY_BYTES}};

static void send_schedule(struct caller *caller)
{
    schedule(caller, (char[]){""}, &little);
}

/* More memory than any node has left, and each another amount: they wait. */
static void send_wait(struct caller *caller)
{
    struct resources want = {
        {POD_CPU_MILLI, (UINT64_C(1) << 40) + caller->bench->sent++}};

    schedule(caller, (char[]){""}, &want);
}

/* A pod, and its end. */
static void send_turnover(struct caller *caller, char *node)
{
    Kontor__V1__StopRequest message = KONTOR__V1__STOP_REQUEST__INIT;
    Kontor__V1__RequestId id;

    if (caller->pod[0] == '\0') {
        schedule(caller, node, &little);
        return;
    }
    fill_id(&id);
    message.request_id = &id;
    message.pod = caller->pod;
    send_call(caller, "/kontor.v1.Cluster/Stop",
              &kontor__v1__stop_response__descriptor, &message.base);
}

/* For a node that is not there: writes that leave nothing behind. */
static void send_churn(struct caller *caller)
{
    send_turnover(caller, (char[]){"nowhere"});
}

/* On a node, whose room comes and goes. */
static void send_placed_churn(struct caller *caller)
{
    send_turnover(caller, (char[]){""});
}

static void send_get(struct caller *caller)
{
    Kontor__V1__GetPodRequest message = KONTOR__V1__GET_POD_REQUEST__INIT;

    message.pod = (char[]){"probe-1"}; /* the script has made it */
    send_call(caller, "/kontor.v1.Cluster/GetPod",
              &kontor__v1__list_nodes_request__descriptor, &message.base);
}

static void send_etcd_put(struct caller *caller)
{
    char value[ETCD_VALUE_BYTES + 1];
    Kontor__V1__Label message = KONTOR__V1__LABEL__INIT;

    memset(value, 'x', ETCD_VALUE_BYTES);
    value[ETCD_VALUE_BYTES] = '\0';
    message.key = (char[]){"/pods/web-1"};
    message.value = value;
    send_call(caller, "/etcdserverpb.KV/Put",
              &kontor__v1__list_nodes_request__descriptor, &message.base);
}

static void send_etcd_get(struct caller *caller)
{
    Kontor__V1__GetPodRequest message = KONTOR__V1__GET_POD_REQUEST__INIT;

    message.pod = (char[]){"/pods/web-1"};
    send_call(caller, "/etcdserverpb.KV/Range",
              &kontor__v1__list_nodes_request__descriptor, &message.base);
}

static const struct workload workloads[] = {
    {"schedule", "kontor schedule", send_schedule},
    {"churn", "kontor churn", send_churn},
    {"placed-churn", "kontor churn on nodes", send_placed_churn},
    {"wait", "kontor wait", send_wait},
    {"get", "kontor get", send_get},
    {"etcd-put", "etcd put, TLS", send_etcd_put},
    {"etcd-get", "etcd get, TLS", send_etcd_get},
};

static const struct workload *find_workload(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(workloads); i++)
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    return NULL;
}

/* ---- running ---- */

static void on_closed(void *data)
{
    (void)data;
}

enum { LOOK_EVERY_US = 1000, STALLED_MS = 30000 };

/* The nodes have been ordered so many pods, or for a long time none. */
static void await_orders(const struct bench *bench, uint64_t created,
                         uint64_t since_ns)
{
    const struct hollow_board *board = bench->board;
    uint64_t seen = board->created;
    uint64_t moved_ms = clock_monotonic_ms();

    while (seen < created && clock_monotonic_ms() - moved_ms < STALLED_MS) {
        usleep(LOOK_EVERY_US);
        if (board->created == seen)
            continue;
        seen = board->created;
        moved_ms = clock_monotonic_ms();
    }
    printf("%s: dispatched after %.3f s, %" PRIu64 " missing\n",
           bench->workload->label, (double)(board->created_ns - since_ns) / 1e9,
           created > seen ? created - seen : 0);
}

static int report(struct bench *bench, const char *label, uint64_t took_ns)
{
    size_t count = bench->samples.count;

    samples_print(&bench->samples, label);
    printf("%s: %.0f calls/s\n", label,
           (double)count / ((double)took_ns / 1e9));
    if (bench->replicas > 1)
        printf("%s: %.0f pods/s\n", label,
               (double)(count * bench->replicas) / ((double)took_ns / 1e9));
    if (bench->pending && bench->workload->send == send_schedule)
        printf("%s: some pods were accepted as pending\n", label);
    if (bench->refused > 0)
        printf("%s: %" PRIu64 " calls failed, the last with %s: %s\n", label,
               bench->refused, error_name((int)bench->last_error.code),
               bench->last_error.message);
    samples_fini(&bench->samples);
    return bench->refused > 0;
}

static int run(struct bench *bench, const char *pki, const char *at,
               uint64_t concurrency)
{
    struct tls_context *tls;
    struct error why;
    struct caller *callers = memory_array(concurrency, sizeof *callers);
    struct channel_config config = {.address = at, .role = RPC_ROLE_MASTER};
    char label[64];
    uint64_t started_ns;
    uint64_t took_ns;
    uint64_t created =
        bench->board ? bench->board->created + bench->left * bench->replicas
                     : 0;

    if (tls_context_new(&tls, pki, "admin", &why) != 0) {
        fprintf(stderr, "bench_calls: %s\n", why.message);
        return 1;
    }
    config.context = tls;
    bench->channel = channel_open(uv_default_loop(), &config);
    while (!channel_connected(bench->channel))
        uv_run(uv_default_loop(), UV_RUN_ONCE);
    started_ns = clock_monotonic_ns();
    for (uint64_t i = 0; i < concurrency; i++) {
        callers[i].bench = bench;
        caller_next(&callers[i]);
    }
    while (bench->running > 0)
        uv_run(uv_default_loop(), UV_RUN_ONCE);
    took_ns = clock_monotonic_ns() - started_ns;
    if (bench->board)
        await_orders(bench, created, started_ns);
    channel_close(bench->channel, on_closed, NULL);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    tls_context_free(tls);
    free(callers);
    snprintf(label, sizeof label, "%s, %" PRIu64 " callers",
             bench->workload->label, concurrency);
    return report(bench, label, took_ns);
}

int main(int argc, char **argv)
{
    const char *pki = NULL;
    const char *at = NULL;
    const char *board = NULL;
    uint64_t concurrency = 1;
    struct bench bench = {.left = 1000, .replicas = 1};
    const struct option table[] = {
        {"pki", OPTION_STRING, &pki, "DIR", "admin's certificate"},
        {"at", OPTION_STRING, &at, "HOST:PORT", "whom to ask"},
        {"concurrency", OPTION_NUMBER, &concurrency, "N", "callers"},
        {"count", OPTION_NUMBER, &bench.left, "N", "requests in all"},
        {"replicas", OPTION_NUMBER, &bench.replicas, "N", "pods a Schedule"},
        {"board", OPTION_STRING, &board, "FILE", "of the hollow nodes"},
        {.name = NULL},
    };
    struct operands operands;
    struct error why;
    bool help;

    if (options_parse(table, argc, argv, &operands, &help, &why) != 0) {
        fprintf(stderr, "bench_calls: %s\n", why.message);
        return 2;
    }
    if (operands.count == 1)
        bench.workload = find_workload(operands.values[0]);
    if (help || !pki || !at || concurrency == 0 || !bench.workload) {
        puts("bench_calls schedule|churn|placed-churn|wait|get|etcd-put|"
             "etcd-get");
        options_print(table, stdout);
        return 2;
    }
    if (board && hollow_board_open(&bench.board, board, false, &why) != 0) {
        fprintf(stderr, "bench_calls: %s\n", why.message);
        return 1;
    }
    return run(&bench, pki, at, concurrency);
}
