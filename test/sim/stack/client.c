#include "test/sim/stack/client.h"

#include "base/memory.h"
#include "kontor/v1/cluster.pb-c.h"
#include "test/sim/stack/check.h"
#include "test/sim/stack/check_state.h"
#include "test/sim/stack/kmaster.h"
#include "test/sim/stack/logs.h"
#include "test/sim/stack/wire.h"

#include <stdio.h>
#include <string.h>

enum {
    SESSIONS_MAX = 4,
    PODS_REMEMBERED = 64,
    TRY_MS = 2000,   /* one attempt, at most */
    AGAIN_MS = 100,  /* between two, at most */
    LIVING_MAX = 40, /* pods of one client */
    LIVING_FEW = 10, /* where nodes are to be empty now and then */
    WATCH_AGAIN_MS = 200,
    READ_EVERY_US = 30000, /* of one that does nothing else */
    REPLICAS_MAX = 6,      /* asked for at a time */
    SCALE_MAX = 12,
};

enum operation { SCHEDULE, SCALE, STOP, GET, LIST, LOGS };

/* A pod that a client was told of. */
struct known_pod {
    uint64_t id;
    char name[64];
};

/* What a pod asks for beside room. */
enum rule {
    NO_RULE,
    IN_ZONE,
    BY_ZONE,
    WITH_DB,
    KEEPS_OFF,
    TOLERATES,
    WITH_USERNS,
    RULES
};

/* One operation at a time, repeated until it is over. */
struct session {
    struct client *client;
    uv_timer_t timer;
    struct call *call;
    enum operation operation;
    bool only_reads;
    bool busy;
    bool answered;
    struct request_id id;
    unsigned tries;
    uint64_t seen; /* when it began */
    struct known_pod pod;
    bool pod_was_stopped; /* when it began */
    bool follow;
    uint64_t log_at; /* of the next byte */
    int32_t restart;
    uint32_t cpu_milli;
    int32_t priority;
    uint32_t replicas; /* of the client's own app when there are several */
    bool gang;
    bool reached; /* the newest format, when it began */
    enum rule rule;
    bool of_db; /* not of web */
};

struct client {
    struct host *host;
    struct channel *channels[MASTERS_MAX];
    unsigned asked_last;
    struct session sessions[SESSIONS_MAX];
    struct known_pod pods[PODS_REMEMBERED]; /* that live, as far as it knows */
    unsigned pod_count;
    uv_timer_t watch_timer;
    struct call *watch;
    uint64_t watched_index; /* of the newest event, */
    unsigned watched_count; /* of which so many came */
    uint64_t whole_index;   /* everything up to here has come */
    uint64_t open_handles;
    bool closed;
};

static struct client *clients[CLIENTS_MAX];

static void begin(struct session *session);
static void try(struct session *session);

/* ---- masters ---- */

static void ignore_closed(void *data)
{
    (void)data;
}

/* The one that was asked last, or any other that there may be. Kept open. */
static struct channel *any_channel(struct client *client)
{
    unsigned i = client->asked_last;

    while (!kmaster_is_member(&kmasters[i]) || world_chance(30))
        i = (unsigned)world_between(0, MASTERS_MAX - 1);
    client->asked_last = i;
    if (!client->channels[i])
        client->channels[i] = channel_open(
            &client->host->life->loop, &(struct channel_config){
                                           .address = kmasters[i].host->address,
                                           .role = RPC_ROLE_MASTER,
                                       });
    return client->channels[i];
}

/* ---- what it knows ---- */

/* The pod, and those that were made with it: numbers and ids go on. */
static void remember(struct client *client, const Kontor__V1__Pod *pod,
                     uint32_t replicas)
{
    const char *dash = strrchr(pod->name, '-');
    unsigned number = (unsigned)atoi(dash + 1);

    for (uint32_t i = 0; i < replicas && client->pod_count < PODS_REMEMBERED;
         i++) {
        struct known_pod *known = &client->pods[client->pod_count++];

        known->id = pod->id + i;
        snprintf(known->name, sizeof known->name, "%.*s-%u",
                 (int)(dash - pod->name), pod->name, number + i);
    }
}

static void forget(struct client *client, uint64_t pod_id)
{
    for (unsigned i = 0; i < client->pod_count; i++)
        if (client->pods[i].id == pod_id)
            client->pods[i] = client->pods[--client->pod_count];
}

/* ---- answers ---- */

static void on_scheduled(struct session *session,
                         const Kontor__V1__ScheduleResponse *response)
{
    if (!response->pod) {
        FAIL("a request was answered without its pod");
        return;
    }
    for (uint32_t i = 0; i < session->replicas; i++)
        check_scheduled(session->id, response->pod->id + i, response->index);
    remember(session->client, response->pod, session->replicas);
    tell(session->client->host, "was told: %s at %llu", response->pod->name,
         (unsigned long long)response->index);
}

static void on_pod(const struct session *session, const Kontor__V1__Pod *pod)
{
    tally.reads++;
    if (pod->id != session->pod.id)
        FAIL("%s is another pod", session->pod.name);
    if (session->pod_was_stopped && !pod->stop_requested &&
        pod->status->phase < KONTOR__V1__POD_PHASE__POD_SUCCEEDED)
        FAIL("stale read: %s was told to stop and does not know it",
             session->pod.name);
}

/* Of that pod, in order, and nothing left out. */
static void on_logs(struct session *session, const Kontor__V1__LogsChunk *chunk)
{
    if (!logs_match(session->pod.id, session->log_at, chunk->data.data,
                    chunk->data.len))
        FAIL("logs: %zu bytes of %s at %llu are not its own", chunk->data.len,
             session->pod.name, (unsigned long long)session->log_at);
    session->log_at += chunk->data.len;
}

static void on_message(struct call *call, const ProtobufCMessage *message)
{
    struct session *session = call_data(call);

    session->answered = true;
    switch (session->operation) {
    case SCHEDULE:
        on_scheduled(session, (const void *)message);
        return;
    case SCALE:
        check_scaled(
            session->id,
            ((const Kontor__V1__ScaleResponse *)(const void *)message)->index);
        return;
    case STOP:
        check_stopped(
            session->pod.id,
            ((const Kontor__V1__StopResponse *)(const void *)message)->index);
        forget(session->client, session->pod.id);
        return;
    case GET:
        on_pod(
            session,
            ((const Kontor__V1__GetPodResponse *)(const void *)message)->pod);
        return;
    case LIST:
        check_read(session->seen,
                   ((const Kontor__V1__ListPodsResponse *)(const void *)message)
                       ->index);
        return;
    case LOGS:
        on_logs(session, (const void *)message);
        return;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct session *session = timer->data;

    if (session->busy)
        try(session);
    else
        begin(session);
}

static void rest(struct session *session)
{
    uint64_t every_us =
        session->only_reads ? READ_EVERY_US : world.traits.client_every_us;

    session->busy = false;
    if (!world.quiet)
        uv_timer_start(&session->timer, on_timer,
                       world_between(1, 2 * every_us / 1000), 0);
}

/* What is no answer to the question: ask again. */
static bool may_try_again(enum error_code code)
{
    return code == ERROR_UNAVAILABLE || code == ERROR_DEADLINE_EXCEEDED ||
           code == ERROR_ABORTED || code == ERROR_CANCELLED ||
           code == ERROR_RESOURCE_EXHAUSTED || code == ERROR_UNKNOWN;
}

/* What may be refused: a gang that is larger than the cluster, as many of an
 * app that is not there, or what not all masters' programs know. */
static bool may_be_refused(const struct session *session,
                           const struct error *why)
{
    bool early = strstr(why->message, "needs format 1, the cluster is at 0");

    tally.early += early;
    return (session->gang && why->code == ERROR_FAILED_PRECONDITION) ||
           (session->operation == SCALE && why->code == ERROR_NOT_FOUND) ||
           (early && !session->reached &&
            (session->operation == SCALE || session->replicas > 1));
}

/* It may end early with whatever says that it did. */
static void end_logs(const struct session *session, const struct error *why)
{
    uint64_t length = logs_length(session->pod.id);

    if (why->code == 0 && (session->follow || session->log_at != length))
        FAIL("logs: %llu of %llu bytes of %s, and no error",
             (unsigned long long)session->log_at, (unsigned long long)length,
             session->pod.name);
    if (!may_try_again(why->code) && why->code != 0 &&
        why->code != ERROR_FAILED_PRECONDITION && why->code != ERROR_NOT_FOUND)
        FAIL("logs of %s: %s", session->pod.name, why->message);
    tally.logs += session->log_at == length;
}

static void on_ended(struct call *call, const struct error *why)
{
    struct session *session = call_data(call);

    session->call = NULL;
    if (session->client->closed)
        return;
    if (session->operation == LOGS) {
        end_logs(session, why);
        rest(session);
        return;
    }
    if (!session->answered && may_try_again(why->code)) {
        tally.retries++;
        uv_timer_start(&session->timer, on_timer, world_between(1, AGAIN_MS),
                       0);
        return;
    }
    if (!session->answered && !may_be_refused(session, why))
        FAIL("operation %d on %s: %s", (int)session->operation,
             session->pod.name, why->message);
    rest(session);
}

/* ---- questions ---- */

static void ask(struct session *session, const char *path,
                const ProtobufCMessageDescriptor *response,
                const ProtobufCMessage *request)
{
    static const struct call_events events = {
        .message = on_message,
        .ended = on_ended,
    };

    session->call =
        channel_call_unary(any_channel(session->client),
                           &(struct call_request){
                               .path = path,
                               .response = response,
                               .timeout_ms = world_between(50, TRY_MS),
                               .events = &events,
                               .data = session,
                           },
                           request);
}

/* Of which it makes several at a time, and scales. */
static char *own_app(struct client *client)
{
    return client->host->identity.name;
}

/* Its words, for as long as the request is being made. */
struct ruled {
    Kontor__V1__Constraint constraint;
    Kontor__V1__Constraint *constraints[1];
    char *values[1];
    Kontor__V1__Label toleration;
    Kontor__V1__Label *tolerations[1];
    char *apps[1];
};

static void add_rule(const struct session *session, struct ruled *ruled,
                     Kontor__V1__PodSpec *spec)
{
    static char zone[] = "zone", b[] = "b", db[] = "db", gpu[] = "gpu";

    kontor__v1__constraint__init(&ruled->constraint);
    kontor__v1__label__init(&ruled->toleration);
    ruled->constraint.key = zone;
    ruled->constraint.values = ruled->values;
    ruled->constraint.n_values = 1;
    ruled->toleration.key = gpu;
    ruled->constraints[0] = &ruled->constraint;
    ruled->values[0] = b;
    ruled->tolerations[0] = &ruled->toleration;
    ruled->apps[0] = db;
    spec->constraints = ruled->constraints;
    spec->n_constraints = session->rule == IN_ZONE;
    spec->tolerations = ruled->tolerations;
    spec->n_tolerations = session->rule == TOLERATES;
    spec->with = ruled->apps;
    spec->n_with = session->rule == WITH_DB;
    spec->anti = ruled->apps;
    spec->n_anti = session->rule == KEEPS_OFF;
    spec->userns = session->rule == WITH_USERNS;
    if (session->rule == BY_ZONE)
        spec->spread = zone;
}

static void send_schedule(struct session *session)
{
    Kontor__V1__ScheduleRequest request = KONTOR__V1__SCHEDULE_REQUEST__INIT;
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__Resources resources = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__ContainerSpec container = KONTOR__V1__CONTAINER_SPEC__INIT;
    Kontor__V1__ContainerSpec *pointer = &container;
    char image[96];
    struct ruled ruled;

    snprintf(image, sizeof image, "registry.local:5000/%s:1",
             session->replicas > 1 ? own_app(session->client)
             : session->of_db      ? "db"
                                   : "web");
    id.high = session->id.high;
    id.low = session->id.low;
    resources.cpu_milli = session->cpu_milli;
    resources.memory_bytes = UINT64_C(64) << 20;
    container.image = image;
    spec.resources = &resources;
    spec.containers = &pointer;
    spec.n_containers = 1;
    spec.restart = (Kontor__V1__RestartPolicy)session->restart;
    spec.priority = session->priority;
    add_rule(session, &ruled, &spec);
    request.request_id = &id;
    request.spec = &spec;
    request.replicas = session->replicas;
    request.gang = session->gang;
    ask(session, "/kontor.v1.Cluster/Schedule",
        &kontor__v1__schedule_response__descriptor, &request.base);
}

static void send_scale(struct session *session)
{
    Kontor__V1__ScaleRequest request = KONTOR__V1__SCALE_REQUEST__INIT;
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;

    id.high = session->id.high;
    id.low = session->id.low;
    request.request_id = &id;
    request.app = own_app(session->client);
    request.replicas = session->replicas - 1;
    ask(session, "/kontor.v1.Cluster/Scale",
        &kontor__v1__scale_response__descriptor, &request.base);
}

static void send_stop(struct session *session)
{
    Kontor__V1__StopRequest request = KONTOR__V1__STOP_REQUEST__INIT;
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;

    id.high = session->id.high;
    id.low = session->id.low;
    request.request_id = &id;
    request.pod = session->pod.name;
    ask(session, "/kontor.v1.Cluster/Stop",
        &kontor__v1__stop_response__descriptor, &request.base);
}

static void send_get(struct session *session)
{
    Kontor__V1__GetPodRequest request = KONTOR__V1__GET_POD_REQUEST__INIT;

    request.pod = session->pod.name;
    ask(session, "/kontor.v1.Cluster/GetPod",
        &kontor__v1__get_pod_response__descriptor, &request.base);
}

static void send_list(struct session *session)
{
    Kontor__V1__ListPodsRequest request = KONTOR__V1__LIST_PODS_REQUEST__INIT;

    request.page_size = 10;
    ask(session, "/kontor.v1.Cluster/ListPods",
        &kontor__v1__list_pods_response__descriptor, &request.base);
}

static void send_logs(struct session *session)
{
    Kontor__V1__LogsRequest request = KONTOR__V1__LOGS_REQUEST__INIT;
    Kontor__V1__LogPosition after = KONTOR__V1__LOG_POSITION__INIT;

    request.pod = session->pod.name;
    request.follow = session->follow;
    session->log_at = 0;
    if (world_chance(30)) { /* as after a chunk that ended there */
        after.file = session->pod.id;
        after.offset = world_between(0, logs_length(session->pod.id));
        request.after = &after;
        session->log_at = after.offset;
    }
    ask(session, "/kontor.v1.Cluster/Logs", &kontor__v1__logs_chunk__descriptor,
        &request.base);
}

static void try(struct session *session)
{
    session->tries++;
    switch (session->operation) {
    case SCHEDULE:
        send_schedule(session);
        return;
    case SCALE:
        send_scale(session);
        return;
    case STOP:
        send_stop(session);
        return;
    case GET:
        send_get(session);
        return;
    case LIST:
        send_list(session);
        return;
    case LOGS:
        send_logs(session);
        return;
    }
}

static enum operation choose(const struct client *client)
{
    uint64_t choice = world_between(0, 99);

    if (client->pod_count == 0)
        return choice < 80 ? SCHEDULE : LIST;
    if (client->pod_count >=
        (world.traits.rebalances ? LIVING_FEW : LIVING_MAX))
        return STOP;
    return choice < 30   ? SCHEDULE
           : choice < 35 ? SCALE
           : choice < 55 ? STOP
           : choice < 70 ? GET
           : choice < 78 ? LOGS
                         : LIST;
}

static void begin(struct session *session)
{
    struct client *client = session->client;
    bool plain = world.traits.rebalances; /* such as may go anywhere */

    if (world.quiet)
        return;
    session->operation = session->only_reads ? LIST : choose(client);
    session->busy = true;
    session->answered = false;
    session->tries = 0;
    session->seen = check_seen_index();
    session->reached = check_format() >= CLUSTER_FORMAT_1;
    session->id = (struct request_id){random_next(&world.random), 1};
    session->follow = world_chance(20);
    session->restart = plain ? 0 : (int32_t)world_between(0, 2);
    session->of_db = world_chance(20);
    session->rule = !plain && world_chance(30)
                        ? (enum rule)world_between(0, RULES - 1)
                        : NO_RULE;
    session->cpu_milli = (uint32_t)world_between(1, 8) * 100;
    session->priority = world_chance(30) ? (int32_t)world_between(0, 3) - 1 : 0;
    session->replicas = 1;
    if (session->operation == SCALE || world_chance(15))
        session->replicas = (uint32_t)world_between(
            1, session->operation == SCALE ? SCALE_MAX : REPLICAS_MAX);
    session->gang = session->operation == SCHEDULE && session->replicas > 1 &&
                    world_chance(50);
    if (client->pod_count > 0)
        session->pod = client->pods[world_between(0, client->pod_count - 1)];
    session->pod_was_stopped =
        client->pod_count > 0 && check_is_stopped(session->pod.id);
    try(session);
}

/* ---- events ---- */

static void on_watch_timer(uv_timer_t *timer);

/* Events of a greater index come: those of the last one have all come, and
 * there were none in between. */
static void check_gap(struct client *client, uint64_t index)
{
    uint64_t last = client->watched_index;

    if (client->watched_count < check_events_at(last))
        FAIL("events: %u of %u at %llu", client->watched_count,
             check_events_at(last), (unsigned long long)last);
    for (uint64_t i = last + 1; i < index; i++)
        if (check_events_at(i) > 0)
            FAIL("events: those at %llu are left out", (unsigned long long)i);
}

static void on_event(struct call *call, const ProtobufCMessage *message)
{
    struct client *client = call_data(call);
    const Kontor__V1__Event *event = (const void *)message;

    if (event->index == 0)
        return;
    if (event->index < client->watched_index)
        FAIL("events: index %llu after %llu", (unsigned long long)event->index,
             (unsigned long long)client->watched_index);
    if (event->index > client->watched_index) {
        check_gap(client, event->index);
        client->whole_index = event->index - 1;
        client->watched_count = 0;
    }
    client->watched_index = event->index;
    client->watched_count++;
    tally.events++;
}

static void on_watch_ended(struct call *call, const struct error *why)
{
    struct client *client = call_data(call);

    (void)why;
    client->watch = NULL;
    if (!client->closed)
        uv_timer_start(&client->watch_timer, on_watch_timer, WATCH_AGAIN_MS, 0);
}

static void on_watch_timer(uv_timer_t *timer)
{
    static const struct call_events events = {
        .message = on_event,
        .ended = on_watch_ended,
    };
    struct client *client = timer->data;
    Kontor__V1__WatchRequest request = KONTOR__V1__WATCH_REQUEST__INIT;

    client->watched_index = client->whole_index;
    client->watched_count = check_events_at(client->whole_index);
    request.after_index = client->whole_index;
    client->watch =
        channel_call_unary(any_channel(client),
                           &(struct call_request){
                               .path = "/kontor.v1.Cluster/Watch",
                               .response = &kontor__v1__event__descriptor,
                               .events = &events,
                               .data = client,
                           },
                           &request.base);
}

/* ---- lives: one, as long as the run ---- */

static void start(struct client *client)
{
    struct process *process = process_new(client->host);

    process_enter(process);
    uv_timer_init(&process->loop, &client->watch_timer);
    client->watch_timer.data = client;
    uv_timer_start(&client->watch_timer, on_watch_timer, 0, 0);
    for (unsigned i = 0; i < world.traits.client_sessions; i++) {
        struct session *session = &client->sessions[i];

        session->client = client;
        session->only_reads = i == 1;
        uv_timer_init(&process->loop, &session->timer);
        session->timer.data = session;
        rest(session);
    }
    process_leave(process);
}

void clients_init(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        clients[i] = memory_new(sizeof *clients[i]);
        clients[i]->host = &world.hosts[MASTERS_MAX + NODES_HOSTS_MAX + i];
        clients[i]->host->data = clients[i];
    }
}

void clients_start(void)
{
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (clients[i])
            start(clients[i]);
}

void clients_quiet(void)
{
    world.quiet = true;
}

unsigned clients_busy(void)
{
    unsigned busy = 0;

    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        for (unsigned j = 0; clients[i] && j < SESSIONS_MAX; j++)
            busy += clients[i]->sessions[j].busy;
    return busy;
}

static void on_timer_closed(uv_handle_t *handle)
{
    (void)handle;
}

static void end(struct client *client)
{
    struct process *process = client->host->life;
    bool idle = false;

    if (!process)
        return;
    wires_cut(process, true);
    process_kill(process);
    process_now = process;
    client->closed = true;
    uv_close((uv_handle_t *)&client->watch_timer, on_timer_closed);
    for (unsigned i = 0; i < world.traits.client_sessions; i++)
        uv_close((uv_handle_t *)&client->sessions[i].timer, on_timer_closed);
    for (unsigned i = 0; i < MASTERS_MAX; i++)
        if (client->channels[i])
            channel_close(client->channels[i], ignore_closed, NULL);
    process_drain(process, &idle);
    process_now = NULL;
}

void clients_fini(void)
{
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        if (!clients[i])
            continue;
        end(clients[i]);
        free(clients[i]);
        clients[i] = NULL;
    }
}
