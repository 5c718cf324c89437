#include "master_world.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"
#include "base/random.h"
#include "master/service.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 10000, HEARTBEAT_MS = 30 };

/* Folders of the world that is there; a test that fails leaves it so. */
static char left_folder[64];
static char left_pki[64];

int world_teardown(void **state)
{
    struct error why = {0};

    (void)state;
    if (left_folder[0])
        folder_remove(AT_FDCWD, left_folder, &why);
    if (left_pki[0])
        folder_remove(AT_FDCWD, left_pki, &why);
    left_folder[0] = '\0';
    left_pki[0] = '\0';
    return (int)why.code;
}

/* ---- the loop ---- */

static void on_patience_end(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

void world_until(struct world *world, bool (*holds)(void *data), void *data)
{
    uv_timer_t *patience = memory_new(sizeof *patience);
    bool over = false;

    uv_timer_init(&world->loop, patience);
    patience->data = &over;
    uv_timer_start(patience, on_patience_end, PATIENCE_MS, 0);
    while (!holds(data) && !over)
        uv_run(&world->loop, UV_RUN_ONCE);
    uv_timer_stop(patience);
    uv_close((uv_handle_t *)patience, (uv_close_cb)free);
    if (over)
        fail_msg("it did not come about");
}

static bool is_later(void *data)
{
    return clock_monotonic_ms() >= *(uint64_t *)data;
}

void world_run_ms(struct world *world, uint64_t ms)
{
    uint64_t until = clock_monotonic_ms() + ms;

    world_until(world, is_later, &until); /* the heartbeat keeps it turning */
}

/* ---- made-up nodes ---- */

Kontor__V1__PodStatus *fake_pod(struct fake_node *node, uint64_t pod_id)
{
    for (size_t i = 0; i < node->pod_count; i++) {
        if (node->pods[i].pod_id == pod_id)
            return &node->pods[i];
    }
    return NULL;
}

static void send_report(struct fake_node *node, Kontor__V1__PodStatus *status)
{
    Kontor__V1__NodeReport report = KONTOR__V1__NODE_REPORT__INIT;
    struct error why;

    if (!node->watch || node->silent)
        return;
    report.sequence = ++node->sequence;
    report.pods = &status;
    report.n_pods = status ? 1 : 0;
    call_send(node->watch, &report.base, &why);
}

static void forget_pod(struct fake_node *node, Kontor__V1__PodStatus *pod)
{
    *pod = node->pods[--node->pod_count];
}

void fake_report(struct fake_node *node, uint64_t pod_id,
                 Kontor__V1__PodPhase phase)
{
    Kontor__V1__PodStatus *pod = fake_pod(node, pod_id);

    if (!pod) {
        fail_msg("%s has no pod %d", node->name, (int)pod_id);
        return;
    }
    pod->phase = phase;
    send_report(node, pod);
    if (phase == KONTOR__V1__POD_PHASE__POD_STOPPED)
        forget_pod(node, pod);
}

static bool saw_term(struct fake_node *node, struct call *call, uint64_t term)
{
    if (term < node->term) {
        call_fail(call, ERROR_FAILED_PRECONDITION, "term is old");
        return false;
    }
    node->term = term;
    return true;
}

static void create_pods(struct call *call, const ProtobufCMessage *message)
{
    struct fake_node *node = call_service_data(call);
    const Kontor__V1__CreatePodsRequest *request = (const void *)message;
    Kontor__V1__CreatePodsResponse response =
        KONTOR__V1__CREATE_PODS_RESPONSE__INIT;

    if (!saw_term(node, call, request->term))
        return;
    node->create_calls++;
    for (size_t i = 0; node->refuse && i < request->n_pods; i++) {
        if (strcmp(request->pods[i]->name, node->refuse) == 0) {
            call_fail(call, ERROR_INVALID_ARGUMENT, "no such thing");
            return;
        }
    }
    for (size_t i = 0; i < request->n_pods; i++) {
        Kontor__V1__PodStatus *pod = fake_pod(node, request->pods[i]->pod_id);

        assert_true(node->pod_count < FAKE_PODS_MAX);
        if (!pod)
            pod = &node->pods[node->pod_count++];
        kontor__v1__pod_status__init(pod);
        pod->pod_id = request->pods[i]->pod_id;
        pod->generation = request->pods[i]->generation;
        pod->phase = KONTOR__V1__POD_PHASE__POD_PLACED;
        node->created++;
    }
    call_reply(call, &response.base);
}

static void delete_pods(struct call *call, const ProtobufCMessage *message)
{
    struct fake_node *node = call_service_data(call);
    const Kontor__V1__DeletePodsRequest *request = (const void *)message;
    Kontor__V1__DeletePodsResponse response =
        KONTOR__V1__DELETE_PODS_RESPONSE__INIT;

    if (!saw_term(node, call, request->term))
        return;
    call_reply(call, &response.base);
    for (size_t i = 0; i < request->n_pods; i++) {
        node->deleted++;
        if (fake_pod(node, request->pods[i]->pod_id))
            fake_report(node, request->pods[i]->pod_id,
                        KONTOR__V1__POD_PHASE__POD_STOPPED);
    }
}

static void list_pods(struct call *call, const ProtobufCMessage *message)
{
    struct fake_node *node = call_service_data(call);
    const Kontor__V1__NodeListPodsRequest *request = (const void *)message;
    Kontor__V1__NodeListPodsResponse response =
        KONTOR__V1__NODE_LIST_PODS_RESPONSE__INIT;
    Kontor__V1__PodStatus *pods[FAKE_PODS_MAX];

    if (!saw_term(node, call, request->term))
        return;
    for (size_t i = 0; i < node->pod_count; i++)
        pods[i] = &node->pods[i];
    response.pods = pods;
    response.n_pods = node->pod_count;
    call_reply(call, &response.base);
}

static void on_watch_ended(struct call *call, const struct error *why)
{
    struct fake_node *node = call_data(call);

    (void)why;
    if (node->watch == call)
        node->watch = NULL;
}

static const struct call_events watching = {.ended = on_watch_ended};

static void watch(struct call *call, const ProtobufCMessage *message)
{
    struct fake_node *node = call_service_data(call);
    const Kontor__V1__NodeWatchRequest *request = (const void *)message;

    if (!saw_term(node, call, request->term))
        return;
    call_listen(call, &watching, node);
    node->watch = call;
    node->sequence = 0;
    send_report(node, NULL);
}

static void logs(struct call *call, const ProtobufCMessage *message)
{
    const Kontor__V1__NodeLogsRequest *request = (const void *)message;
    Kontor__V1__LogsChunk chunk = KONTOR__V1__LOGS_CHUNK__INIT;
    uint8_t text[] = "hello\n";
    struct error why;

    if (request->tail_bytes == 1) {
        call_fail(call, ERROR_NOT_FOUND, "the log is gone");
        return;
    }
    chunk.data.data = text;
    chunk.data.len = sizeof text - 1;
    for (int i = 0; i < 3; i++)
        call_send(call, &chunk.base, &why);
    call_finish(call, &(struct error){0});
}

static void set_routes(struct call *call, const ProtobufCMessage *message)
{
    struct fake_node *node = call_service_data(call);
    const Kontor__V1__SetRoutesRequest *request = (const void *)message;
    Kontor__V1__SetRoutesResponse response =
        KONTOR__V1__SET_ROUTES_RESPONSE__INIT;

    node->routes = (unsigned)request->n_routes;
    call_reply(call, &response.base);
}

static const struct method node_methods[] = {
    {.name = "CreatePods",
     .request = &kontor__v1__create_pods_request__descriptor,
     .response = &kontor__v1__create_pods_response__descriptor,
     .roles = RPC_ROLE_MASTER,
     .handle = create_pods},
    {.name = "DeletePods",
     .request = &kontor__v1__delete_pods_request__descriptor,
     .response = &kontor__v1__delete_pods_response__descriptor,
     .roles = RPC_ROLE_MASTER,
     .handle = delete_pods},
    {.name = "ListPods",
     .request = &kontor__v1__node_list_pods_request__descriptor,
     .response = &kontor__v1__node_list_pods_response__descriptor,
     .roles = RPC_ROLE_MASTER,
     .handle = list_pods},
    {.name = "Watch",
     .request = &kontor__v1__node_watch_request__descriptor,
     .response = &kontor__v1__node_report__descriptor,
     .roles = RPC_ROLE_MASTER,
     .server_streams = true,
     .handle = watch},
    {.name = "Logs",
     .request = &kontor__v1__node_logs_request__descriptor,
     .response = &kontor__v1__logs_chunk__descriptor,
     .roles = RPC_ROLE_MASTER,
     .server_streams = true,
     .handle = logs},
    {.name = "SetRoutes",
     .request = &kontor__v1__set_routes_request__descriptor,
     .response = &kontor__v1__set_routes_response__descriptor,
     .roles = RPC_ROLE_MASTER,
     .handle = set_routes},
};
static const struct service node_service = {"kontor.v1.Node", node_methods,
                                            ARRAY_LEN(node_methods)};

static void on_heartbeat(uv_timer_t *timer)
{
    struct world *world = timer->data;

    for (unsigned i = 0; i < WORLD_NODES_MAX; i++)
        send_report(&world->nodes[i], NULL);
}

/* A port that nobody has. Below the range that the kernel gives to outgoing
 * connections (32768 and up), or one of those might take it before we do. */
static void free_address(char address[64])
{
    enum { FIRST_PORT = 20000, PORTS = 12000 };
    struct sockaddr_in in = {.sin_family = AF_INET};
    int bound = -1;

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    while (bound != 0) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        uint16_t number;

        random_bytes(&number, sizeof number);
        in.sin_port = htons((uint16_t)(FIRST_PORT + number % PORTS));
        bound = bind(fd, (struct sockaddr *)&in, sizeof in);
        close(fd);
    }
    snprintf(address, 64, "127.0.0.1:%u", ntohs(in.sin_port));
}

void world_node_start(struct world *world, unsigned i)
{
    struct fake_node *node = &world->nodes[i];
    struct error why;

    if (!node->tls) {
        node->world = world;
        snprintf(node->name, sizeof node->name, "n%u", i + 1);
        free_address(node->address);
        pki_fixture_issue(&world->pki, node->name, "node");
        if (tls_context_new(&node->tls, world->pki.folder, node->name, &why))
            fail_msg("%s", why.message);
    }
    if (server_open(&node->server, &world->loop, node->address, node->tls,
                    &(struct server_limits){0}, &why) != 0)
        fail_msg("%s", why.message);
    server_add(node->server, &node_service, node);
}

void world_node_register(struct world *world, unsigned i)
{
    world_node_register_with(world, i, 0);
}

void world_node_register_with(struct world *world, unsigned i, unsigned master)
{
    struct fake_node *node = &world->nodes[i];
    struct channel *channel = world_channel(world, master, node->name);
    Kontor__V1__RegisterNodeRequest request =
        KONTOR__V1__REGISTER_NODE_REQUEST__INIT;
    Kontor__V1__Resources capacity = KONTOR__V1__RESOURCES__INIT;
    ProtobufCMessage *answer;
    struct error why;

    capacity.cpu_milli = 4000;
    capacity.memory_bytes = UINT64_C(4) << 30;
    request.name = node->name;
    request.address = node->address;
    request.capacity = &capacity;
    answer = world_call(world, channel, "RegisterNode", &request.base, &why);
    if (!answer)
        fail_msg("%s", why.message);
    protobuf_c_message_free_unpacked(answer, NULL);
}

static void on_flag(void *data)
{
    *(bool *)data = true;
}

static bool is_set(void *data)
{
    return *(bool *)data;
}

void world_node_stop(struct world *world, unsigned i)
{
    bool closed = false;

    server_close(world->nodes[i].server, 0, on_flag, &closed);
    world_until(world, is_set, &closed);
    world->nodes[i].server = NULL;
    world->nodes[i].watch = NULL;
}

/* ---- masters ---- */

static void open_master(struct world *world, unsigned i)
{
    struct master_config config = {
        .name = world->names[i],
        .listen = world->addresses[i],
        .folder = world->folders[i],
        .members = world->members,
        .member_count = world->master_count,
        .tls = world->tls[i],
        .election_timeout_ms = 150,
        .heartbeat_ms = 50,
        .suspect_after_ms = 500,
        .lost_after_ms = 1000,
    };
    struct error why;

    assert_int_equal(
        pod_network_parse("10.42.0.0/16", &config.pod_network, &why), 0);
    if (folder_make(world->folders[i], 0700, &why) != 0 ||
        master_open(&world->masters[i], &world->loop, &config, &why) != 0)
        fail_msg("%s", why.message);
}

static bool someone_leads(void *data)
{
    const struct world *world = data;

    for (unsigned i = 0; i < WORLD_MASTERS_MAX; i++) {
        if (world->masters[i] && master_leads(world->masters[i]))
            return true;
    }
    return false;
}

unsigned world_leader(struct world *world)
{
    unsigned i = 0;

    world_until(world, someone_leads, world);
    while (!world->masters[i] || !master_leads(world->masters[i]))
        i++;
    return i;
}

void world_init(struct world *world, unsigned members, unsigned running)
{
    struct error why;

    memset(world, 0, sizeof *world);
    uv_loop_init(&world->loop);
    uv_timer_init(&world->loop, &world->heartbeat);
    world->heartbeat.data = world;
    uv_timer_start(&world->heartbeat, on_heartbeat, HEARTBEAT_MS, HEARTBEAT_MS);
    pki_fixture_init(&world->pki);
    pki_fixture_issue(&world->pki, "admin", "admin");
    pki_fixture_issue(&world->pki, "viewer", "viewer");
    memcpy(world->folder, "/tmp/kontor-world-XXXXXX", 25);
    assert_non_null(mkdtemp(world->folder));
    memcpy(left_folder, world->folder, sizeof left_folder);
    memcpy(left_pki, world->pki.folder, sizeof left_pki);
    world->master_count = members;
    for (unsigned i = 0; i < members; i++) {
        snprintf(world->names[i], sizeof world->names[i], "m%u", i + 1);
        free_address(world->addresses[i]);
        snprintf(world->folders[i], sizeof world->folders[i], "%s/m%u",
                 world->folder, i + 1);
        pki_fixture_issue(&world->pki, world->names[i], "master");
        if (tls_context_new(&world->tls[i], world->pki.folder, world->names[i],
                            &why))
            fail_msg("%s", why.message);
        world->members[i] =
            (struct replica_member){world->names[i], world->addresses[i]};
    }
    for (unsigned i = 0; i < running; i++)
        open_master(world, i);
    if (running * 2 > members)
        world_leader(world);
}

static void close_master(struct world *world, unsigned i)
{
    bool closed = false;

    if (!world->masters[i])
        return;
    master_close(world->masters[i], 0, on_flag, &closed);
    world_until(world, is_set, &closed);
    world->masters[i] = NULL;
}

void world_fini(struct world *world)
{
    struct error why;

    for (unsigned i = 0; i < world->channel_count; i++) {
        bool closed = false;

        channel_close(world->channels[i], on_flag, &closed);
        world_until(world, is_set, &closed);
    }
    for (unsigned i = 0; i < world->master_count; i++)
        close_master(world, i);
    for (unsigned i = 0; i < WORLD_NODES_MAX; i++) {
        if (world->nodes[i].server)
            world_node_stop(world, i);
        tls_context_free(world->nodes[i].tls);
    }
    uv_close((uv_handle_t *)&world->heartbeat, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    for (unsigned i = 0; i < world->channel_count; i++)
        tls_context_free(world->client_tls[i]);
    for (unsigned i = 0; i < world->master_count; i++)
        tls_context_free(world->tls[i]);
    pki_fixture_fini(&world->pki);
    assert_int_equal(folder_remove(AT_FDCWD, world->folder, &why), 0);
    left_folder[0] = '\0';
    left_pki[0] = '\0';
}

/* ---- clients ---- */

struct channel *world_channel(struct world *world, unsigned i,
                              const char *identity)
{
    unsigned at = world->channel_count++;
    struct error why;

    assert_true(at < ARRAY_LEN(world->channels));
    if (tls_context_new(&world->client_tls[at], world->pki.folder, identity,
                        &why))
        fail_msg("%s", why.message);
    world->channels[at] =
        channel_open(&world->loop, &(struct channel_config){
                                       .address = world->addresses[i],
                                       .context = world->client_tls[at],
                                       .role = RPC_ROLE_MASTER,
                                   });
    return world->channels[at];
}

struct outcome {
    ProtobufCMessage *answer;
    struct error why;
    bool ended;
};

static void on_answer(struct call *call, const ProtobufCMessage *message)
{
    struct outcome *outcome = call_data(call);
    ProtobufCMessage *before = outcome->answer;
    size_t length = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = memory_new(length + 1);

    protobuf_c_message_pack(message, bytes);
    outcome->answer =
        protobuf_c_message_unpack(message->descriptor, NULL, length, bytes);
    free(bytes);
    if (before)
        protobuf_c_message_free_unpacked(before, NULL);
}

static void on_ended(struct call *call, const struct error *why)
{
    struct outcome *outcome = call_data(call);

    outcome->why = *why;
    outcome->ended = true;
}

static const struct call_events outcome_events = {
    .message = on_answer,
    .ended = on_ended,
};

static bool has_ended(void *data)
{
    return ((struct outcome *)data)->ended;
}

ProtobufCMessage *world_call(struct world *world, struct channel *channel,
                             const char *method,
                             const ProtobufCMessage *request, struct error *why)
{
    const struct method *row = cluster_service.methods;
    struct outcome outcome = {.answer = NULL};
    char path[64];

    while (strcmp(row->name, method) != 0)
        row++;
    snprintf(path, sizeof path, "/kontor.v1.Cluster/%s", method);
    channel_call_unary(channel,
                       &(struct call_request){.path = path,
                                              .response = row->response,
                                              .timeout_ms = PATIENCE_MS / 2,
                                              .events = &outcome_events,
                                              .data = &outcome},
                       request);
    world_until(world, has_ended, &outcome);
    *why = outcome.why;
    return outcome.answer;
}
