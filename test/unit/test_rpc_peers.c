/* Peers that shake hands as they should and then do what they like. */
#include "base/clock.h"
#include "base/memory.h"
#include "rpc/h2.h"
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

enum { WIRE_MAX_BYTES = 1 << 20, PATIENCE_MS = 10000 };

/* nghttp2's own, for all who are linked here, so that a connection can be old
 * without a thousand million calls. */
static uint32_t next_stream_id = 1;

uint32_t nghttp2_session_get_next_stream_id(nghttp2_session *session)
{
    (void)session;
    return next_stream_id;
}

struct story {
    struct rpc_fixture fixture;
    struct tls_context *context;
    struct rpc_record record;
    unsigned connected;
    unsigned disconnected;
};

static int set_up(void **state)
{
    struct story *story = memory_new(sizeof *story);

    rpc_fixture_init(&story->fixture);
    story->context = rpc_fixture_context(&story->fixture, "alice");
    *state = story;
    return 0;
}

static int tear_down(void **state)
{
    struct story *story = *state;

    rpc_fixture_fini(&story->fixture);
    tls_context_free(story->context);
    free(story);
    return 0;
}

/* The fixture's server again, with other limits. */
static void open_server(struct story *story, const struct server_limits *limits)
{
    struct rpc_fixture *fixture = &story->fixture;
    struct error why;

    server_close(fixture->server, 0, NULL, NULL);
    if (server_open(&fixture->server, &fixture->loop, "127.0.0.1:0",
                    fixture->server_context, limits, &why) != 0)
        fail_msg("%s", why.message);
    server_add(fixture->server, &rpc_fixture_service, fixture);
}

/* ---- a client of our own ------------------------------------------------ */

struct peer {
    int fd;
    struct tls *tls;
    struct buffer plain;
    struct buffer wire;
};

static void peer_send(struct peer *peer)
{
    ssize_t length = send(peer->fd, buffer_data(&peer->wire),
                          buffer_length(&peer->wire), MSG_NOSIGNAL);

    if (length > 0)
        buffer_consume(&peer->wire, (size_t)length);
}

/* Connect and shake hands. */
static void peer_init(struct peer *peer, struct story *story)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)server_port(story->fixture.server)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    struct error why;

    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(
        connect(peer->fd, (struct sockaddr *)&address, sizeof address), 0);
    peer->tls = tls_new_client(story->context, "127.0.0.1", RPC_ROLE_MASTER);
    buffer_init(&peer->plain, WIRE_MAX_BYTES);
    buffer_init(&peer->wire, WIRE_MAX_BYTES);
    tls_receive(peer->tls, NULL, 0, &peer->plain, &peer->wire, &why);
    while (!tls_ready(peer->tls)) {
        char bytes[4096];
        ssize_t length;

        peer_send(peer);
        rpc_fixture_run_ms(&story->fixture, 1);
        length = recv(peer->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        assert_true(length > 0 || errno == EAGAIN);
        if (length > 0)
            assert_int_equal(tls_receive(peer->tls, bytes, (size_t)length,
                                         &peer->plain, &peer->wire, &why),
                             0);
    }
    peer_send(peer);
}

static void peer_fini(struct peer *peer)
{
    close(peer->fd);
    tls_free(peer->tls);
    buffer_fini(&peer->plain);
    buffer_fini(&peer->wire);
}

static void peer_say(struct peer *peer, const void *bytes, size_t length)
{
    struct error why;

    assert_int_equal(tls_send(peer->tls, bytes, length, &peer->wire, &why), 0);
    peer_send(peer);
}

static bool peer_is_closed(const struct peer *peer)
{
    char bytes[1024];
    ssize_t length = recv(peer->fd, bytes, sizeof bytes, MSG_DONTWAIT);

    return length == 0 || (length < 0 && errno != EAGAIN);
}

/* ---- stories ------------------------------------------------------------ */

/* The time to shake hands is that for HTTP/2's beginning, too. */
static void silence_after_tls_is_closed(void **state)
{
    const struct server_limits limits = {.handshake_ms = 200};
    struct story *story = *state;
    uint64_t until_ms = clock_monotonic_ms() + PATIENCE_MS / 2;
    struct peer peer;

    open_server(story, &limits);
    peer_init(&peer, story);
    while (!peer_is_closed(&peer)) {
        assert_true(clock_monotonic_ms() < until_ms);
        rpc_fixture_run_ms(&story->fixture, 1);
    }
    peer_fini(&peer);
}

/* Ask for `text` bytes of test.Echo/Flood, with windows of any size. */
static void ask_for_a_flood(struct peer *peer, const char *text)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    static const uint8_t windows[] = {
        0,    0, 6, 4, 0, 0, 0, 0, 0, 0, 4,    0x7f, 0xff, 0xff,
        0xff, 0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0x00, 0x00, 0x00};
    uint8_t request[] = {
        0,    0,    0,   1,   4,   0,   0,   0,   1,        /* HEADERS */
        0x83, 0x87,                                         /* POST, https */
        0x01, 2,    'm', '1',                               /* :authority */
        0x04, 16,   '/', 't', 'e', 's', 't', '.', 'E', 'c', /* :path */
        'h',  'o',  '/', 'F', 'l', 'o', 'o', 'd',           /* */
        0x0f, 16,   16,  'a', 'p', 'p', 'l', 'i', 'c', 'a', /* content-type */
        't',  'i',  'o', 'n', '/', 'g', 'r', 'p', 'c',
    };
    uint8_t data[64] = {0, 0, 0, 0, 1, 0, 0, 0, 1};
    uint8_t *at = data + 9;
    size_t length = strlen(text);

    request[2] = sizeof request - 9;
    at[4] = (uint8_t)(length + 2); /* the frame of gRPC */
    at[5] = 1 << 3 | 2;            /* LogsChunk.data */
    at[6] = (uint8_t)length;
    snprintf((char *)at + 7, sizeof data - 16, "%s", text);
    data[2] = (uint8_t)(length + 7);
    peer_say(peer, preface, sizeof preface - 1);
    peer_say(peer, windows, sizeof windows);
    peer_say(peer, request, sizeof request);
    peer_say(peer, data, 9 + length + 7);
}

/* A peer that talks and does not read looks alive and makes us keep what it
 * asks for. */
static void a_peer_that_never_reads_is_closed(void **state)
{
    static const uint8_t chatter[] = {0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    const struct server_limits limits = {.keepalive_ms = 100};
    struct story *story = *state;
    uint64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    struct peer peer;

    open_server(story, &limits);
    peer_init(&peer, story);
    ask_for_a_flood(&peer, "100000000");
    while (story->fixture.calls_ended == 0) {
        assert_true(clock_monotonic_ms() < until_ms);
        peer_say(&peer, chatter, sizeof chatter);
        rpc_fixture_run_ms(&story->fixture, 10);
    }
    assert_int_equal(story->fixture.last_ended.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(story->fixture.last_ended.message, "has not read"));
    peer_fini(&peer);
}

static void on_changed(void *data, bool connected, const struct error *why)
{
    struct story *story = data;

    (void)why;
    story->connected += connected;
    story->disconnected += !connected;
}

/* Numbers of streams are not used twice: before they are at their end the
 * channel makes another connection, and calls under way stay on the old. */
static void a_worn_out_connection_is_replaced(void **state)
{
    struct story *story = *state;
    struct channel *channel =
        channel_open(&story->fixture.loop,
                     &(struct channel_config){.address = story->fixture.address,
                                              .context = story->context,
                                              .role = RPC_ROLE_MASTER,
                                              .changed = on_changed,
                                              .data = story});
    struct rpc_record later = {0};
    struct error why;
    struct call *chat;
    struct call *call;

    chat = rpc_fixture_call(channel, "/test.Echo/Chat", 5000, &story->record);
    rpc_fixture_run_ms(&story->fixture, 100);
    assert_int_equal(story->connected, 1);
    next_stream_id = INT32_MAX - 1000;
    assert_int_equal(rpc_fixture_send(chat, "1", 1, &why), 0);
    rpc_fixture_run_ms(&story->fixture, 5);
    next_stream_id = 1;
    assert_int_equal(story->disconnected, 1);
    call = rpc_fixture_call(channel, "/test.Echo/Unary", 5000, &later);
    assert_int_equal(rpc_fixture_send(call, "2", 1, &why), 0);
    call_half_close(call);
    rpc_fixture_wait(&story->fixture, &later);
    assert_int_equal(later.why.code, 0);
    assert_int_equal(story->connected, 2);
    assert_int_equal(rpc_fixture_send(chat, "3", 1, &why), 0);
    call_half_close(chat);
    rpc_fixture_wait(&story->fixture, &story->record);
    assert_int_equal(story->record.why.code, 0);
    assert_int_equal(story->record.messages, 2);
    channel_close(channel, NULL, NULL);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(silence_after_tls_is_closed),
        STORY(a_peer_that_never_reads_is_closed),
        STORY(a_worn_out_connection_is_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
