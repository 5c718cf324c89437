#include "test/sim/stack/knode.h"

#include "base/feature.h"
#include "base/memory.h"
#include "kontor/v1/cluster.pb-c.h"
#include "kontor/v1/node.pb-c.h"
#include "test/sim/stack/check_state.h"
#include "test/sim/stack/kmaster.h"
#include "test/sim/stack/logs.h"
#include "test/sim/stack/wire.h"

#include <stdio.h>
#include <string.h>

enum {
    PODS_MAX = 256,
    WATCHES_MAX = 16,
    HEARTBEAT_MS = 1000,
    REGISTER_AGAIN_MS = 10000,
    REGISTER_TIMEOUT_MS = 3000,
    REGISTER_RETRY_MS = 300,
    PHASE_MS = 400,  /* that a pod spends in one, at most */
    GRACE_MS = 3000, /* that some take to stop, at most */
    LIFE_MS = 8000,  /* of one that ends by itself, at most */
    LATE_MS = 1500,  /* an answer, at most */
};

struct kpod {
    uint64_t id;
    uint32_t generation;
    int32_t phase;
    int32_t restart; /* Kontor__V1__RestartPolicy */
    uint32_t restarts;
    uint32_t cpu_milli;
    bool deleted;
    bool over;       /* it had ended before that */
    uint64_t due_ms; /* its next phase, by the node's clock; 0: none */
    char reason[32];
};

struct knode {
    struct host *host;
    /* On its disk. */
    uint64_t term;
    struct kpod pods[PODS_MAX];
    unsigned pod_count;
    /* Of one life. */
    uint64_t session; /* of the leader, in that term */
    struct server *server;
    uv_timer_t beat;
    uv_timer_t work;
    uv_timer_t announce;
    struct call *watches[WATCHES_MAX];
    uint64_t sequences[WATCHES_MAX];
    struct channel *channel; /* to a master, while registering */
    struct call *call;
    bool accepted;
    uint64_t watched_ms; /* when somebody last did */
    bool ending;
    bool closed;
};

static struct knode *knodes[NODES_HOSTS_MAX];

struct knode *knode_at(unsigned i)
{
    return knodes[i];
}

/* Every other one is of a version that knows user namespaces. */
static bool knows_userns(const struct knode *knode)
{
    const char *name = knode->host->identity.name;

    return name[strlen(name) - 1] % 2 == 0;
}

bool knode_is_up(const struct knode *knode)
{
    return knode->host->life;
}

bool knode_pod(const struct knode *knode, unsigned i, struct knode_pod *out)
{
    if (i >= knode->pod_count)
        return false;
    *out = (struct knode_pod){knode->pods[i].id, knode->pods[i].generation,
                              knode->pods[i].phase, knode->pods[i].cpu_milli,
                              knode->pods[i].over ||
                                  pod_phase_ended(knode->pods[i].phase)};
    return true;
}

static uint64_t now_ms(const struct knode *knode)
{
    return host_local_us(knode->host) / 1000;
}

/* ---- reports ---- */

static void status_of(const struct kpod *pod, Kontor__V1__PodStatus *status)
{
    kontor__v1__pod_status__init(status);
    status->pod_id = pod->id;
    status->generation = pod->generation;
    status->phase = (Kontor__V1__PodPhase)pod->phase;
    status->restarts = pod->restarts;
    status->reason = without_const(pod->reason);
}

/* `pod` NULL: a heartbeat. */
static void report(struct knode *knode, const struct kpod *pod)
{
    Kontor__V1__NodeReport report = KONTOR__V1__NODE_REPORT__INIT;
    Kontor__V1__PodStatus status;
    Kontor__V1__PodStatus *pointer = &status;
    struct error why;

    if (pod) {
        status_of(pod, &status);
        report.pods = &pointer;
        report.n_pods = 1;
    }
    for (unsigned i = 0; i < WATCHES_MAX; i++) {
        if (!knode->watches[i])
            continue;
        report.sequence = ++knode->sequences[i];
        call_send(knode->watches[i], &report.base, &why);
    }
}

static void on_beat(uv_timer_t *timer)
{
    report(timer->data, NULL);
}

/* ---- pods ---- */

static void arm_work(struct knode *knode);

static struct kpod *find(struct knode *knode, uint64_t id)
{
    for (unsigned i = 0; i < knode->pod_count; i++)
        if (knode->pods[i].id == id)
            return &knode->pods[i];
    return NULL;
}

static void enter_phase(struct knode *knode, struct kpod *pod, int32_t phase,
                        uint64_t stay_ms)
{
    pod->phase = phase;
    pod->due_ms = stay_ms ? now_ms(knode) + world_between(1, stay_ms) : 0;
    if (phase == KONTOR__V1__POD_PHASE__POD_RUNNING)
        check_started(knode->host, pod->id, pod->generation,
                      pod->restart ==
                          KONTOR__V1__RESTART_POLICY__RESTART_NEVER);
    report(knode, pod);
}

/* Only those that may. */
static uint64_t life_ms(const struct kpod *pod)
{
    return pod->restart != KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS &&
                   world_chance(40)
               ? LIFE_MS
               : 0;
}

static void forget(struct knode *knode, struct kpod *pod)
{
    *pod = knode->pods[--knode->pod_count];
}

/* False: it is gone. */
static bool advance(struct knode *knode, struct kpod *pod)
{
    switch ((Kontor__V1__PodPhase)pod->phase) {
    case KONTOR__V1__POD_PHASE__POD_PLACED:
        enter_phase(knode, pod, KONTOR__V1__POD_PHASE__POD_PULLING, PHASE_MS);
        return true;
    case KONTOR__V1__POD_PHASE__POD_PULLING:
        enter_phase(knode, pod, KONTOR__V1__POD_PHASE__POD_STARTING, PHASE_MS);
        return true;
    case KONTOR__V1__POD_PHASE__POD_BACKOFF:
        pod->restarts++;
        enter_phase(knode, pod, KONTOR__V1__POD_PHASE__POD_STARTING, PHASE_MS);
        return true;
    case KONTOR__V1__POD_PHASE__POD_STARTING:
        enter_phase(knode, pod, KONTOR__V1__POD_PHASE__POD_RUNNING,
                    life_ms(pod));
        return true;
    case KONTOR__V1__POD_PHASE__POD_RUNNING:
        enter_phase(knode, pod,
                    world_chance(70) ? KONTOR__V1__POD_PHASE__POD_SUCCEEDED
                                     : KONTOR__V1__POD_PHASE__POD_FAILED,
                    0);
        return true;
    case KONTOR__V1__POD_PHASE__POD_STOPPING:
        enter_phase(knode, pod, KONTOR__V1__POD_PHASE__POD_STOPPED, 0);
        forget(knode, pod);
        return false;
    case KONTOR__V1__POD_PHASE__POD_PENDING:
    case KONTOR__V1__POD_PHASE__POD_SUCCEEDED:
    case KONTOR__V1__POD_PHASE__POD_FAILED:
    case KONTOR__V1__POD_PHASE__POD_STOPPED:
    case _KONTOR__V1__POD_PHASE_IS_INT_SIZE:
        pod->due_ms = 0;
        return true;
    }
    return true;
}

static void on_work(uv_timer_t *timer)
{
    struct knode *knode = timer->data;
    uint64_t time_ms = now_ms(knode);

    for (unsigned i = 0; i < knode->pod_count;) {
        struct kpod *pod = &knode->pods[i];

        if (pod->due_ms == 0 || pod->due_ms > time_ms || advance(knode, pod))
            i++;
    }
    arm_work(knode);
}

static void arm_work(struct knode *knode)
{
    uint64_t due_ms = UINT64_MAX;
    uint64_t time_ms = now_ms(knode);

    for (unsigned i = 0; i < knode->pod_count; i++)
        if (knode->pods[i].due_ms && knode->pods[i].due_ms < due_ms)
            due_ms = knode->pods[i].due_ms;
    if (due_ms == UINT64_MAX)
        uv_timer_stop(&knode->work);
    else
        uv_timer_start(&knode->work, on_work,
                       due_ms > time_ms ? due_ms - time_ms : 0, 0);
}

/* The newer generation takes the older one's place. */
static void take_create(struct knode *knode, const Kontor__V1__PodOrder *order)
{
    struct kpod *pod = find(knode, order->pod_id);

    if (pod && pod->generation >= order->generation)
        return;
    if (!pod) {
        if (knode->pod_count == PODS_MAX) {
            FAIL("%s has %d pods", knode->host->identity.name, PODS_MAX);
            return;
        }
        pod = &knode->pods[knode->pod_count++];
    }
    if (order->spec->userns && !knows_userns(knode))
        FAIL("%s is told of pod %u, which it cannot run as asked",
             knode->host->identity.name, (unsigned)order->pod_id);
    *pod = (struct kpod){
        .id = order->pod_id,
        .generation = order->generation,
        .restart = (int32_t)order->spec->restart,
        .cpu_milli = order->spec->resources->cpu_milli,
    };
    check_accepted(knode->host);
    enter_phase(knode, pod, KONTOR__V1__POD_PHASE__POD_PLACED, PHASE_MS);
}

static void take_delete(struct knode *knode, const Kontor__V1__PodOrder *order)
{
    struct kpod *pod = find(knode, order->pod_id);

    if (!pod || order->generation < pod->generation || pod->deleted)
        return;
    pod->deleted = true;
    pod->over = pod_phase_ended(pod->phase); /* only its folder goes */
    enter_phase(knode, pod, KONTOR__V1__POD_PHASE__POD_STOPPING,
                world_chance(30) ? GRACE_MS : PHASE_MS);
}

/* ---- answers, now and then late ---- */

struct late {
    uv_timer_t timer;
    struct call *call;              /* NULL: it ended before */
    const ProtobufCMessage *answer; /* static */
};

static void on_late_closed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)(void *)handle, struct late, timer));
}

static void on_late_ended(struct call *call, const struct error *why)
{
    struct late *late = call_data(call);

    (void)why;
    uv_timer_stop(&late->timer);
    uv_close((uv_handle_t *)&late->timer, on_late_closed);
}

static void on_late(uv_timer_t *timer)
{
    struct late *late = container_of(timer, struct late, timer);

    call_reply(late->call, late->answer);
}

static void answer(struct knode *knode, struct call *call,
                   const ProtobufCMessage *message)
{
    static const struct call_events events = {.ended = on_late_ended};
    struct late *late;

    if (world.healed || !world_chance(10)) {
        call_reply(call, message);
        return;
    }
    late = memory_new(sizeof *late);
    late->call = call;
    late->answer = message;
    uv_timer_init(&knode->host->life->loop, &late->timer);
    uv_timer_start(&late->timer, on_late, world_between(1, LATE_MS), 0);
    call_listen(call, &events, late);
}

/* ---- the service ---- */

static struct knode *in_term(struct call *call, uint64_t term)
{
    struct knode *knode = call_service_data(call);

    if (term < knode->term) {
        call_fail(call, ERROR_FAILED_PRECONDITION, "the term is old");
        return NULL;
    }
    if (term > knode->term)
        knode->session = 0;
    knode->term = term;
    return knode;
}

static void create_pods(struct call *call, const ProtobufCMessage *message)
{
    static const Kontor__V1__CreatePodsResponse done =
        KONTOR__V1__CREATE_PODS_RESPONSE__INIT;
    const Kontor__V1__CreatePodsRequest *request = (const void *)message;
    struct knode *knode = in_term(call, request->term);

    if (!knode)
        return;
    if (request->session != 0 && request->session < knode->session) {
        call_fail(call, ERROR_FAILED_PRECONDITION, "the session is over");
        return;
    }
    if (!world.healed && world_chance(5)) {
        call_fail(call, ERROR_INTERNAL, "the node's disk failed");
        return;
    }
    for (size_t i = 0; i < request->n_pods; i++)
        take_create(knode, request->pods[i]);
    arm_work(knode);
    answer(knode, call, &done.base);
}

static void delete_pods(struct call *call, const ProtobufCMessage *message)
{
    static const Kontor__V1__DeletePodsResponse done =
        KONTOR__V1__DELETE_PODS_RESPONSE__INIT;
    const Kontor__V1__DeletePodsRequest *request = (const void *)message;
    struct knode *knode = in_term(call, request->term);

    for (size_t i = 0; knode && i < request->n_pods; i++)
        take_delete(knode, request->pods[i]);
    if (!knode)
        return;
    arm_work(knode);
    answer(knode, call, &done.base);
}

static void list_pods(struct call *call, const ProtobufCMessage *message)
{
    const Kontor__V1__NodeListPodsRequest *request = (const void *)message;
    Kontor__V1__NodeListPodsResponse response =
        KONTOR__V1__NODE_LIST_PODS_RESPONSE__INIT;
    struct knode *knode = in_term(call, request->term);
    Kontor__V1__PodStatus statuses[PODS_MAX];
    Kontor__V1__PodStatus *pointers[PODS_MAX];

    if (!knode)
        return;
    if (request->session > knode->session)
        knode->session = request->session;
    for (unsigned i = 0; i < knode->pod_count; i++) {
        status_of(&knode->pods[i], &statuses[i]);
        pointers[i] = &statuses[i];
    }
    response.pods = pointers;
    response.n_pods = knode->pod_count;
    call_reply(call, &response.base);
}

static void on_watch_ended(struct call *call, const struct error *why)
{
    struct knode *knode = call_data(call);

    (void)why;
    for (unsigned i = 0; i < WATCHES_MAX; i++)
        if (knode->watches[i] == call)
            knode->watches[i] = NULL;
    knode->watched_ms = now_ms(knode);
}

static void watch(struct call *call, const ProtobufCMessage *message)
{
    static const struct call_events events = {.ended = on_watch_ended};
    const Kontor__V1__NodeWatchRequest *request = (const void *)message;
    Kontor__V1__NodeReport report = KONTOR__V1__NODE_REPORT__INIT;
    struct knode *knode = in_term(call, request->term);
    struct error why;
    unsigned i = 0;

    if (!knode)
        return;
    while (i < WATCHES_MAX && knode->watches[i])
        i++;
    if (i == WATCHES_MAX) {
        call_fail(call, ERROR_RESOURCE_EXHAUSTED, "too many watch");
        return;
    }
    knode->watches[i] = call;
    knode->sequences[i] = 1;
    call_listen(call, &events, knode);
    report.sequence = 1;
    call_send(call, &report.base, &why);
}

static void set_routes(struct call *call, const ProtobufCMessage *message)
{
    static const Kontor__V1__SetRoutesResponse done =
        KONTOR__V1__SET_ROUTES_RESPONSE__INIT;
    const Kontor__V1__SetRoutesRequest *request = (const void *)message;

    if (in_term(call, request->term))
        call_reply(call, &done.base);
}

#define MESSAGES(request_name, response_name)               \
    .request = &kontor__v1__##request_name##__descriptor,   \
    .response = &kontor__v1__##response_name##__descriptor, \
    .roles = RPC_ROLE_MASTER

static const struct method methods[] = {
    {.name = "CreatePods",
     MESSAGES(create_pods_request, create_pods_response),
     .handle = create_pods},
    {.name = "DeletePods",
     MESSAGES(delete_pods_request, delete_pods_response),
     .handle = delete_pods},
    {.name = "ListPods",
     MESSAGES(node_list_pods_request, node_list_pods_response),
     .handle = list_pods},
    {.name = "Watch",
     MESSAGES(node_watch_request, node_report),
     .server_streams = true,
     .handle = watch},
    {.name = "Logs",
     MESSAGES(node_logs_request, logs_chunk),
     .server_streams = true,
     .handle = logs_serve},
    {.name = "SetRoutes",
     MESSAGES(set_routes_request, set_routes_response),
     .handle = set_routes},
};

static const struct service service = {"kontor.v1.Node", methods,
                                       ARRAY_LEN(methods)};

/* ---- registering: an attempt at one master, then at another ---- */

static void on_announce(uv_timer_t *timer);

static void on_hung_up(void *data)
{
    (void)data;
}

static void hang_up(struct knode *knode)
{
    if (knode->channel)
        channel_close(knode->channel, on_hung_up, NULL);
    knode->channel = NULL;
}

static void on_registered(struct call *call, const ProtobufCMessage *message)
{
    struct knode *knode = call_data(call);

    (void)message;
    knode->accepted = true;
}

static void on_asked(struct call *call, const struct error *why)
{
    struct knode *knode = call_data(call);

    knode->call = NULL;
    if (knode->ending)
        return;
    tell(knode->host, "%s", knode->accepted ? "is registered" : why->message);
    knode->watched_ms = now_ms(knode);
    hang_up(knode);
    uv_timer_start(&knode->announce, on_announce,
                   knode->accepted ? 1000 : REGISTER_RETRY_MS, 0);
}

static void ask(struct knode *knode)
{
    static const struct call_events events = {
        .message = on_registered,
        .ended = on_asked,
    };
    Kontor__V1__RegisterNodeRequest request =
        KONTOR__V1__REGISTER_NODE_REQUEST__INIT;
    Kontor__V1__Resources capacity = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    Kontor__V1__Label known = KONTOR__V1__LABEL__INIT;
    Kontor__V1__Label *labels[] = {&known};

    id.high = random_next(&world.random);
    id.low = 2;
    known.key = without_const(feature_label(FEATURE_USERNS));
    known.value = without_const(FEATURE_KNOWN);
    capacity.cpu_milli = KNODE_CPU_MILLI;
    capacity.memory_bytes = UINT64_C(4) << 30;
    request.request_id = &id;
    request.name = knode->host->identity.name;
    request.address = knode->host->address;
    request.capacity = &capacity;
    request.labels = labels;
    request.n_labels = knows_userns(knode);
    request.routes_apart = true;
    knode->accepted = false;
    knode->call = channel_call_unary(
        knode->channel,
        &(struct call_request){
            .path = "/kontor.v1.Cluster/RegisterNode",
            .response = &kontor__v1__register_node_response__descriptor,
            .timeout_ms = REGISTER_TIMEOUT_MS,
            .events = &events,
            .data = knode,
        },
        &request.base);
}

static bool is_watched(const struct knode *knode)
{
    for (unsigned i = 0; i < WATCHES_MAX; i++)
        if (knode->watches[i])
            return true;
    return false;
}

/* At the start, and when nobody has watched for long. */
static void on_announce(uv_timer_t *timer)
{
    struct knode *knode = timer->data;
    const struct kmaster *kmaster =
        &kmasters[world_between(0, MASTERS_MAX - 1)];

    if (knode->accepted &&
        (is_watched(knode) ||
         now_ms(knode) < knode->watched_ms + REGISTER_AGAIN_MS)) {
        uv_timer_start(timer, on_announce, 1000, 0);
        return;
    }
    if (!kmaster_is_member(kmaster)) {
        uv_timer_start(timer, on_announce, 1, 0);
        return;
    }
    knode->channel = channel_open(&knode->host->life->loop,
                                  &(struct channel_config){
                                      .address = kmaster->host->address,
                                      .role = RPC_ROLE_MASTER,
                                  });
    ask(knode);
}

/* ---- lives ---- */

static void start_timer(struct knode *knode, uv_timer_t *timer,
                        uv_timer_cb call, uint64_t repeat_ms)
{
    uv_timer_init(&knode->host->life->loop, timer);
    timer->data = knode;
    uv_timer_start(timer, call, world_between(0, 20), repeat_ms);
}

void knode_start(struct knode *knode)
{
    struct process *process = process_new(knode->host);
    struct error why;

    tell(knode->host, "starts");
    knode->ending = false;
    knode->closed = false;
    knode->accepted = false;
    knode->session = 0;
    memset(knode->watches, 0, sizeof knode->watches);
    process_enter(process);
    server_open(&knode->server, &process->loop, knode->host->address,
                &process->tls, NULL, &why);
    server_add(knode->server, &service, knode);
    start_timer(knode, &knode->beat, on_beat, HEARTBEAT_MS);
    start_timer(knode, &knode->work, on_work, 0);
    start_timer(knode, &knode->announce, on_announce, 0);
    process_leave(process);
    if (knode->host->vanished) {
        knode->host->vanished = false;
        wires_forgotten(knode->host);
    }
}

/* What its supervisors would do when the machine is there again. */
static void lose_pods(struct knode *knode)
{
    for (unsigned i = 0; i < knode->pod_count; i++) {
        struct kpod *pod = &knode->pods[i];

        if (pod->phase != KONTOR__V1__POD_PHASE__POD_RUNNING)
            continue;
        if (pod->restart == KONTOR__V1__RESTART_POLICY__RESTART_NEVER) {
            pod->phase = KONTOR__V1__POD_PHASE__POD_FAILED;
            pod->due_ms = 0;
        } else {
            pod->phase = KONTOR__V1__POD_PHASE__POD_BACKOFF;
            pod->due_ms = 1;
        }
        snprintf(pod->reason, sizeof pod->reason, "its machine stopped");
    }
}

static void on_server_closed(void *data)
{
    struct knode *knode = data;

    knode->closed = true;
}

static void close_parts(struct knode *knode)
{
    uv_close((uv_handle_t *)&knode->beat, NULL);
    uv_close((uv_handle_t *)&knode->work, NULL);
    uv_close((uv_handle_t *)&knode->announce, NULL);
    if (knode->call)
        call_cancel(knode->call);
    hang_up(knode);
    server_close(knode->server, 0, on_server_closed, knode);
}

void knode_crash(struct knode *knode, bool machine)
{
    struct process *process = knode->host->life;

    if (!process)
        return;
    tell(knode->host, machine ? "vanishes" : "crashes");
    wires_cut(process, machine);
    process_kill(process);
    knode->host->vanished = machine;
    if (machine)
        lose_pods(knode);
    process_now = process;
    knode->ending = true;
    close_parts(knode);
    process_drain(process, &knode->closed);
    process_now = NULL;
}

void knodes_init(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        knodes[i] = memory_new(sizeof *knodes[i]);
        knodes[i]->host = &world.hosts[MASTERS_MAX + i];
        knodes[i]->host->data = knodes[i];
    }
}

void knodes_fini(void)
{
    for (unsigned i = 0; i < NODES_HOSTS_MAX; i++) {
        if (!knodes[i])
            continue;
        knode_crash(knodes[i], false);
        free(knodes[i]);
        knodes[i] = NULL;
    }
}
