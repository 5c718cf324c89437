/* test_node_service.c - a node's service as a master sees it: over TLS, with
 * an engine behind it whose pods fail before they need anything. As root. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/memory.h"
#include "node/service.h"
#include "node/supervisor/supervisor.h"
#include "node/watch.h"
#include "pki_fixture.h"
#include "rpc/channel.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { CALL_TIMEOUT_MS = 10000, SEEN_MAX = 4096 };

struct world {
    uv_loop_t loop;
    struct pki_fixture pki;
    struct tls_context *node_tls;
    struct tls_context *master_tls;
    struct channel *master;
    struct channel *other; /* a node's */
    struct tls_context *other_tls;
    char folder[64];
    int dir;
    char *pods;
    char *cgroup;
    struct term term;
    uint64_t session; /* that creations are of */
    struct pod_engine *engine;
    struct node_service *service;
    struct server *server;
    unsigned routes;
};

/* ---- the node ------------------------------------------------------------ */

static int take_routes(void *data, const Kontor__V1__SetRoutesRequest *request,
                       struct error *why)
{
    struct world *world = data;

    (void)why;
    world->routes = (unsigned)request->n_routes;
    return 0;
}

static struct channel *connect_as(struct world *world, const char *name,
                                  struct tls_context **tls)
{
    char address[64];
    struct error why;
    struct channel_config config = {.address = address, .role = RPC_ROLE_NODE};

    snprintf(address, sizeof address, "127.0.0.1:%u",
             server_port(world->server));
    assert_int_equal(tls_context_new(tls, world->pki.folder, name, &why), 0);
    config.context = *tls;
    return channel_open(&world->loop, &config);
}

static void open_node(struct world *world)
{
    struct pod_engine_config engine = {
        .folder = world->pods,
        .image_folder = "/nowhere",
        .kpod = "/nowhere",
        .cgroup = world->cgroup,
        .changed = node_service_changed,
    };
    struct node_service_config service = {
        .term = &world->term,
        .set_routes = take_routes,
        .data = world,
    };
    struct error why;

    world->service = node_service_open(&world->loop);
    engine.data = world->service;
    if (pod_engine_open(&world->engine, &world->loop, &engine, &why) != 0 ||
        server_open(&world->server, &world->loop, "127.0.0.1:0",
                    world->node_tls, &(struct server_limits){0}, &why) != 0)
        fail_msg("%s", why.message);
    service.engine = world->engine;
    node_service_start(world->service, &service, world->server);
}

static int open_world(void **state)
{
    struct world *world = memory_new(sizeof *world);
    struct error why;

    log_set_level(LOG_LEVEL_WARN);
    strcpy(world->folder, "/tmp/kontor-service-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    world->dir = open(world->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    world->pods = memory_format("%s/pods", world->folder);
    world->cgroup = memory_format("kontor-test-%d", (int)getpid());
    assert_int_equal(term_open(&world->term, world->dir, &why), 0);
    pki_fixture_init(&world->pki);
    pki_fixture_issue(&world->pki, "n1", "node");
    pki_fixture_issue(&world->pki, "n2", "node");
    pki_fixture_issue(&world->pki, "m1", "master");
    assert_int_equal(
        tls_context_new(&world->node_tls, world->pki.folder, "n1", &why), 0);
    uv_loop_init(&world->loop);
    open_node(world);
    world->master = connect_as(world, "m1", &world->master_tls);
    world->other = connect_as(world, "n2", &world->other_tls);
    *state = world;
    return 0;
}

static void nothing(void *data)
{
    (void)data;
}

static int close_world(void **state)
{
    struct world *world = *state;
    struct error why;

    channel_close(world->master, nothing, NULL);
    channel_close(world->other, nothing, NULL);
    server_close(world->server, 100, nothing, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    pod_engine_close(world->engine, nothing, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    node_service_close(world->service, nothing, NULL);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    tls_context_free(world->node_tls);
    tls_context_free(world->master_tls);
    tls_context_free(world->other_tls);
    pki_fixture_fini(&world->pki);
    close(world->dir);
    folder_remove(AT_FDCWD, world->folder, &why);
    free(world->pods);
    free(world->cgroup);
    free(world);
    return 0;
}

/* ---- calls --------------------------------------------------------------- */

/* What a call brought, as text. */
struct record {
    char seen[SEEN_MAX];
    unsigned heartbeats;
    unsigned pods;
    bool last_succeeded;
    bool ended;
    struct error why;
};

static void say(struct record *record, const char *text)
{
    size_t length = strlen(record->seen);

    snprintf(record->seen + length, SEEN_MAX - length, "%s ", text);
}

static void say_pod(struct record *record, const Kontor__V1__PodStatus *status)
{
    char text[128];

    record->last_succeeded =
        status->phase == KONTOR__V1__POD_PHASE__POD_SUCCEEDED;
    snprintf(text, sizeof text, "%d.%u=%s", (int)status->pod_id,
             status->generation,
             protobuf_c_enum_descriptor_get_value(
                 &kontor__v1__pod_phase__descriptor, (int)status->phase)
                     ->name +
                 4);
    say(record, text);
}

static void on_message(struct call *call, const ProtobufCMessage *message)
{
    struct record *record = call_data(call);

    if (message->descriptor == &kontor__v1__node_report__descriptor) {
        const Kontor__V1__NodeReport *report =
            (const Kontor__V1__NodeReport *)message;

        record->heartbeats += report->n_pods == 0;
        record->pods += (unsigned)report->n_pods;
        for (size_t i = 0; i < report->n_pods; i++)
            say_pod(record, report->pods[i]);
    } else if (message->descriptor ==
               &kontor__v1__node_list_pods_response__descriptor) {
        const Kontor__V1__NodeListPodsResponse *list =
            (const Kontor__V1__NodeListPodsResponse *)message;

        for (size_t i = 0; i < list->n_pods; i++)
            say_pod(record, list->pods[i]);
    } else if (message->descriptor == &kontor__v1__logs_chunk__descriptor) {
        const Kontor__V1__LogsChunk *chunk =
            (const Kontor__V1__LogsChunk *)message;
        char text[128];

        snprintf(text, sizeof text, "%.*s", (int)chunk->data.len,
                 (const char *)chunk->data.data);
        say(record, text);
    }
}

static void on_ended(struct call *call, const struct error *why)
{
    struct record *record = call_data(call);

    record->ended = true;
    record->why = *why;
}

static const struct call_events record_events = {.message = on_message,
                                                 .ended = on_ended};

static struct call *begin(struct channel *channel, const char *path,
                          const ProtobufCMessageDescriptor *response,
                          const ProtobufCMessage *message,
                          struct record *record)
{
    struct call_request request = {
        .path = path,
        .response = response,
        .timeout_ms = CALL_TIMEOUT_MS,
        .events = &record_events,
        .data = record,
    };

    memset(record, 0, sizeof *record);
    return channel_call_unary(channel, &request, message);
}

static void await_end(struct world *world, const struct record *record)
{
    while (!record->ended)
        uv_run(&world->loop, UV_RUN_ONCE);
}

static void await_seen(struct world *world, const struct record *record,
                       const char *text)
{
    while (!record->ended && !strstr(record->seen, text))
        uv_run(&world->loop, UV_RUN_ONCE);
    if (!strstr(record->seen, text))
        fail_msg("not \"%s\" but \"%s\": %s", text, record->seen,
                 record->why.message);
}

/* A pod that names no container, so that it fails at once. */
static int order(struct world *world, struct channel *channel, uint64_t term,
                 uint64_t id, uint32_t generation)
{
    Kontor__V1__CreatePodsRequest request =
        KONTOR__V1__CREATE_PODS_REQUEST__INIT;
    Kontor__V1__PodOrder pod = KONTOR__V1__POD_ORDER__INIT;
    Kontor__V1__PodOrder *pods[] = {&pod};
    struct record record;

    pod.pod_id = id;
    pod.generation = generation;
    request.term = term;
    request.session = world->session;
    request.pods = pods;
    request.n_pods = 1;
    begin(channel, "/kontor.v1.Node/CreatePods",
          &kontor__v1__create_pods_response__descriptor, &request.base,
          &record);
    await_end(world, &record);
    return (int)record.why.code;
}

static int delete (struct world *world, uint64_t term, uint64_t id,
                   uint32_t generation)
{
    Kontor__V1__DeletePodsRequest request =
        KONTOR__V1__DELETE_PODS_REQUEST__INIT;
    Kontor__V1__PodOrder pod = KONTOR__V1__POD_ORDER__INIT;
    Kontor__V1__PodOrder *pods[] = {&pod};
    struct record record;

    pod.pod_id = id;
    pod.generation = generation;
    request.term = term;
    request.pods = pods;
    request.n_pods = 1;
    begin(world->master, "/kontor.v1.Node/DeletePods",
          &kontor__v1__delete_pods_response__descriptor, &request.base,
          &record);
    await_end(world, &record);
    return (int)record.why.code;
}

static struct call *watch(struct world *world, struct record *record)
{
    Kontor__V1__NodeWatchRequest request = KONTOR__V1__NODE_WATCH_REQUEST__INIT;

    request.term = 1;
    return begin(world->master, "/kontor.v1.Node/Watch",
                 &kontor__v1__node_report__descriptor, &request.base, record);
}

/* ---- stories ------------------------------------------------------------- */

static void a_watch_tells_all_then_each_change(void **state)
{
    struct world *world = *state;
    struct record first;
    struct record second;
    struct call *call = watch(world, &first);
    struct call *other;

    while (first.heartbeats == 0)
        uv_run(&world->loop, UV_RUN_ONCE); /* an empty node says so */
    assert_int_equal(order(world, world->master, 1, 1, 1), 0);
    await_seen(world, &first, "1.1=FAILED ");
    assert_int_equal(order(world, world->master, 1, 2, 1), 0);
    await_seen(world, &first, "2.1=FAILED ");
    other = watch(world, &second);
    await_seen(world, &second, "1.1=FAILED 2.1=FAILED ");
    assert_int_equal(delete (world, 1, 1, 1), 0);
    await_seen(world, &first, "1.1=STOPPED ");
    await_seen(world, &second, "1.1=STOPPED ");
    first.heartbeats = 0;
    while (first.heartbeats == 0)
        uv_run(&world->loop, UV_RUN_ONCE);
    call_cancel(call);
    await_end(world, &first);
    assert_int_equal(delete (world, 1, 2, 1), 0);
    await_seen(world, &second, "2.1=STOPPED ");
    assert_int_equal(node_service_watchers(world->service), 1);
    call_cancel(other);
    await_end(world, &second);
}

/* More pods than a report takes: each is told once. */
static void a_full_node_is_told_in_parts(void **state)
{
    enum { PODS = WATCH_REPORT_PODS_MAX + 10 };
    struct world *world = *state;
    struct record record;
    struct call *call;

    for (uint64_t id = 1; id <= PODS; id++) {
        Kontor__V1__PodStatus status = KONTOR__V1__POD_STATUS__INIT;

        status.pod_id = id;
        node_service_changed(world->service, &status);
    }
    call = watch(world, &record);
    while (record.pods < PODS && !record.ended)
        uv_run(&world->loop, UV_RUN_ONCE);
    record.heartbeats = 0;
    while (record.heartbeats == 0 && !record.ended)
        uv_run(&world->loop, UV_RUN_ONCE);
    assert_int_equal(record.pods, PODS);
    call_cancel(call);
    await_end(world, &record);
}

static void change(struct world *world, uint64_t id, Kontor__V1__PodPhase phase)
{
    Kontor__V1__PodStatus status = KONTOR__V1__POD_STATUS__INIT;
    char reason[400];

    memset(reason, 'x', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    status.pod_id = id;
    status.phase = phase;
    status.reason = reason;
    node_service_changed(world->service, &status);
    uv_run(&world->loop, UV_RUN_NOWAIT);
}

/* What was overtaken is skipped, so the queue stays small; the last status is
 * not. */
static void a_slow_watcher_is_told_the_latest(void **state)
{
    enum { CHANGES = 20000 };
    struct world *world = *state;
    struct record record;
    struct call *call = watch(world, &record);

    while (record.heartbeats == 0)
        uv_run(&world->loop, UV_RUN_ONCE);
    call_pause(call);
    for (int i = 0; i < CHANGES; i++)
        change(world, 1, KONTOR__V1__POD_PHASE__POD_RUNNING);
    change(world, 1, KONTOR__V1__POD_PHASE__POD_SUCCEEDED);
    call_resume(call);
    while (!record.ended && !record.last_succeeded)
        uv_run(&world->loop, UV_RUN_ONCE);
    assert_false(record.ended);
    assert_true(record.pods < CHANGES / 4);
    call_cancel(call);
    await_end(world, &record);
}

/* One that is too far behind to be told of all that is gone begins anew. */
static void a_watcher_too_far_behind_is_hung_up_on(void **state)
{
    struct world *world = *state;
    struct record record;
    struct call *call = watch(world, &record);

    while (record.heartbeats == 0)
        uv_run(&world->loop, UV_RUN_ONCE);
    call_pause(call);
    for (uint64_t id = 1; id <= 2 * WATCH_GONE_MAX; id++) {
        change(world, id, KONTOR__V1__POD_PHASE__POD_RUNNING);
        change(world, id, KONTOR__V1__POD_PHASE__POD_STOPPED);
    }
    call_resume(call);
    await_end(world, &record);
    assert_int_equal(record.why.code, ERROR_RESOURCE_EXHAUSTED);
    call = watch(world, &record);
    while (record.heartbeats == 0)
        uv_run(&world->loop, UV_RUN_ONCE);
    assert_int_equal(record.pods, 0); /* nothing is kept for nobody */
    call_cancel(call);
    await_end(world, &record);
}

static void orders_are_idempotent_and_of_a_term(void **state)
{
    struct world *world = *state;
    Kontor__V1__NodeListPodsRequest list =
        KONTOR__V1__NODE_LIST_PODS_REQUEST__INIT;
    struct record record;

    assert_int_equal(order(world, world->master, 5, 1, 3), 0);
    assert_int_equal(order(world, world->master, 5, 1, 3), 0);
    assert_int_equal(order(world, world->master, 5, 1, 2),
                     ERROR_FAILED_PRECONDITION);
    assert_int_equal(order(world, world->master, 4, 9, 1),
                     ERROR_FAILED_PRECONDITION);
    assert_int_equal(order(world, world->master, 5, 0, 1),
                     ERROR_INVALID_ARGUMENT);
    assert_int_equal(delete (world, 4, 1, 3), ERROR_FAILED_PRECONDITION);
    assert_int_equal(delete (world, 5, 1, 2), 0); /* of a newer generation */
    assert_int_equal(delete (world, 5, 77, 1), 0);
    list.term = 5;
    begin(world->master, "/kontor.v1.Node/ListPods",
          &kontor__v1__node_list_pods_response__descriptor, &list.base,
          &record);
    await_end(world, &record);
    assert_string_equal(record.seen, "1.3=FAILED ");
    assert_int_equal(order(world, world->master, 6, 1, 4), 0);
    assert_int_equal(delete (world, 6, 1, 4), 0);
    while (pod_engine_status(world->engine, 1))
        uv_run(&world->loop, UV_RUN_ONCE);
}

static void what_an_earlier_session_would_create_comes_too_late(void **state)
{
    struct world *world = *state;
    Kontor__V1__NodeListPodsRequest list =
        KONTOR__V1__NODE_LIST_PODS_REQUEST__INIT;
    struct record record;

    list.term = 5;
    list.session = 2;
    begin(world->master, "/kontor.v1.Node/ListPods",
          &kontor__v1__node_list_pods_response__descriptor, &list.base,
          &record);
    await_end(world, &record);
    world->session = 1;
    assert_int_equal(order(world, world->master, 5, 1, 1),
                     ERROR_FAILED_PRECONDITION);
    world->session = 2;
    assert_int_equal(order(world, world->master, 5, 1, 1), 0);
}

static void only_masters_give_orders(void **state)
{
    struct world *world = *state;

    assert_int_equal(order(world, world->other, 1, 1, 1),
                     ERROR_PERMISSION_DENIED);
}

static void routes_are_taken(void **state)
{
    struct world *world = *state;
    Kontor__V1__SetRoutesRequest request = KONTOR__V1__SET_ROUTES_REQUEST__INIT;
    Kontor__V1__NodeRoute route = KONTOR__V1__NODE_ROUTE__INIT;
    Kontor__V1__NodeRoute *routes[] = {&route, &route};
    struct record record;

    request.term = 1;
    request.routes = routes;
    request.n_routes = 2;
    request.version = 7;
    begin(world->master, "/kontor.v1.Node/SetRoutes",
          &kontor__v1__set_routes_response__descriptor, &request.base, &record);
    await_end(world, &record);
    assert_int_equal(record.why.code, 0);
    assert_int_equal(world->routes, 2);

    /* What follows another version than it has would leave a gap. */
    request.after_version = 6;
    request.version = 8;
    begin(world->master, "/kontor.v1.Node/SetRoutes",
          &kontor__v1__set_routes_response__descriptor, &request.base, &record);
    await_end(world, &record);
    assert_int_equal(record.why.code, ERROR_FAILED_PRECONDITION);
    request.after_version = 7;
    begin(world->master, "/kontor.v1.Node/SetRoutes",
          &kontor__v1__set_routes_response__descriptor, &request.base, &record);
    await_end(world, &record);
    assert_int_equal(record.why.code, 0);
}

/* As kpod writes it. */
static void write_log(const struct world *world, const char *text)
{
    char *path = memory_format("%s/1/log", world->pods);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct log_record record = {.length = (uint32_t)strlen(text),
                                .wall_ms = clock_wall_ms() - 60000,
                                .stream = LOG_STREAM_STDOUT};
    struct error why;

    assert_int_equal(fd_write_all(fd, &record, sizeof record, &why), 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text), &why), 0);
    close(fd);
    free(path);
}

static void logs_end_where_the_pod_did(void **state)
{
    struct world *world = *state;
    Kontor__V1__NodeLogsRequest request = KONTOR__V1__NODE_LOGS_REQUEST__INIT;
    struct record record;

    request.pod_id = 1;
    begin(world->master, "/kontor.v1.Node/Logs",
          &kontor__v1__logs_chunk__descriptor, &request.base, &record);
    await_end(world, &record);
    assert_int_equal(record.why.code, ERROR_NOT_FOUND);
    assert_int_equal(order(world, world->master, 1, 1, 1), 0);
    write_log(world, "one\ntwo\nthree");
    request.follow = true;
    request.tail_lines = 2;
    begin(world->master, "/kontor.v1.Node/Logs",
          &kontor__v1__logs_chunk__descriptor, &request.base, &record);
    await_end(world, &record);
    assert_int_equal(record.why.code, 0);
    assert_string_equal(record.seen, "two\nthree ");
    /* Whoever asks has a clock that is an hour ahead. */
    request.since_wall_ms = clock_wall_ms() + 3600 * 1000;
    request.since_ms = 120 * 1000;
    begin(world->master, "/kontor.v1.Node/Logs",
          &kontor__v1__logs_chunk__descriptor, &request.base, &record);
    await_end(world, &record);
    assert_string_equal(record.seen, "two\nthree ");
    request.since_ms = 30 * 1000;
    begin(world->master, "/kontor.v1.Node/Logs",
          &kontor__v1__logs_chunk__descriptor, &request.base, &record);
    await_end(world, &record);
    assert_string_equal(record.seen, "");
    assert_int_equal(delete (world, 1, 1, 1), 0);
    while (pod_engine_status(world->engine, 1))
        uv_run(&world->loop, UV_RUN_ONCE);
}

#define node_test(function) \
    cmocka_unit_test_setup_teardown(function, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        node_test(a_watch_tells_all_then_each_change),
        node_test(a_full_node_is_told_in_parts),
        node_test(a_slow_watcher_is_told_the_latest),
        node_test(a_watcher_too_far_behind_is_hung_up_on),
        node_test(orders_are_idempotent_and_of_a_term),
        node_test(what_an_earlier_session_would_create_comes_too_late),
        node_test(only_masters_give_orders),
        node_test(routes_are_taken),
        node_test(logs_end_where_the_pod_did),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
