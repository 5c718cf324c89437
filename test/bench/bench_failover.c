/* bench_failover.c - how long the cluster acknowledges nothing when its
 * leader is killed.
 *
 *   bench_failover --pki DIR --master m1=HOST:PORT=PID --master ...
 *
 * Finds the leader, sends its process SIGKILL and then asks the others to
 * Schedule, one after the other without a pause, until one acknowledges.
 * Prints the killed master's name and the milliseconds in between; whoever
 * runs this starts that master again. */
#include "base/clock.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/random.h"
#include "kontor/v1/cluster.pb-c.h"
#include "rpc/channel.h"

#include <signal.h>
#include <string.h>

enum { MASTERS_MAX = 9 };

struct target {
    char name[RPC_NAME_MAX];
    char address[128];
    pid_t pid;
    struct channel *channel;
};

struct failover {
    struct target targets[MASTERS_MAX];
    size_t count;
    size_t leader; /* count: not known */
    size_t asked;
    bool call_over;
    bool acknowledged;
};

static bool parse_target(struct target *target, const char *text)
{
    int pid = 0;

    if (sscanf(text, "%63[^=]=%127[^=]=%d", target->name, target->address,
               &pid) != 3)
        return false;
    target->pid = pid;
    return true;
}

static void on_ended(struct call *call, const struct error *why)
{
    struct failover *failover = call_data(call);

    (void)why;
    failover->call_over = true;
}

static void masters_on_message(struct call *call,
                               const ProtobufCMessage *message)
{
    struct failover *failover = call_data(call);
    const Kontor__V1__MastersResponse *response =
        (const Kontor__V1__MastersResponse *)message;

    for (size_t i = 0; i < response->n_masters; i++)
        for (size_t j = 0; j < failover->count; j++)
            if (strcmp(response->masters[i]->role, "leader") == 0 &&
                strcmp(response->masters[i]->name, failover->targets[j].name) ==
                    0)
                failover->leader = j;
}

static void schedule_on_message(struct call *call,
                                const ProtobufCMessage *message)
{
    struct failover *failover = call_data(call);

    (void)message;
    failover->acknowledged = true;
}

static const struct call_events masters_events = {.message = masters_on_message,
                                                  .ended = on_ended};
static const struct call_events schedule_events = {
    .message = schedule_on_message, .ended = on_ended};

static void wait_for_end(struct failover *failover)
{
    while (!failover->call_over)
        uv_run(uv_default_loop(), UV_RUN_ONCE);
}

static void ask_masters(struct failover *failover, size_t who)
{
    const struct call_request request = {
        .path = "/kontor.v1.Cluster/Masters",
        .response = &kontor__v1__masters_response__descriptor,
        .timeout_ms = 2000,
        .events = &masters_events,
        .data = failover,
    };
    Kontor__V1__MastersRequest message = KONTOR__V1__MASTERS_REQUEST__INIT;

    failover->call_over = false;
    channel_call_unary(failover->targets[who].channel, &request, &message.base);
    wait_for_end(failover);
}

static void schedule(struct failover *failover, size_t who,
                     Kontor__V1__RequestId *id)
{
    const struct call_request request = {
        .path = "/kontor.v1.Cluster/Schedule",
        .response = &kontor__v1__schedule_response__descriptor,
        .timeout_ms = 2000,
        .events = &schedule_events,
        .data = failover,
    };
    Kontor__V1__Resources resources = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__ContainerSpec container = KONTOR__V1__CONTAINER_SPEC__INIT;
    Kontor__V1__ContainerSpec *containers[] = {&container};
    Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__ScheduleRequest message = KONTOR__V1__SCHEDULE_REQUEST__INIT;

    resources.cpu_milli = 1;
    resources.memory_bytes = 1 << 20;
    container.image = (char[]){"registry.local:5000/web:1"};
    spec.resources = &resources;
    spec.containers = containers;
    spec.n_containers = 1;
    message.request_id = id;
    message.spec = &spec;
    failover->call_over = false;
    channel_call_unary(failover->targets[who].channel, &request, &message.base);
    wait_for_end(failover);
}

static void connect_all(struct failover *failover, struct tls_context *tls)
{
    for (size_t i = 0; i < failover->count; i++) {
        const struct channel_config config = {
            .address = failover->targets[i].address,
            .context = tls,
            .role = RPC_ROLE_MASTER,
        };

        failover->targets[i].channel = channel_open(uv_default_loop(), &config);
    }
    for (size_t i = 0; i < failover->count; i++)
        while (!channel_connected(failover->targets[i].channel))
            uv_run(uv_default_loop(), UV_RUN_ONCE);
}

static int run(struct failover *failover)
{
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    uint64_t killed_at_ns;
    size_t who;

    failover->leader = failover->count;
    for (who = 0; failover->leader == failover->count; who++)
        ask_masters(failover, who % failover->count);
    who = failover->leader;
    random_bytes(&id.high, sizeof id.high);
    random_bytes(&id.low, sizeof id.low);
    killed_at_ns = clock_monotonic_ns();
    if (kill(failover->targets[who].pid, SIGKILL) != 0) {
        perror("kill");
        return 1;
    }
    while (!failover->acknowledged) {
        who = (who + 1) % failover->count;
        if (who != failover->leader)
            schedule(failover, who, &id);
    }
    printf("%s %.1f\n", failover->targets[failover->leader].name,
           (double)(clock_monotonic_ns() - killed_at_ns) / 1e6);
    return 0;
}

int main(int argc, char **argv)
{
    static struct failover failover;
    static struct option_strings masters;
    const char *pki = NULL;
    const struct option table[] = {
        {"pki", OPTION_STRING, &pki, "DIR", "admin's certificate"},
        {"master", OPTION_STRINGS, &masters, "NAME=HOST:PORT=PID", "a master"},
        {.name = NULL},
    };
    struct tls_context *tls;
    struct operands operands;
    struct error why;
    bool help;

    if (options_parse(table, argc, argv, &operands, &help, &why) != 0 || help ||
        !pki || masters.count < 2 || masters.count > MASTERS_MAX) {
        options_print(table, stdout);
        return 2;
    }
    for (; failover.count < masters.count; failover.count++)
        if (!parse_target(&failover.targets[failover.count],
                          masters.values[failover.count]))
            return 2;
    if (tls_context_new(&tls, pki, "admin", &why) != 0) {
        fprintf(stderr, "bench_failover: %s\n", why.message);
        return 1;
    }
    connect_all(&failover, tls);
    return run(&failover);
}
