/* The server's calls without a socket: a bare HTTP/2 client, driven by hand,
 * says what stock clients do not, and the bytes come split anywhere. */
#include "base/memory.h"
#include "session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { WIRE_MAX_BYTES = 64 << 20 };

/* What the client saw of its one call. */
struct seen {
    char http_status[8];
    char grpc_status[8];
    char message[128];
    char accept_encoding[16];
    unsigned headers_frames;
    size_t data_bytes;
    bool ended;
    bool closed;
    uint32_t reset;
    unsigned goaways;
    int32_t goaway_after; /* the last GOAWAY's last stream */
};

struct story {
    struct session_fixture server;
    nghttp2_session *client;
    struct seen seen;
    struct buffer request; /* the body that is still to be sent */
    bool request_ends;
    struct error why; /* the server's verdict on the connection */
};

/* ---- the client --------------------------------------------------------- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
                     const uint8_t *name, size_t name_length,
                     const uint8_t *value, size_t value_length, uint8_t flags,
                     void *data)
{
    struct seen *seen = &((struct story *)data)->seen;
    const char *text = (const char *)value;

    (void)session;
    (void)frame;
    (void)name_length;
    (void)value_length;
    (void)flags;
    if (strcmp((const char *)name, ":status") == 0)
        snprintf(seen->http_status, sizeof seen->http_status, "%s", text);
    if (strcmp((const char *)name, "grpc-status") == 0)
        snprintf(seen->grpc_status, sizeof seen->grpc_status, "%s", text);
    if (strcmp((const char *)name, "grpc-message") == 0)
        snprintf(seen->message, sizeof seen->message, "%s", text);
    if (strcmp((const char *)name, "grpc-accept-encoding") == 0)
        snprintf(seen->accept_encoding, sizeof seen->accept_encoding, "%s",
                 text);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame,
                    void *data)
{
    struct seen *seen = &((struct story *)data)->seen;

    (void)session;
    if (frame->hd.type == NGHTTP2_HEADERS)
        seen->headers_frames++;
    if (frame->hd.type == NGHTTP2_HEADERS &&
        frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        seen->ended = true;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        seen->goaways++;
        seen->goaway_after = frame->goaway.last_stream_id;
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id,
                   const uint8_t *bytes, size_t length, void *data)
{
    (void)session;
    (void)flags;
    (void)id;
    (void)bytes;
    ((struct story *)data)->seen.data_bytes += length;
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error,
                    void *data)
{
    struct seen *seen = &((struct story *)data)->seen;

    (void)session;
    (void)id;
    seen->closed = true;
    seen->reset = error;
    return 0;
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *bytes,
                       size_t length, uint32_t *flags,
                       nghttp2_data_source *source, void *data)
{
    struct story *story = data;
    size_t left = buffer_length(&story->request);

    (void)session;
    (void)id;
    (void)source;
    if (left < length)
        length = left;
    if (length > 0)
        memcpy(bytes, buffer_data(&story->request), length);
    buffer_consume(&story->request, length);
    if (buffer_length(&story->request) == 0 && story->request_ends)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (length == 0)
        return NGHTTP2_ERR_DEFERRED;
    return (ssize_t)length;
}

static nghttp2_session *new_client(struct story *story)
{
    nghttp2_session_callbacks *to;
    nghttp2_session *client;

    nghttp2_session_callbacks_new(&to);
    nghttp2_session_callbacks_set_on_header_callback(to, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(to, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(to, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(to, on_close);
    nghttp2_session_client_new(&client, to, story);
    nghttp2_session_callbacks_del(to);
    nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, NULL, 0);
    return client;
}

/* ---- the two together --------------------------------------------------- */

static int set_up(void **state)
{
    struct story *story = memory_new(sizeof *story);

    session_fixture_init_server(&story->server);
    buffer_init(&story->request, WIRE_MAX_BYTES);
    story->request_ends = true;
    story->client = new_client(story);
    *state = story;
    return 0;
}

static int tear_down(void **state)
{
    struct story *story = *state;

    session_fixture_fini(&story->server);
    nghttp2_session_del(story->client);
    buffer_fini(&story->request);
    free(story);
    return 0;
}

static void deliver(struct story *story, const uint8_t *bytes, size_t length,
                    size_t piece)
{
    while (length > 0 && story->why.code == 0) {
        size_t now = length < piece ? length : piece;

        h2_receive(story->server.session.h2, bytes, now, &story->why);
        bytes += now;
        length -= now;
    }
}

/* Carry bytes both ways, in pieces, until nothing moves. */
static void talk(struct story *story, size_t piece)
{
    bool going = true;

    while (going && story->why.code == 0) {
        struct buffer wire;
        const uint8_t *bytes;
        ssize_t length;

        going = false;
        while ((length = nghttp2_session_mem_send(story->client, &bytes)) > 0) {
            deliver(story, bytes, (size_t)length, piece);
            going = true;
        }
        buffer_init(&wire, WIRE_MAX_BYTES);
        session_fixture_turn(&story->server, &wire, &story->why);
        for (size_t at = 0; at < buffer_length(&wire); at += piece) {
            size_t left = buffer_length(&wire) - at;

            assert_true(
                nghttp2_session_mem_recv(story->client, buffer_data(&wire) + at,
                                         left < piece ? left : piece) >= 0);
            going = true;
        }
        buffer_fini(&wire);
    }
}

static void add_message(struct story *story, const void *bytes, size_t length)
{
    Kontor__V1__LogsChunk chunk = KONTOR__V1__LOGS_CHUNK__INIT;
    struct error why;

    chunk.data.data = without_const(bytes);
    chunk.data.len = length;
    assert_int_equal(
        frame_write(&story->request, &chunk.base, WIRE_MAX_BYTES, &why), 0);
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){without_const(name), without_const(value), strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

/* Headers beside the usual ones, or in their place. */
struct ask {
    const char *path;
    const char *method;       /* NULL: POST */
    const char *content_type; /* NULL: application/grpc */
    const char *extra_name;
    const char *extra_value;
};

static int32_t ask(struct story *story, const struct ask *ask)
{
    const nghttp2_data_provider body = {.read_callback = on_read};
    nghttp2_nv headers[6] = {
        header(":method", ask->method ? ask->method : "POST"),
        header(":scheme", "https"),
        header(":path", ask->path),
        header(":authority", "m1"),
        header("content-type",
               ask->content_type ? ask->content_type : "application/grpc"),
    };
    size_t count = 5;

    if (ask->extra_name)
        headers[count++] = header(ask->extra_name, ask->extra_value);
    return nghttp2_submit_request(story->client, NULL, headers, count, &body,
                                  story);
}

/* ---- stories ------------------------------------------------------------ */

static void a_call_in_any_split(void **state)
{
    static const size_t pieces[] = {1, 2, 3, 9, 100, WIRE_MAX_BYTES};
    struct story *story = *state;

    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        story->seen = (struct seen){0};
        add_message(story, "hello", 5);
        ask(story, &(struct ask){.path = "/test.Echo/Unary"});
        talk(story, pieces[i]);
        assert_string_equal(story->seen.http_status, "200");
        assert_string_equal(story->seen.grpc_status, "0");
        assert_int_equal(story->seen.data_bytes, FRAME_HEADER_BYTES + 7);
        assert_int_equal(story->seen.headers_frames, 2);
        assert_true(story->seen.closed);
        assert_int_equal(story->server.service.calls_ended, i + 1);
    }
}

static const struct {
    const char *rule;
    struct ask ask;
    const char *http;
    const char *grpc;
} refusals[] = {
    {"no gRPC",
     {"/test.Echo/Unary", NULL, "application/json", NULL, NULL},
     "415",
     "13"},
    {"nearly gRPC",
     {"/test.Echo/Unary", NULL, "application/grpc-web", NULL, NULL},
     "415",
     "13"},
    {"another codec",
     {"/test.Echo/Unary", NULL, "application/grpc+json", NULL, NULL},
     "415",
     "13"},
    {"GET", {"/test.Echo/Unary", "GET", NULL, NULL, NULL}, "405", "13"},
    {"no method", {"/test.Echo/Nothing", NULL, NULL, NULL, NULL}, "200", "12"},
    {"no service", {"/Nothing", NULL, NULL, NULL, NULL}, "200", "12"},
    {"compressed",
     {"/test.Echo/Unary", NULL, NULL, "grpc-encoding", "gzip"},
     "200",
     "12"},
    {"broken deadline",
     {"/test.Echo/Unary", NULL, NULL, "grpc-timeout", "soon"},
     "200",
     "3"},
    {"deadline over",
     {"/test.Echo/Unary", NULL, NULL, "grpc-timeout", "0n"},
     "200",
     "4"},
    {"not the role",
     {"/test.Echo/Masters", NULL, NULL, NULL, NULL},
     "200",
     "7"},
    {"in a master's name",
     {"/test.Echo/Unary", NULL, NULL, "kontor-on-behalf-of", "master/m1"},
     "200",
     "7"},
};

/* An immediate error is one HEADERS frame with everything in it. */
static void refusals_are_one_frame(void **state)
{
    struct story *story = *state;

    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        story->seen = (struct seen){0};
        add_message(story, "hello", 5);
        ask(story, &refusals[i].ask);
        talk(story, WIRE_MAX_BYTES);
        if (strcmp(story->seen.http_status, refusals[i].http) != 0 ||
            strcmp(story->seen.grpc_status, refusals[i].grpc) != 0 ||
            story->seen.headers_frames != 1 || !story->seen.closed)
            fail_msg("%s: HTTP %s, gRPC %s, %u frames", refusals[i].rule,
                     story->seen.http_status, story->seen.grpc_status,
                     story->seen.headers_frames);
        if (strcmp(refusals[i].rule, "compressed") == 0)
            assert_string_equal(story->seen.accept_encoding, "identity");
        buffer_consume(&story->request, buffer_length(&story->request));
    }
    assert_int_equal(story->server.service.calls_ended, 0);
}

static void accepted_content_types(void **state)
{
    static const char *const types[] = {
        "application/grpc",
        "application/grpc+proto",
        "application/grpc;charset=utf-8",
        "Application/gRPC",
    };
    struct story *story = *state;

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        story->seen = (struct seen){0};
        add_message(story, "hello", 5);
        ask(story, &(struct ask){.path = "/test.Echo/Unary",
                                 .content_type = types[i]});
        talk(story, WIRE_MAX_BYTES);
        assert_string_equal(story->seen.grpc_status, "0");
    }
}

static void a_master_speaks_for_a_person(void **state)
{
    struct story *story = *state;

    story->server.session.peer = (struct rpc_identity){RPC_ROLE_MASTER, "m2"};
    add_message(story, "hello", 5);
    ask(story, &(struct ask){.path = "/test.Echo/Unary",
                             .extra_name = "kontor-on-behalf-of",
                             .extra_value = "viewer/bob"});
    talk(story, WIRE_MAX_BYTES);
    assert_string_equal(story->seen.grpc_status, "0");
    assert_int_equal(story->server.service.last_peer.role, RPC_ROLE_VIEWER);
    assert_string_equal(story->server.service.last_peer.name, "bob");

    add_message(story, "hello", 5);
    ask(story, &(struct ask){.path = "/test.Echo/Masters",
                             .extra_name = "kontor-on-behalf-of",
                             .extra_value = "viewer/bob"});
    talk(story, WIRE_MAX_BYTES);
    assert_string_equal(story->seen.grpc_status, "7");
}

/* A name that no header may hold must not leave the master's own rights:
 * nghttp2 resets the stream and does not skip the header. */
static void a_broken_header_is_not_skipped(void **state)
{
    static const char *const persons[] = {"viewer/bob ", "viewer/b\x01b"};
    struct story *story = *state;

    story->server.session.peer = (struct rpc_identity){RPC_ROLE_MASTER, "m2"};
    for (size_t i = 0; i < ARRAY_LEN(persons); i++) {
        story->seen = (struct seen){0};
        add_message(story, "hello", 5);
        ask(story, &(struct ask){.path = "/test.Echo/Masters",
                                 .extra_name = "kontor-on-behalf-of",
                                 .extra_value = persons[i]});
        talk(story, WIRE_MAX_BYTES);
        assert_string_equal(story->seen.grpc_status, "");
        assert_true(story->seen.closed && story->seen.reset != 0);
        assert_int_equal(story->why.code, 0);
        buffer_consume(&story->request, buffer_length(&story->request));
    }
}

/* What a stream may contain, for a method that takes one message. */
static void broken_bodies_get_a_status(void **state)
{
    static const struct {
        const char *rule;
        const char *bytes;
        size_t length;
        const char *grpc;
    } bodies[] = {
        {"none", "", 0, "12"},
        {"inside a header", "\0\0\0", 3, "13"},
        {"inside a message", "\0\0\0\0\5ab", 7, "13"},
        {"compressed", "\1\0\0\0\1a", 6, "13"},
        {"no protobuf", "\0\0\0\0\3\377\377\377", 8, "13"},
        {"too large", "\0\0\100\0\1", 5, "8"},
    };
    struct story *story = *state;
    struct error why;

    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        story->seen = (struct seen){0};
        buffer_append(&story->request, bodies[i].bytes, bodies[i].length, &why);
        ask(story, &(struct ask){.path = "/test.Echo/Unary"});
        talk(story, 1);
        if (strcmp(story->seen.grpc_status, bodies[i].grpc) != 0 ||
            story->seen.headers_frames != 1)
            fail_msg("%s: %s %s", bodies[i].rule, story->seen.grpc_status,
                     story->seen.message);
    }
}

/* Once an answer has begun a reset must say what it can. */
static void broken_streams_are_reset_with_a_reason(void **state)
{
    static const struct {
        const char *bytes;
        uint32_t reset;
    } rows[] = {
        {"\1\0\0\0\1", NGHTTP2_INTERNAL_ERROR},
        {"\0\0\100\0\1", NGHTTP2_ENHANCE_YOUR_CALM},
    };
    struct story *story = *state;
    struct error why;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        story->seen = (struct seen){0};
        add_message(story, "one", 3);
        buffer_append(&story->request, rows[i].bytes, FRAME_HEADER_BYTES, &why);
        ask(story, &(struct ask){.path = "/test.Echo/Chat"});
        talk(story, WIRE_MAX_BYTES);
        assert_true(story->seen.closed);
        assert_int_equal(story->seen.reset, rows[i].reset);
    }
}

/* The second message is too much, whenever it comes. */
static void one_request_is_enough(void **state)
{
    struct story *story = *state;

    add_message(story, "one", 3);
    add_message(story, "two", 3);
    ask(story, &(struct ask){.path = "/test.Echo/Hang"});
    talk(story, WIRE_MAX_BYTES);
    assert_string_equal(story->seen.grpc_status, "12");
    assert_int_equal(story->server.service.calls_ended, 1);
}

/* A client that keeps talking is told to stop. */
static void an_early_answer_stops_the_client(void **state)
{
    struct story *story = *state;

    story->request_ends = false;
    add_message(story, "no such method", 14);
    ask(story, &(struct ask){.path = "/test.Echo/Nothing"});
    talk(story, WIRE_MAX_BYTES);
    assert_true(story->seen.closed);
    assert_int_equal(story->seen.reset, NGHTTP2_NO_ERROR);
}

static void a_reset_cancels_the_work(void **state)
{
    struct story *story = *state;
    int32_t id;

    add_message(story, "wait", 4);
    id = ask(story, &(struct ask){.path = "/test.Echo/Hang"});
    talk(story, WIRE_MAX_BYTES);
    assert_int_equal(story->server.service.calls_ended, 0);
    nghttp2_submit_rst_stream(story->client, NGHTTP2_FLAG_NONE, id,
                              NGHTTP2_CANCEL);
    talk(story, WIRE_MAX_BYTES);
    assert_int_equal(story->server.service.calls_ended, 1);
    assert_int_equal(story->server.service.last_ended.code, ERROR_CANCELLED);
}

/* The server keeps the deadline itself, whatever the client does. */
static void a_deadline_cancels_the_work(void **state)
{
    struct story *story = *state;

    add_message(story, "wait", 4);
    ask(story, &(struct ask){.path = "/test.Echo/Hang",
                             .extra_name = "grpc-timeout",
                             .extra_value = "20m"});
    talk(story, WIRE_MAX_BYTES);
    assert_int_equal(story->server.service.calls_ended, 0);
    while (story->server.service.calls_ended == 0)
        uv_run(&story->server.loop, UV_RUN_ONCE);
    assert_int_equal(story->server.service.last_ended.code,
                     ERROR_DEADLINE_EXCEEDED);
    talk(story, WIRE_MAX_BYTES);
    assert_string_equal(story->seen.grpc_status, "4");
    assert_int_equal(story->seen.headers_frames, 1);
}

/* The first GOAWAY refuses nothing yet; the second names the last call. */
static void two_goaways(void **state)
{
    static const uint8_t second[] = {
        0, 0, 8, NGHTTP2_GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0};
    struct story *story = *state;
    struct buffer wire;

    h2_shutdown_notice(story->server.session.h2);
    add_message(story, "crossing", 8);
    ask(story, &(struct ask){.path = "/test.Echo/Unary"});
    talk(story, WIRE_MAX_BYTES);
    assert_int_equal(story->seen.goaways, 1);
    assert_int_equal(story->seen.goaway_after, INT32_MAX);
    assert_string_equal(story->seen.grpc_status, "0");
    /* A client without calls reads no further, so read it ourselves. */
    h2_shutdown(story->server.session.h2);
    buffer_init(&wire, WIRE_MAX_BYTES);
    session_fixture_turn(&story->server, &wire, &story->why);
    assert_int_equal(buffer_length(&wire), sizeof second);
    assert_memory_equal(buffer_data(&wire), second, sizeof second);
    buffer_fini(&wire);
    assert_true(h2_done(story->server.session.h2));
}

static void large_headers_are_refused(void **state)
{
    struct story *story = *state;
    static char text[20000];

    memset(text, 'x', sizeof text - 1);
    add_message(story, "hello", 5);
    ask(story, &(struct ask){.path = "/test.Echo/Unary",
                             .extra_name = "weight",
                             .extra_value = text});
    talk(story, WIRE_MAX_BYTES);
    assert_string_equal(story->seen.grpc_status, "8");
    assert_int_equal(story->why.code, 0);
}

static void set_window(struct story *story, uint32_t bytes)
{
    const nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
                                           bytes};

    nghttp2_submit_settings(story->client, NGHTTP2_FLAG_NONE, &window, 1);
}

/* A client that asks for much and reads nothing costs a bound, however many
 * calls it spreads that over. */
static void unread_answers_are_bounded(void **state)
{
    enum { ANSWER_BYTES = 3 << 20, CALLS = 40 };
    struct story *story = *state;
    const struct session *session = &story->server.session;
    uint8_t *answer = memory_new(ANSWER_BYTES);

    set_window(story, 0);
    for (unsigned i = 0; i < CALLS; i++) {
        add_message(story, answer, ANSWER_BYTES);
        ask(story, &(struct ask){.path = "/test.Echo/Unary"});
        talk(story, WIRE_MAX_BYTES);
        assert_true(session->queued_bytes <=
                    SESSION_QUEUED_MAX_BYTES + CALL_MESSAGE_MAX_BYTES);
        assert_int_equal(session->buffered_bytes, 0); /* all was delivered */
    }
    assert_string_equal(story->seen.grpc_status, "8");
    set_window(story, H2_STREAM_WINDOW_BYTES);
    talk(story, WIRE_MAX_BYTES);
    assert_string_equal(story->seen.grpc_status, "0");
    assert_int_equal(session->queued_bytes, 0);
    assert_int_equal(story->server.service.calls_ended, CALLS);
    free(answer);
}

/* Rapid Reset (CVE-2023-44487): requests that are taken back at once. */
static void rapid_reset_ends_the_connection(void **state)
{
    struct story *story = *state;
    unsigned requests = 0;

    while (story->why.code == 0 && !h2_done(story->server.session.h2) &&
           requests < 3 * H2_RESETS_BURST) {
        int32_t id = ask(story, &(struct ask){.path = "/test.Echo/Chat"});

        if (id < 0)
            break; /* GOAWAY came */
        requests++;
        talk(story, WIRE_MAX_BYTES);
        nghttp2_submit_rst_stream(story->client, NGHTTP2_FLAG_NONE, id,
                                  NGHTTP2_CANCEL);
        talk(story, WIRE_MAX_BYTES);
    }
    assert_in_range(requests, H2_RESETS_BURST, 2 * H2_RESETS_BURST);
}

/* PINGs whose answers nobody fetches do not pile up. */
static void a_flood_of_pings_ends_the_connection(void **state)
{
    static const uint8_t ping[17] = {0, 0, 8, NGHTTP2_PING};
    struct story *story = *state;

    talk(story, WIRE_MAX_BYTES);
    for (unsigned i = 0; i < 2 * H2_ACKS_QUEUED_MAX && !story->why.code; i++)
        h2_receive(story->server.session.h2, ping, sizeof ping, &story->why);
    assert_int_equal(story->why.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(story->why.message, "HTTP/2"));
}

/* CONTINUATIONs without end (CVE-2024-28182). */
static void endless_headers_end_the_connection(void **state)
{
    static const uint8_t headers[] = {0, 0, 1,   NGHTTP2_HEADERS, 0, 0, 0,
                                      0, 1, 0x82};
    static const uint8_t more[] = {0, 0, 1,   NGHTTP2_CONTINUATION, 0, 0, 0,
                                   0, 1, 0x84};
    struct story *story = *state;

    talk(story, WIRE_MAX_BYTES);
    deliver(story, headers, sizeof headers, WIRE_MAX_BYTES);
    for (unsigned i = 0; i < 100 && !h2_done(story->server.session.h2); i++) {
        struct buffer out;

        deliver(story, more, sizeof more, WIRE_MAX_BYTES);
        buffer_init(&out, WIRE_MAX_BYTES);
        h2_send(story->server.session.h2, &out, WIRE_MAX_BYTES, &story->why);
        buffer_fini(&out);
        if (story->why.code)
            return;
    }
    assert_true(h2_done(story->server.session.h2));
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(a_call_in_any_split),
        STORY(refusals_are_one_frame),
        STORY(accepted_content_types),
        STORY(a_master_speaks_for_a_person),
        STORY(a_broken_header_is_not_skipped),
        STORY(broken_bodies_get_a_status),
        STORY(broken_streams_are_reset_with_a_reason),
        STORY(one_request_is_enough),
        STORY(an_early_answer_stops_the_client),
        STORY(a_reset_cancels_the_work),
        STORY(a_deadline_cancels_the_work),
        STORY(two_goaways),
        STORY(large_headers_are_refused),
        STORY(unread_answers_are_bounded),
        STORY(rapid_reset_ends_the_connection),
        STORY(a_flood_of_pings_ends_the_connection),
        STORY(endless_headers_end_the_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
