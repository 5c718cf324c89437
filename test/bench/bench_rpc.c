/* bench_rpc - what one hop of rpc/ costs: a server process and a client
 * process over a real loopback socket with mutual TLS.
 *
 *   bench_rpc PKI-FOLDER CALLS CONCURRENT REQUEST-BYTES
 *
 * PKI-FOLDER holds ca.crt and m1.crt, m1.key (a master). Prints calls/s and
 * the latency of single calls. The method is the health check's, whose
 * service name serves as payload. */
#include "base/clock.h"
#include "base/compare.h"
#include "base/memory.h"
#include "grpc/health/v1/health.pb-c.h"
#include "rpc/channel.h"
#include "rpc/server.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

typedef Grpc__Health__V1__HealthCheckRequest request_message;
typedef Grpc__Health__V1__HealthCheckResponse response_message;

struct bench {
    struct channel *channel;
    uv_loop_t loop;
    char *payload;
    unsigned long to_start;
    unsigned long to_end;
    unsigned long failed;
    unsigned concurrent;
    uint64_t *latency_ns;
    unsigned long done;
    uint64_t started_ns;
};

struct one {
    struct bench *bench;
    uint64_t began_ns;
};

static void echo(struct call *call, const ProtobufCMessage *message)
{
    response_message response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

    (void)message;
    response.status =
        GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    call_reply(call, &response.base);
}

static const struct method methods[] = {{
    .name = "Echo",
    .request = &grpc__health__v1__health_check_request__descriptor,
    .response = &grpc__health__v1__health_check_response__descriptor,
    .roles = RPC_ROLE_MASTER,
    .handle = echo,
}};
static const struct service service = {"bench.Echo", methods, 1};

static void die(const struct error *why)
{
    fprintf(stderr, "bench_rpc: %s\n", why->message);
    exit(1);
}

static void serve(struct tls_context *context, int report)
{
    struct server *server;
    struct error why;
    uv_loop_t loop;
    unsigned port;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    uv_loop_init(&loop);
    if (server_open(&server, &loop, "127.0.0.1:0", context, NULL, &why) != 0)
        die(&why);
    server_add(server, &service, NULL);
    port = server_port(server);
    if (write(report, &port, sizeof port) != sizeof port)
        exit(1);
    uv_run(&loop, UV_RUN_DEFAULT);
}

static void start_one(struct bench *bench, struct one *one);

static void on_ended(struct call *call, const struct error *why)
{
    struct one *one = call_data(call);
    struct bench *bench = one->bench;

    if (why->code) {
        if (!bench->failed++)
            fprintf(stderr, "bench_rpc: %s\n", why->message);
    }
    bench->latency_ns[bench->done++] = clock_monotonic_ns() - one->began_ns;
    if (bench->to_start > 0)
        start_one(bench, one);
    else if (--bench->concurrent == 0)
        channel_close(bench->channel, NULL, NULL);
}

static const struct call_events events = {.ended = on_ended};

static void start_one(struct bench *bench, struct one *one)
{
    request_message request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    const struct call_request call = {
        .path = "/bench.Echo/Echo",
        .response = &grpc__health__v1__health_check_response__descriptor,
        .timeout_ms = 10000,
        .events = &events,
        .data = one,
    };

    bench->to_start--;
    one->bench = bench;
    one->began_ns = clock_monotonic_ns();
    request.service = bench->payload;
    channel_call_unary(bench->channel, &call, &request.base);
}

static void on_changed(void *data, bool connected, const struct error *why)
{
    struct bench *bench = data;

    if (!connected)
        die(why);
    bench->started_ns = clock_monotonic_ns();
    for (unsigned i = 0; i < bench->concurrent; i++)
        start_one(bench, memory_new(sizeof(struct one)));
}

static double cpu_us(int who)
{
    struct rusage usage;

    getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void report(const struct bench *bench, unsigned concurrent)
{
    uint64_t took_ns = clock_monotonic_ns() - bench->started_ns;
    unsigned long n = bench->done;
    unsigned long middle = n / 2;
    unsigned long high = n * 99 / 100;

    qsort(bench->latency_ns, n, sizeof *bench->latency_ns, compare_u64);
    printf("%lu calls, %u concurrent: %.0f calls/s, p50 %.3f ms, p99 %.3f ms, "
           "client CPU %.1f us a call, failed %lu\n",
           n, concurrent, (double)n * 1e9 / (double)took_ns,
           (double)bench->latency_ns[middle] / 1e6,
           (double)bench->latency_ns[high] / 1e6,
           cpu_us(RUSAGE_SELF) / (double)n, bench->failed);
}

static void measure(struct tls_context *context, unsigned port,
                    struct bench *bench)
{
    unsigned concurrent = bench->concurrent;
    char address[32];
    struct channel_config config = {
        .address = address,
        .context = context,
        .role = RPC_ROLE_MASTER,
        .changed = on_changed,
        .data = bench,
    };

    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    uv_loop_init(&bench->loop);
    bench->channel = channel_open(&bench->loop, &config);
    uv_run(&bench->loop, UV_RUN_DEFAULT);
    report(bench, concurrent);
}

int main(int argc, char **argv)
{
    struct tls_context *context;
    struct bench bench = {0};
    struct error why;
    unsigned port;
    int report_pipe[2];
    pid_t child;

    if (argc != 5)
        return 2;
    if (tls_context_new(&context, argv[1], "m1", &why) != 0)
        die(&why);
    if (pipe(report_pipe) != 0)
        return 1;
    child = fork();
    if (child == 0)
        serve(context, report_pipe[1]);
    if (read(report_pipe[0], &port, sizeof port) != sizeof port)
        return 1;
    bench.to_start = strtoul(argv[2], NULL, 10);
    bench.concurrent = (unsigned)strtoul(argv[3], NULL, 10);
    bench.payload = memory_new(strtoul(argv[4], NULL, 10) + 1);
    memset(bench.payload, 'x', strtoul(argv[4], NULL, 10));
    bench.latency_ns = memory_array(bench.to_start, sizeof(uint64_t));
    measure(context, port, &bench);
    kill(child, SIGTERM);
    waitpid(child, NULL, 0);
    printf("server CPU %.1f us a call\n",
           cpu_us(RUSAGE_CHILDREN) / (double)bench.done);
    return bench.failed ? 1 : 0;
}
