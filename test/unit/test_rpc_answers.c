/* The client's calls without a socket: a bare HTTP/2 server, driven by hand,
 * answers as servers and what stands before them do, or should not. */
#include "base/memory.h"
#include "session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { WIRE_MAX_BYTES = 1 << 20, HEADERS_MAX = 4, NO_RESET = -1 };

struct story {
    struct session_fixture client;
    nghttp2_session *server;
    struct rpc_record record;
    const char *body; /* what is still to be sent, and how long it is */
    size_t body_length;
    bool has_trailers;
};

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *bytes,
                       size_t length, uint32_t *flags,
                       nghttp2_data_source *source, void *data)
{
    struct story *story = data;

    (void)session;
    (void)id;
    (void)source;
    assert_true(story->body_length <= length);
    length = story->body_length;
    if (length > 0)
        memcpy(bytes, story->body, length);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (story->has_trailers)
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return (ssize_t)length;
}

static int set_up(void **state)
{
    struct story *story = memory_new(sizeof *story);
    nghttp2_session_callbacks *callbacks;

    session_fixture_init_client(&story->client);
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_server_new(&story->server, callbacks, story);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(story->server, NGHTTP2_FLAG_NONE, NULL, 0);
    *state = story;
    return 0;
}

static int tear_down(void **state)
{
    struct story *story = *state;

    session_fixture_fini(&story->client);
    nghttp2_session_del(story->server);
    free(story);
    return 0;
}

/* Carry bytes both ways until nothing moves. */
static void talk(struct story *story)
{
    bool going = true;

    while (going) {
        struct buffer wire;
        struct error why;
        const uint8_t *bytes;
        ssize_t length;

        buffer_init(&wire, WIRE_MAX_BYTES);
        assert_int_equal(session_fixture_turn(&story->client, &wire, &why), 0);
        going = buffer_length(&wire) > 0;
        if (going)
            assert_true(nghttp2_session_mem_recv(story->server,
                                                 buffer_data(&wire),
                                                 buffer_length(&wire)) >= 0);
        buffer_fini(&wire);
        while ((length = nghttp2_session_mem_send(story->server, &bytes)) > 0) {
            assert_int_equal(h2_receive(story->client.session.h2, bytes,
                                        (size_t)length, &why),
                             0);
            going = true;
        }
    }
}

static int32_t begin(struct story *story)
{
    struct call *call = call_new(&story->client.turn, false);
    int32_t id;

    story->record = (struct rpc_record){0};
    call->path = "/test.Echo/Unary";
    call->incoming = &kontor__v1__logs_chunk__descriptor;
    call_listen(call, &rpc_record_events, &story->record);
    client_call_start(call, &story->client.session);
    id = call->stream.id;
    call_half_close(call);
    talk(story);
    return id;
}

/* "name: value" lines. Cuts `text` up. */
static size_t split(char *text, nghttp2_nv headers[HEADERS_MAX])
{
    size_t count = 0;

    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *colon = strstr(line, ": ");

        headers[count++] = (nghttp2_nv){
            (uint8_t *)line, (uint8_t *)colon + 2, (size_t)(colon - line),
            strlen(colon + 2), NGHTTP2_NV_FLAG_NONE};
    }
    return count;
}

#define GRPC ":status: 200\ncontent-type: application/grpc"

/* An answer; its parts are sent where they are there. */
struct answer {
    const char *rule;
    const char *headers;
    const char *body;
    size_t body_length;
    const char *trailers;
    int reset;
    enum error_code code;
    const char *message; /* a part of it */
};

static const struct answer answers[] = {
    {"a message and success", GRPC, "\0\0\0\0\3\12\1x", 8, "grpc-status: 0",
     NO_RESET, ERROR_OK, ""},
    {"a status alone", GRPC "\ngrpc-status: 5\ngrpc-message: a%20b%25%zz", NULL,
     0, NULL, NO_RESET, ERROR_NOT_FOUND, "a b%%zz"},
    {"a status beats HTTP's", ":status: 503\ngrpc-status: 7", NULL, 0, NULL,
     NO_RESET, ERROR_PERMISSION_DENIED, ""},
    {"a status that is none", GRPC "\ngrpc-status: many", NULL, 0, NULL,
     NO_RESET, ERROR_UNKNOWN, ""},
    {"headers without a status", GRPC, NULL, 0, NULL, NO_RESET, ERROR_UNKNOWN,
     "without a status"},
    {"trailers without a status", GRPC, "\0\0\0\0\0", 5, "x: y", NO_RESET,
     ERROR_UNKNOWN, "without a status"},
    {"a proxy's answer", ":status: 502\ncontent-type: text/html", "<html>", 6,
     NULL, NO_RESET, ERROR_UNAVAILABLE, "HTTP status 502"},
    {"a web server's", ":status: 404", NULL, 0, NULL, NO_RESET,
     ERROR_UNIMPLEMENTED, "HTTP status 404"},
    {"a page", ":status: 200\ncontent-type: text/html", "<html>", 6, NULL,
     NO_RESET, ERROR_UNKNOWN, "not application/grpc"},
    {"compressed", GRPC "\ngrpc-encoding: gzip", NULL, 0, NULL, NO_RESET,
     ERROR_INTERNAL, "compresses"},
    {"a cut message", GRPC, "\0\0\0\0\3\12", 6, "grpc-status: 0", NO_RESET,
     ERROR_INTERNAL, "inside a message"},
    {"a cut message and why", GRPC, "\0\0\0\0\3\12", 6,
     "grpc-status: 8\ngrpc-message: full", NO_RESET, ERROR_RESOURCE_EXHAUSTED,
     "full"},
    {"refused", NULL, NULL, 0, NULL, NGHTTP2_REFUSED_STREAM, ERROR_UNAVAILABLE,
     "reset"},
    {"calmed", NULL, NULL, 0, NULL, NGHTTP2_ENHANCE_YOUR_CALM,
     ERROR_RESOURCE_EXHAUSTED, "reset"},
    {"reset for nothing", NULL, NULL, 0, NULL, NGHTTP2_NO_ERROR, ERROR_INTERNAL,
     "reset"},
};

static void send_answer(struct story *story, int32_t id,
                        const struct answer *answer)
{
    const nghttp2_data_provider body = {.read_callback = on_read};
    nghttp2_nv headers[HEADERS_MAX];
    char text[256];

    story->body = answer->body;
    story->body_length = answer->body_length;
    story->has_trailers = answer->trailers != NULL;
    if (answer->headers) {
        snprintf(text, sizeof text, "%s", answer->headers);
        nghttp2_submit_response(story->server, id, headers,
                                split(text, headers),
                                answer->body ? &body : NULL);
    }
    if (answer->trailers) {
        talk(story);
        snprintf(text, sizeof text, "%s", answer->trailers);
        nghttp2_submit_trailer(story->server, id, headers,
                               split(text, headers));
    }
    if (answer->reset != NO_RESET)
        nghttp2_submit_rst_stream(story->server, NGHTTP2_FLAG_NONE, id,
                                  (uint32_t)answer->reset);
    talk(story);
}

/* https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md */
static void every_answer_becomes_a_status(void **state)
{
    struct story *story = *state;
    const struct rpc_record *record = &story->record;

    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        send_answer(story, begin(story), &answers[i]);
        if (record->ended_count != 1 || record->why.code != answers[i].code ||
            !strstr(record->why.message, answers[i].message))
            fail_msg("%s: ended %u times, %s: %s", answers[i].rule,
                     record->ended_count, error_name((int)record->why.code),
                     record->why.message);
    }
    assert_int_equal(story->client.session.buffered_bytes, 0);
    assert_int_equal(story->client.session.queued_bytes, 0);
}

/* What comes before the answer says nothing of it. */
static void early_hints_are_skipped(void **state)
{
    struct story *story = *state;
    int32_t id = begin(story);
    char text[] = ":status: 103\nlink: x";
    nghttp2_nv headers[HEADERS_MAX];

    nghttp2_submit_headers(story->server, NGHTTP2_FLAG_NONE, id, NULL, headers,
                           split(text, headers), NULL);
    talk(story);
    assert_int_equal(story->record.ended_count, 0);
    send_answer(story, id, &answers[0]);
    assert_int_equal(story->record.ended_count, 1);
    assert_int_equal(story->record.why.code, ERROR_OK);
    assert_int_equal(story->record.messages, 1);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(every_answer_becomes_a_status),
        STORY(early_hints_are_skipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
