/* bench_schedule.c - acknowledged Schedule calls against a real cluster.
 *
 *   bench_schedule --pki DIR --leader HOST:PORT --concurrency 256 --count N
 *
 * A closed loop: each of `concurrency` callers sends its next request when
 * the one before was acknowledged. Times are from call to answer. */
#include "base/clock.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/random.h"
#include "kontor/v1/cluster.pb-c.h"
#include "rpc/channel.h"
#include "test/bench/samples.h"

#include <string.h>

struct bench {
    struct channel *channel;
    uint64_t left; /* requests still to be sent */
    uint64_t running;
    uint64_t refused;
    bool pending; /* some pod was not placed */
    struct error last_error;
    struct samples samples;
};

struct caller {
    struct bench *bench;
    uint64_t sent_at_ns;
};

static void caller_send(struct caller *caller);

static void caller_on_message(struct call *call,
                              const ProtobufCMessage *message)
{
    struct caller *caller = call_data(call);
    const Kontor__V1__ScheduleResponse *response =
        (const Kontor__V1__ScheduleResponse *)message;

    samples_add(&caller->bench->samples,
                clock_monotonic_ns() - caller->sent_at_ns);
    if (!response->pod || response->pod->node[0] == '\0')
        caller->bench->pending = true;
}

static void caller_on_ended(struct call *call, const struct error *why)
{
    struct caller *caller = call_data(call);

    caller->bench->running--;
    if (why->code) {
        caller->bench->refused++;
        caller->bench->last_error = *why;
    }
    caller_send(caller);
}

static const struct call_events caller_events = {
    .message = caller_on_message,
    .ended = caller_on_ended,
};

static void caller_send(struct caller *caller)
{
    static const struct call_request request = {
        .path = "/kontor.v1.Cluster/Schedule",
        .response = &kontor__v1__schedule_response__descriptor,
        .timeout_ms = 10000,
        .events = &caller_events,
    };
    struct call_request mine = request;
    Kontor__V1__Resources resources = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__ContainerSpec container = KONTOR__V1__CONTAINER_SPEC__INIT;
    Kontor__V1__ContainerSpec *containers[] = {&container};
    Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    Kontor__V1__ScheduleRequest message = KONTOR__V1__SCHEDULE_REQUEST__INIT;

    if (caller->bench->left == 0)
        return;
    caller->bench->left--;
    caller->bench->running++;
    resources.cpu_milli = 1;
    resources.memory_bytes = 1 << 20;
    container.image = (char[]){"registry.local:5000/web:1"};
    spec.resources = &resources;
    spec.containers = containers;
    spec.n_containers = 1;
    random_bytes(&id.high, sizeof id.high);
    random_bytes(&id.low, sizeof id.low);
    message.request_id = &id;
    message.spec = &spec;
    mine.data = caller;
    caller->sent_at_ns = clock_monotonic_ns();
    channel_call_unary(caller->bench->channel, &mine, &message.base);
}

static void on_closed(void *data)
{
    (void)data;
}

static int report(struct bench *bench, const char *label, uint64_t took_ns)
{
    size_t count = bench->samples.count;

    samples_print(&bench->samples, label);
    printf("%s: %.0f calls/s\n", label,
           (double)count / ((double)took_ns / 1e9));
    if (bench->pending)
        printf("%s: some pods were accepted as pending\n", label);
    if (bench->refused > 0)
        printf("%s: %llu calls failed, the last with %s: %s\n", label,
               (unsigned long long)bench->refused,
               error_name((int)bench->last_error.code),
               bench->last_error.message);
    samples_fini(&bench->samples);
    return bench->refused > 0;
}

static int run(const char *pki, const char *leader, uint64_t concurrency,
               uint64_t count)
{
    struct tls_context *tls;
    struct error why;
    struct bench bench = {.left = count};
    struct caller *callers = memory_array(concurrency, sizeof *callers);
    struct channel_config config = {.address = leader, .role = RPC_ROLE_MASTER};
    char label[64];
    uint64_t started_ns;
    uint64_t took_ns;

    if (tls_context_new(&tls, pki, "admin", &why) != 0) {
        fprintf(stderr, "bench_schedule: %s\n", why.message);
        return 1;
    }
    config.context = tls;
    bench.channel = channel_open(uv_default_loop(), &config);
    while (!channel_connected(bench.channel))
        uv_run(uv_default_loop(), UV_RUN_ONCE);
    started_ns = clock_monotonic_ns();
    for (uint64_t i = 0; i < concurrency; i++) {
        callers[i].bench = &bench;
        caller_send(&callers[i]);
    }
    while (bench.running > 0)
        uv_run(uv_default_loop(), UV_RUN_ONCE);
    took_ns = clock_monotonic_ns() - started_ns;
    channel_close(bench.channel, on_closed, NULL);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    tls_context_free(tls);
    free(callers);
    snprintf(label, sizeof label, "kontor schedule, %llu callers",
             (unsigned long long)concurrency);
    return report(&bench, label, took_ns);
}

int main(int argc, char **argv)
{
    const char *pki = NULL;
    const char *leader = NULL;
    uint64_t concurrency = 1;
    uint64_t count = 1000;
    const struct option table[] = {
        {"pki", OPTION_STRING, &pki, "DIR", "admin's certificate"},
        {"leader", OPTION_STRING, &leader, "HOST:PORT", "the master to ask"},
        {"concurrency", OPTION_NUMBER, &concurrency, "N", "callers"},
        {"count", OPTION_NUMBER, &count, "N", "requests in all"},
        {.name = NULL},
    };
    struct operands operands;
    struct error why;
    bool help;

    if (options_parse(table, argc, argv, &operands, &help, &why) != 0) {
        fprintf(stderr, "bench_schedule: %s\n", why.message);
        return 2;
    }
    if (help || !pki || !leader || concurrency == 0) {
        options_print(table, stdout);
        return 2;
    }
    return run(pki, leader, concurrency, count);
}
