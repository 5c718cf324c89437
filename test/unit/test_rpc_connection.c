/* Connections: made, refused, lost, drained; and the services that every
 * server has. */
#include "base/clock.h"
#include "base/memory.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "rpc_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* A channel and what it reported. */
struct watched {
    struct channel *channel;
    struct tls_context *context;
    bool connected;
    bool disconnected; /* after having been connected */
    bool failed;       /* an attempt did */
    struct error why;
};

struct story {
    struct rpc_fixture fixture;
    struct watched alice;
    struct rpc_record record;
    bool closed;
};

static void on_changed(void *data, bool connected, const struct error *why)
{
    struct watched *watched = data;

    if (!connected && watched->connected)
        watched->disconnected = true;
    watched->connected = connected;
    watched->failed |= !connected;
    watched->why = *why;
}

static void watch(struct story *story, struct watched *watched,
                  const char *name, const char *address, enum rpc_role role)
{
    const struct channel_config config = {
        .address = address,
        .context = watched->context =
            rpc_fixture_context(&story->fixture, name),
        .role = role,
        .keepalive_ms = 150,
        .changed = on_changed,
        .data = watched,
    };

    watched->channel = channel_open(&story->fixture.loop, &config);
}

/* Run the loop until something holds, ten seconds at most. */
#define UNTIL(story, condition)                           \
    do {                                                  \
        uint64_t until_ms = clock_monotonic_ms() + 10000; \
        while (!(condition)) {                            \
            assert_true(clock_monotonic_ms() < until_ms); \
            rpc_fixture_run_ms(&(story)->fixture, 1);     \
        }                                                 \
    } while (false)

static int set_up(void **state)
{
    struct story *story = memory_new(sizeof *story);

    rpc_fixture_init(&story->fixture);
    watch(story, &story->alice, "alice", story->fixture.address,
          RPC_ROLE_MASTER);
    *state = story;
    return 0;
}

static void unwatch(struct watched *watched)
{
    if (watched->channel)
        channel_close(watched->channel, NULL, NULL);
    watched->channel = NULL;
}

static int tear_down(void **state)
{
    struct story *story = *state;

    unwatch(&story->alice);
    rpc_fixture_fini(&story->fixture);
    tls_context_free(story->alice.context);
    free(story);
    return 0;
}

static struct call *ask(struct story *story, const char *path)
{
    struct call *call =
        rpc_fixture_call(story->alice.channel, path, 0, &story->record);
    struct error why;

    assert_int_equal(rpc_fixture_send(call, "hello", 5, &why), 0);
    return call;
}

/* ---- raw sockets -------------------------------------------------------- */

static int dial_raw(const struct story *story)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)server_port(story->fixture.server)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address),
                     0);
    return fd;
}

/* Has the server closed its end? */
static bool is_closed(int fd)
{
    char bytes[1024];
    ssize_t length = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

    return length == 0 || (length < 0 && errno != EAGAIN);
}

static void plain_text_is_closed(void **state)
{
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\nHost: m1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\xff\xff garbage that looks like TLS at first",
        "\x80\x80\x80\x80\x80\x80",
    };
    struct story *story = *state;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        int fd = dial_raw(story);

        assert_int_equal(send(fd, texts[i], strlen(texts[i]), MSG_NOSIGNAL),
                         strlen(texts[i]));
        UNTIL(story, is_closed(fd));
        close(fd);
    }
    ask(story, "/test.Echo/Unary");
    rpc_fixture_wait(&story->fixture, &story->record);
    assert_int_equal(story->record.why.code, 0);
}

/* A second server with other limits. */
static struct server *open_server(struct story *story,
                                  const struct server_limits *limits,
                                  char address[64])
{
    struct server *server;
    struct error why;

    if (server_open(&server, &story->fixture.loop, "127.0.0.1:0",
                    story->fixture.server_context, limits, &why) != 0)
        fail_msg("%s", why.message);
    server_add(server, &rpc_fixture_service, &story->fixture);
    snprintf(address, 64, "127.0.0.1:%u", server_port(server));
    return server;
}

static void silent_handshakes_are_closed(void **state)
{
    const struct server_limits limits = {.handshake_ms = 50};
    struct story *story = *state;
    struct server *server = story->fixture.server;
    char address[64];
    int fd;

    story->fixture.server = open_server(story, &limits, address);
    fd = dial_raw(story);
    UNTIL(story, is_closed(fd));
    close(fd);
    server_close(server, 0, NULL, NULL);
}

static void connections_are_capped(void **state)
{
    const struct server_limits limits = {.connections = 2};
    struct story *story = *state;
    struct server *server = story->fixture.server;
    char address[64];
    int fds[3];

    story->fixture.server = open_server(story, &limits, address);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = dial_raw(story);
    UNTIL(story, is_closed(fds[2]));
    assert_false(is_closed(fds[0]) || is_closed(fds[1]));
    close(fds[0]); /* makes room for one */
    close(fds[2]);
    rpc_fixture_run_ms(&story->fixture, 20);
    fds[2] = dial_raw(story);
    rpc_fixture_run_ms(&story->fixture, 20);
    assert_false(is_closed(fds[2]));
    close(fds[1]);
    close(fds[2]);
    server_close(server, 0, NULL, NULL);
}

/* ---- channels ----------------------------------------------------------- */

/* A master where a node was expected. */
static void the_wrong_server_is_refused(void **state)
{
    struct story *story = *state;
    struct watched watched = {0};

    watch(story, &watched, "alice", story->fixture.address, RPC_ROLE_NODE);
    UNTIL(story, watched.failed);
    assert_false(channel_connected(watched.channel));
    assert_int_equal(channel_trouble(watched.channel)->code,
                     ERROR_PERMISSION_DENIED);
    assert_non_null(strstr(channel_trouble(watched.channel)->message,
                           "is master m1 and not a node"));
    unwatch(&watched);
    rpc_fixture_run_ms(&story->fixture, 10);
    tls_context_free(watched.context);
}

/* A certificate that ends while its holder runs is refused by the server,
 * and the client hears that from it. */
static void an_expired_certificate_is_refused(void **state)
{
    struct story *story = *state;
    struct watched watched = {0};
    struct error why;
    uint64_t expired_ms = clock_monotonic_ms() + 3100;

    pki_fixture_issue_between(&story->fixture.pki, "brief", "admin", -300, 2);
    watched.context = rpc_fixture_context(&story->fixture, "brief");
    UNTIL(story, clock_monotonic_ms() > expired_ms);
    watched.channel =
        channel_open(&story->fixture.loop,
                     &(struct channel_config){.address = story->fixture.address,
                                              .context = watched.context,
                                              .role = RPC_ROLE_MASTER,
                                              .changed = on_changed,
                                              .data = &watched});
    UNTIL(story, watched.failed);
    why = *channel_trouble(watched.channel);
    assert_false(watched.connected);
    assert_int_equal(why.code, ERROR_UNAUTHENTICATED);
    assert_non_null(strstr(why.message, "certificate expired"));
    unwatch(&watched);
    rpc_fixture_run_ms(&story->fixture, 10);
    tls_context_free(watched.context);
}

/* Nobody listens there: calls wait until their deadline and are told why. */
static void calls_wait_for_a_connection(void **state)
{
    struct story *story = *state;
    struct watched nowhere = {0};

    watch(story, &nowhere, "alice", "127.0.0.1:1", RPC_ROLE_MASTER);
    rpc_fixture_call(nowhere.channel, "/test.Echo/Unary", 100, &story->record);
    rpc_fixture_wait(&story->fixture, &story->record);
    assert_int_equal(story->record.why.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(story->record.why.message, "127.0.0.1:1: connect: "
                                                      "connection refused"));
    unwatch(&nowhere);
    rpc_fixture_run_ms(&story->fixture, 10);
    tls_context_free(nowhere.context);
}

static void a_broken_address_is_named(void **state)
{
    struct story *story = *state;
    struct watched broken = {0};

    watch(story, &broken, "alice", "nowhere", RPC_ROLE_MASTER);
    UNTIL(story, broken.failed);
    assert_non_null(strstr(broken.why.message, "\"nowhere\""));
    unwatch(&broken);
    rpc_fixture_run_ms(&story->fixture, 10);
    tls_context_free(broken.context);
}

static void on_server_closed(void *data)
{
    *(bool *)data = true;
}

/* The server goes without a word: calls end at once, the channel says so, and
 * comes back when the server does. */
static void a_lost_server_is_noticed_and_found_again(void **state)
{
    struct story *story = *state;
    struct error why;
    uint64_t lost_ms;

    UNTIL(story, story->alice.connected);
    ask(story, "/test.Echo/Hang");
    UNTIL(story, story->fixture.calls_hanging == 1);
    server_close(story->fixture.server, 0, on_server_closed, &story->closed);
    lost_ms = clock_monotonic_ms();
    story->fixture.server = NULL;
    rpc_fixture_wait(&story->fixture, &story->record);
    assert_true(clock_monotonic_ms() - lost_ms < 100);
    assert_true(story->record.why.code == ERROR_UNAVAILABLE);
    UNTIL(story, story->alice.disconnected && story->closed);
    assert_int_equal(story->alice.why.code, ERROR_UNAVAILABLE);

    if (server_open(&story->fixture.server, &story->fixture.loop,
                    story->fixture.address, story->fixture.server_context, NULL,
                    &why) != 0)
        fail_msg("%s", why.message);
    server_add(story->fixture.server, &rpc_fixture_service, &story->fixture);
    channel_kick(story->alice.channel);
    story->record = (struct rpc_record){0};
    ask(story, "/test.Echo/Unary");
    rpc_fixture_wait(&story->fixture, &story->record);
    assert_int_equal(story->record.why.code, 0);
}

/* What is under way is finished, what is new is not taken. */
static void a_drain_finishes_calls(void **state)
{
    struct story *story = *state;
    struct error why;
    struct call *call = ask(story, "/test.Echo/Chat");

    UNTIL(story, story->record.messages == 1);
    server_close(story->fixture.server, 5000, on_server_closed, &story->closed);
    story->fixture.server = NULL;
    UNTIL(story, story->alice.disconnected);
    assert_false(story->record.ended || story->closed);
    assert_int_equal(rpc_fixture_send(call, "two", 3, &why), 0);
    UNTIL(story, story->record.messages == 2);
    call_half_close(call);
    rpc_fixture_wait(&story->fixture, &story->record);
    assert_int_equal(story->record.why.code, 0);
    UNTIL(story, story->closed);
}

static void a_drain_ends_after_its_grace(void **state)
{
    struct story *story = *state;
    uint64_t began_ms;

    ask(story, "/test.Echo/Hang");
    UNTIL(story, story->fixture.calls_hanging == 1);
    began_ms = clock_monotonic_ms();
    server_close(story->fixture.server, 200, on_server_closed, &story->closed);
    story->fixture.server = NULL;
    rpc_fixture_wait(&story->fixture, &story->record);
    assert_int_equal(story->record.why.code, ERROR_UNAVAILABLE);
    assert_in_range(clock_monotonic_ms() - began_ms, 190, 1000);
    UNTIL(story, story->closed);
    assert_int_equal(story->fixture.calls_ended, 1);
    assert_int_equal(story->fixture.last_ended.code, ERROR_CANCELLED);
}

/* An idle connection lives by PINGs. */
static void keepalive_keeps_alive(void **state)
{
    struct story *story = *state;

    UNTIL(story, story->alice.connected);
    rpc_fixture_run_ms(&story->fixture, 700);
    assert_true(story->alice.connected);
    assert_false(story->alice.disconnected);
}

/* A server that goes mute after its SETTINGS, as a stopped process does. */
struct mute {
    int listener;
    int fd;
    struct tls *tls;
    struct buffer plain;
    struct buffer wire;
    bool greeted;
    char address[64];
};

static void mute_init(struct mute *mute, struct story *story)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t length = sizeof address;

    *mute = (struct mute){.fd = -1};
    mute->listener =
        socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(mute->listener, (void *)&address, length), 0);
    assert_int_equal(listen(mute->listener, 1), 0);
    getsockname(mute->listener, (void *)&address, &length);
    snprintf(mute->address, sizeof mute->address, "127.0.0.1:%u",
             ntohs(address.sin_port));
    mute->tls = tls_new_server(story->fixture.server_context);
    buffer_init(&mute->plain, 1 << 20);
    buffer_init(&mute->wire, 1 << 20);
}

static void mute_fini(struct mute *mute)
{
    close(mute->listener);
    close(mute->fd);
    tls_free(mute->tls);
    buffer_fini(&mute->plain);
    buffer_fini(&mute->wire);
}

/* Shake hands, send empty SETTINGS, fall silent. */
static void mute_step(struct mute *mute)
{
    static const uint8_t settings[] = {0, 0, 0, 4, 0, 0, 0, 0, 0};
    struct error why;
    char bytes[4096];
    ssize_t length;

    if (mute->fd < 0)
        mute->fd = accept(mute->listener, NULL, NULL);
    if (mute->fd < 0 || mute->greeted)
        return;
    length = recv(mute->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (length > 0)
        tls_receive(mute->tls, bytes, (size_t)length, &mute->plain, &mute->wire,
                    &why);
    if (tls_ready(mute->tls)) {
        tls_send(mute->tls, settings, sizeof settings, &mute->wire, &why);
        mute->greeted = true;
    }
    send(mute->fd, buffer_data(&mute->wire), buffer_length(&mute->wire),
         MSG_NOSIGNAL);
    buffer_consume(&mute->wire, buffer_length(&mute->wire));
}

static void keepalive_finds_the_dead(void **state)
{
    struct story *story = *state;
    struct watched watched = {0};
    struct mute mute;

    mute_init(&mute, story);
    watch(story, &watched, "alice", mute.address, RPC_ROLE_MASTER);
    UNTIL(story, (mute_step(&mute), watched.connected));
    rpc_fixture_call(watched.channel, "/test.Echo/Hang", 0, &story->record);
    rpc_fixture_wait(&story->fixture, &story->record);
    assert_int_equal(story->record.why.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(story->record.why.message, "PING"));
    assert_true(watched.disconnected);
    unwatch(&watched);
    rpc_fixture_run_ms(&story->fixture, 10);
    tls_context_free(watched.context);
    mute_fini(&mute);
}

/* ---- the services of every server --------------------------------------- */

struct answers {
    unsigned count;
    int status; /* the last */
    bool ended;
    struct error why;
    size_t services;
    size_t files;
    int error_code;
};

static void answers_on_ended(struct call *call, const struct error *why)
{
    struct answers *answers = call_data(call);

    answers->ended = true;
    answers->why = *why;
}

static void health_on_message(struct call *call,
                              const ProtobufCMessage *message)
{
    const Grpc__Health__V1__HealthCheckResponse *response =
        (const void *)message;
    struct answers *answers = call_data(call);

    answers->count++;
    answers->status = (int)response->status;
}

static const struct call_events health_events = {
    .message = health_on_message,
    .ended = answers_on_ended,
};

static struct call *ask_health(struct story *story, const char *path,
                               const char *service, struct answers *answers)
{
    Grpc__Health__V1__HealthCheckRequest message =
        GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    const struct call_request request = {
        .path = path,
        .response = &grpc__health__v1__health_check_response__descriptor,
        .events = &health_events,
        .data = answers,
    };

    *answers = (struct answers){.status = -1};
    message.service = without_const(service);
    return channel_call_unary(story->alice.channel, &request, &message.base);
}

static void health_is_told(void **state)
{
    static const char check[] = "/grpc.health.v1.Health/Check";
    struct story *story = *state;
    struct answers answers;

    ask_health(story, check, "", &answers);
    UNTIL(story, answers.ended);
    assert_int_equal(answers.status, 1);
    ask_health(story, check, "test.Echo", &answers);
    UNTIL(story, answers.ended);
    assert_int_equal(answers.status, 1);
    server_set_serving(story->fixture.server, false);
    ask_health(story, check, "test.Echo", &answers);
    UNTIL(story, answers.ended);
    assert_int_equal(answers.status, 2);
    ask_health(story, check, "no.Such", &answers);
    UNTIL(story, answers.ended);
    assert_int_equal(answers.why.code, ERROR_NOT_FOUND);
}

static void health_is_watched(void **state)
{
    static const char path[] = "/grpc.health.v1.Health/Watch";
    struct story *story = *state;
    struct answers known;
    struct answers unknown;
    struct call *call;

    ask_health(story, path, "test.Echo", &known);
    call = ask_health(story, path, "no.Such", &unknown);
    UNTIL(story, known.count == 1 && unknown.count == 1);
    assert_int_equal(known.status, 1);
    assert_int_equal(unknown.status, 3);
    server_set_serving(story->fixture.server, false);
    server_set_serving(story->fixture.server, false);
    UNTIL(story, known.count == 2);
    assert_int_equal(known.status, 2);
    assert_int_equal(unknown.count, 1);
    call_cancel(call);
    UNTIL(story, unknown.ended);
    server_close(story->fixture.server, 5000, on_server_closed, &story->closed);
    story->fixture.server = NULL;
    UNTIL(story, known.ended && story->closed);
    assert_int_equal(known.why.code, ERROR_UNAVAILABLE);
}

#define RESPONSE(kind) \
    GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##kind

static void reflection_on_message(struct call *call,
                                  const ProtobufCMessage *message)
{
    const Grpc__Reflection__V1__ServerReflectionResponse *response =
        (const void *)message;
    struct answers *answers = call_data(call);

    answers->count++;
    switch ((int)response->message_response_case) {
    case RESPONSE(LIST_SERVICES_RESPONSE):
        answers->services = response->list_services_response->n_service;
        break;
    case RESPONSE(FILE_DESCRIPTOR_RESPONSE):
        answers->files =
            response->file_descriptor_response->n_file_descriptor_proto;
        break;
    case RESPONSE(ERROR_RESPONSE):
        answers->error_code = response->error_response->error_code;
        break;
    default:
        break;
    }
}

static const struct call_events reflection_events = {
    .message = reflection_on_message,
    .ended = answers_on_ended,
};

static void reflect(struct call *call, int kind, const char *text)
{
    Grpc__Reflection__V1__ServerReflectionRequest message =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    struct error why;

    message.message_request_case =
        (Grpc__Reflection__V1__ServerReflectionRequest__MessageRequestCase)kind;
    message.list_services = without_const(text); /* a union */
    assert_int_equal(call_send(call, &message.base, &why), 0);
}

static void reflection_answers(void **state)
{
    enum { BY_NAME = 3, BY_SYMBOL = 4, LIST = 7 };
    static const struct {
        int kind;
        const char *text;
        size_t files; /* 0: NOT_FOUND */
    } rows[] = {
        {BY_NAME, "kontor/v1/types.proto", 1},
        {BY_NAME, "kontor/v1/cluster.proto", 2},
        {BY_NAME, "cluster.proto", 0},
        {BY_SYMBOL, "kontor.v1.Cluster", 2},
        {BY_SYMBOL, "kontor.v1.Cluster.Schedule", 2},
        {BY_SYMBOL, "kontor.v1.ScheduleRequest.spec", 2},
        {BY_SYMBOL, "kontor.v1.PlacePods.Placement.pod_id", 3},
        {BY_SYMBOL, "grpc.health.v1.HealthCheckResponse.ServingStatus", 1},
        {BY_SYMBOL, "grpc.health.v1.HealthCheckResponse.SERVING", 1},
        {BY_SYMBOL, "kontor.v1.Clust", 0},
        {BY_SYMBOL, "kontor.v1.Cluster.Schedule.x", 0},
        {BY_SYMBOL, "kontor.v1", 0},
        {BY_SYMBOL, "", 0},
    };
    struct story *story = *state;
    struct answers answers = {0};
    const struct call_request request = {
        .path = "/grpc.reflection.v1alpha.ServerReflection/"
                "ServerReflectionInfo",
        .response =
            &grpc__reflection__v1__server_reflection_response__descriptor,
        .events = &reflection_events,
        .data = &answers,
    };
    struct call *call = channel_call(story->alice.channel, &request);

    reflect(call, LIST, "*");
    UNTIL(story, answers.count == 1);
    assert_int_equal(answers.services, 4);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        answers = (struct answers){0};
        reflect(call, rows[i].kind, rows[i].text);
        UNTIL(story, answers.count == 1);
        if (answers.files != rows[i].files ||
            (answers.error_code == ERROR_NOT_FOUND) != (rows[i].files == 0))
            fail_msg("%s: %zu files, error %d", rows[i].text, answers.files,
                     answers.error_code);
    }
    call_half_close(call);
    UNTIL(story, answers.ended);
    assert_int_equal(answers.why.code, 0);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(plain_text_is_closed),
        STORY(silent_handshakes_are_closed),
        STORY(connections_are_capped),
        STORY(the_wrong_server_is_refused),
        STORY(an_expired_certificate_is_refused),
        STORY(calls_wait_for_a_connection),
        STORY(a_broken_address_is_named),
        STORY(a_lost_server_is_noticed_and_found_again),
        STORY(a_drain_finishes_calls),
        STORY(a_drain_ends_after_its_grace),
        STORY(keepalive_keeps_alive),
        STORY(keepalive_finds_the_dead),
        STORY(health_is_told),
        STORY(health_is_watched),
        STORY(reflection_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
