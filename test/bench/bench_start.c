/* bench_start.c - from Schedule to a running process, and from Stop to
 * nothing left, on a real cluster with real nodes.
 *
 *   bench_start --pki DIR --leader HOST:PORT --image IMAGE --count N
 *
 * One pod after the other: schedule, wait for the Watch stream to say running,
 * stop, wait for stopped. The first pod brings the image to the node and does
 * not count. */
#include "base/clock.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/random.h"
#include "kontor/v1/cluster.pb-c.h"
#include "rpc/channel.h"
#include "test/bench/samples.h"

#include <string.h>

enum {
    CALL_MS = 20000,
    STEP_MS = 60000, /* nothing happened for so long: something is wrong */
    STOP_GRACE_MS = 5000,
};

struct bench {
    struct channel *channel;
    const char *image;
    uv_timer_t patience;
    uint64_t left; /* pods, the one under way not counted */
    bool warm;     /* the first pod is over */
    bool over;
    struct error error;
    bool stopping;       /* the pod under way was asked to stop */
    uint64_t stopped_id; /* the pod before; what is told of it is ignored */
    uint64_t began_ns;   /* the Schedule or Stop that is under way */
    struct samples starts;
    struct samples stops;
};

static void bench_on_pod(struct bench *bench, const Kontor__V1__Pod *pod);

static void bench_fail(struct bench *bench, const struct error *why)
{
    if (!bench->error.code)
        bench->error = *why;
    bench->over = true;
}

/* ---- what comes back -------------------------------------------------------
 */

static void write_on_ended(struct call *call, const struct error *why)
{
    if (why->code)
        bench_fail(call_data(call), why);
}

static void watch_on_message(struct call *call, const ProtobufCMessage *message)
{
    struct bench *bench = call_data(call);
    const Kontor__V1__Event *event = (const Kontor__V1__Event *)message;

    if (event->pod && event->pod->id > bench->stopped_id && !bench->over)
        bench_on_pod(bench, event->pod);
}

static void watch_on_ended(struct call *call, const struct error *why)
{
    struct bench *bench = call_data(call);

    if (!bench->over)
        bench_fail(bench, why);
}

static const struct call_events write_events = {.ended = write_on_ended};
static const struct call_events watch_events = {.message = watch_on_message,
                                                .ended = watch_on_ended};

/* ---- what is asked ---------------------------------------------------------
 */

static void watch(struct bench *bench)
{
    const struct call_request request = {
        .path = "/kontor.v1.Cluster/Watch",
        .response = &kontor__v1__event__descriptor,
        .events = &watch_events,
        .data = bench,
    };
    Kontor__V1__WatchRequest message = KONTOR__V1__WATCH_REQUEST__INIT;

    message.from_now = true;
    channel_call_unary(bench->channel, &request, &message.base);
}

static void request_id(Kontor__V1__RequestId *id)
{
    random_bytes(&id->high, sizeof id->high);
    random_bytes(&id->low, sizeof id->low);
}

static void schedule(struct bench *bench)
{
    const struct call_request request = {
        .path = "/kontor.v1.Cluster/Schedule",
        .response = &kontor__v1__schedule_response__descriptor,
        .timeout_ms = CALL_MS,
        .events = &write_events,
        .data = bench,
    };
    char *command[] = {(char[]){"/bin/sleep"}, (char[]){"1000"}};
    Kontor__V1__Resources resources = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__ContainerSpec container = KONTOR__V1__CONTAINER_SPEC__INIT;
    Kontor__V1__ContainerSpec *containers[] = {&container};
    Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    Kontor__V1__ScheduleRequest message = KONTOR__V1__SCHEDULE_REQUEST__INIT;
    char *image = memory_string(bench->image);

    request_id(&id);
    resources.cpu_milli = 100;
    resources.memory_bytes = 32 << 20;
    container.image = image;
    container.command = command;
    container.n_command = ARRAY_LEN(command);
    spec.resources = &resources;
    spec.containers = containers;
    spec.n_containers = 1;
    spec.stop_grace_ms = STOP_GRACE_MS;
    message.request_id = &id;
    message.spec = &spec;
    bench->began_ns = clock_monotonic_ns();
    channel_call_unary(bench->channel, &request, &message.base);
    free(image);
}

static void stop(struct bench *bench, char *pod)
{
    const struct call_request request = {
        .path = "/kontor.v1.Cluster/Stop",
        .response = &kontor__v1__stop_response__descriptor,
        .timeout_ms = CALL_MS,
        .events = &write_events,
        .data = bench,
    };
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    Kontor__V1__StopRequest message = KONTOR__V1__STOP_REQUEST__INIT;

    request_id(&id);
    message.request_id = &id;
    message.pod = pod;
    bench->began_ns = clock_monotonic_ns();
    channel_call_unary(bench->channel, &request, &message.base);
}

/* ---- one pod after the other -----------------------------------------------
 */

static void on_impatient(uv_timer_t *timer)
{
    struct bench *bench = container_of(timer, struct bench, patience);
    struct error why;

    error_set(&why, ERROR_DEADLINE_EXCEEDED, "a pod was not %s for %d s",
              bench->stopping ? "stopped" : "running", STEP_MS / 1000);
    bench_fail(bench, &why);
}

static void bench_next(struct bench *bench)
{
    bench->stopping = false;
    bench->over = bench->left == 0;
    if (bench->over)
        return;
    bench->left--;
    schedule(bench);
}

/* The pod under way is what `pod` says. */
static void bench_on_pod(struct bench *bench, const Kontor__V1__Pod *pod)
{
    Kontor__V1__PodPhase phase = pod->status->phase;
    uint64_t took_ns = clock_monotonic_ns() - bench->began_ns;
    struct error why;

    uv_timer_again(&bench->patience);
    if (phase == KONTOR__V1__POD_PHASE__POD_RUNNING && !bench->stopping) {
        if (bench->warm)
            samples_add(&bench->starts, took_ns);
        bench->stopping = true;
        stop(bench, pod->name);
    } else if (phase == KONTOR__V1__POD_PHASE__POD_STOPPED) {
        if (bench->warm)
            samples_add(&bench->stops, took_ns);
        bench->warm = true;
        bench->stopped_id = pod->id;
        bench_next(bench);
    } else if (phase == KONTOR__V1__POD_PHASE__POD_FAILED ||
               phase == KONTOR__V1__POD_PHASE__POD_BACKOFF) {
        error_set(&why, ERROR_INTERNAL, "%s did not stay up: %s", pod->name,
                  pod->status->reason);
        bench_fail(bench, &why);
    }
}

static int run(struct bench *bench, const char *pki, const char *leader)
{
    struct tls_context *tls;
    struct channel_config config = {.address = leader, .role = RPC_ROLE_MASTER};

    if (tls_context_new(&tls, pki, "admin", &bench->error) != 0)
        return (int)bench->error.code;
    config.context = tls;
    bench->channel = channel_open(uv_default_loop(), &config);
    while (!channel_connected(bench->channel))
        uv_run(uv_default_loop(), UV_RUN_ONCE);
    uv_timer_init(uv_default_loop(), &bench->patience);
    uv_timer_start(&bench->patience, on_impatient, STEP_MS, STEP_MS);
    watch(bench);
    bench_next(bench);
    while (!bench->over)
        uv_run(uv_default_loop(), UV_RUN_ONCE);
    return (int)bench->error.code;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    const char *pki = NULL;
    const char *leader = NULL;
    uint64_t count = 30;
    const struct option table[] = {
        {"pki", OPTION_STRING, &pki, "DIR", "admin's certificate"},
        {"leader", OPTION_STRING, &leader, "HOST:PORT", "the master to ask"},
        {"image", OPTION_STRING, &bench.image, "IMAGE", "with /bin/sleep"},
        {"count", OPTION_NUMBER, &count, "N", "pods that count"},
        {.name = NULL},
    };
    struct operands operands;
    bool help = false;

    if (options_parse(table, argc, argv, &operands, &help, &bench.error) != 0 ||
        help || !pki || !leader || !bench.image) {
        options_print(table, stdout);
        return 2;
    }
    bench.left = count + 1;
    if (run(&bench, pki, leader) != 0) {
        fprintf(stderr, "bench_start: %s\n", bench.error.message);
        return 1;
    }
    samples_print(&bench.starts, "kontor schedule to running, local image");
    samples_print(&bench.stops, "kontor stop to stopped");
    return 0;
}
