/* bench_failover.c - how long the cluster acknowledges nothing when its
 * leader is killed.
 *
 *   bench_failover --pki DIR --master m1=HOST:PORT=PID --master ...
 *
 * Finds the leader, sends its process SIGKILL and then asks the others to
 * Schedule, one after the other without a pause, until one acknowledges.
 * Prints the killed master's name and the milliseconds in between; with
 * --board FILE (hollow.h) also the milliseconds until that pod was ordered of
 * a hollow node, and until all of them were under the new leader's orders.
 * Whoever runs this starts that master again. */
#include "base/clock.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/random.h"
#include "kontor/v1/cluster.pb-c.h"
#include "rpc/channel.h"
#include "test/bench/hollow.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

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

    failover->call_over = true;
    if (why->code == 0 || why->code == ERROR_UNAVAILABLE ||
        why->code == ERROR_ABORTED || why->code == ERROR_DEADLINE_EXCEEDED)
        return;
    fprintf(stderr, "bench_failover: %s\n", why->message);
    exit(EXIT_FAILURE);
}

/* Its position; the count when nobody is called so. */
static size_t find_target(const struct failover *failover, const char *name)
{
    size_t at = 0;

    while (at < failover->count &&
           strcmp(failover->targets[at].name, name) != 0)
        at++;
    return at;
}

static void masters_on_message(struct call *call,
                               const ProtobufCMessage *message)
{
    struct failover *failover = call_data(call);
    const Kontor__V1__MastersResponse *response =
        (const Kontor__V1__MastersResponse *)message;

    for (size_t i = 0; i < response->n_masters; i++)
        if (strcmp(response->masters[i]->role, "leader") == 0)
            failover->leader =
                find_target(failover, response->masters[i]->name);
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

/* Call Cluster/... of that master and wait for the end of it. */
static void call_master(struct failover *failover, size_t who,
                        struct call_request call,
                        const ProtobufCMessage *message)
{
    call.timeout_ms = 2000;
    call.data = failover;
    failover->call_over = false;
    channel_call_unary(failover->targets[who].channel, &call, message);
    while (!failover->call_over)
        uv_run(uv_default_loop(), UV_RUN_ONCE);
}

static void ask_masters(struct failover *failover, size_t who)
{
    Kontor__V1__MastersRequest message = KONTOR__V1__MASTERS_REQUEST__INIT;

    call_master(failover, who,
                (struct call_request){
                    .path = "/kontor.v1.Cluster/Masters",
                    .response = &kontor__v1__masters_response__descriptor,
                    .events = &masters_events,
                },
                &message.base);
}

static void schedule(struct failover *failover, size_t who,
                     Kontor__V1__RequestId *id)
{
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
    call_master(failover, who,
                (struct call_request){
                    .path = "/kontor.v1.Cluster/Schedule",
                    .response = &kontor__v1__schedule_response__descriptor,
                    .events = &schedule_events,
                },
                &message.base);
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

static double ms_between(uint64_t from_ns, uint64_t to_ns)
{
    return (double)(to_ns - from_ns) / 1e6;
}

/* Wait for the new pod's order, and for all nodes to be under those of a
 * greater term. */
static void print_orders(const struct hollow_board *board, uint64_t term,
                         uint64_t killed_at_ns)
{
    enum { LOOK_EVERY_US = 500 };

    while (board->term <= term || board->first_ns == 0 ||
           board->sessions < board->nodes)
        usleep(LOOK_EVERY_US);
    printf(" %.1f %.1f", ms_between(killed_at_ns, board->first_ns),
           ms_between(killed_at_ns, board->all_at_ns));
}

static int run(struct failover *failover, struct hollow_board *board)
{
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    uint64_t term = board ? board->term : 0;
    uint64_t killed_at_ns;
    size_t who;

    failover->leader = failover->count;
    for (who = 0; failover->leader == failover->count; who++)
        ask_masters(failover, who % failover->count);
    who = failover->leader;
    random_bytes(&id.high, sizeof id.high);
    random_bytes(&id.low, sizeof id.low);
    if (board)
        board->first_ns = 0;
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
    printf("%s %.1f", failover->targets[failover->leader].name,
           ms_between(killed_at_ns, clock_monotonic_ns()));
    if (board)
        print_orders(board, term, killed_at_ns);
    puts("");
    return 0;
}

int main(int argc, char **argv)
{
    static struct failover failover;
    static struct option_strings masters;
    const char *pki = NULL;
    const char *path = NULL;
    struct hollow_board *board = NULL;
    const struct option table[] = {
        {"pki", OPTION_STRING, &pki, "DIR", "admin's certificate"},
        {"board", OPTION_STRING, &path, "FILE", "of the hollow nodes"},
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
    if (tls_context_new(&tls, pki, "admin", &why) != 0 ||
        (path && hollow_board_open(&board, path, false, &why) != 0)) {
        fprintf(stderr, "bench_failover: %s\n", why.message);
        return 1;
    }
    connect_all(&failover, tls);
    return run(&failover, board);
}
