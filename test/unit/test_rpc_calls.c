/* Server and channel over a loopback socket: calls of every kind and every
 * way in which they end. */
#include "base/memory.h"
#include "rpc/call_core.h"
#include "rpc_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct story {
    struct rpc_fixture fixture;
    struct tls_context *context;
    struct channel *channel;
    struct rpc_record record;
    struct error why;
};

static int set_up(void **state)
{
    struct story *story = memory_new(sizeof *story);
    struct channel_config config = {.role = RPC_ROLE_MASTER};

    rpc_fixture_init(&story->fixture);
    story->context = rpc_fixture_context(&story->fixture, "alice");
    config.address = story->fixture.address;
    config.context = story->context;
    story->channel = channel_open(&story->fixture.loop, &config);
    *state = story;
    return 0;
}

static int tear_down(void **state)
{
    struct story *story = *state;

    if (story->channel)
        channel_close(story->channel, NULL, NULL);
    rpc_fixture_fini(&story->fixture);
    tls_context_free(story->context);
    free(story);
    return 0;
}

static struct call *begin(struct story *story, const char *path)
{
    return rpc_fixture_call(story->channel, path, 0, &story->record);
}

static void send_text(struct story *story, struct call *call, const char *text)
{
    assert_int_equal(rpc_fixture_send(call, text, strlen(text), &story->why),
                     0);
}

static void wait_for(struct story *story)
{
    rpc_fixture_wait(&story->fixture, &story->record);
    assert_int_equal(story->record.ended_count, 1);
}

static void unary(void **state)
{
    struct story *story = *state;
    struct call *call = begin(story, "/test.Echo/Unary");

    send_text(story, call, "hello");
    call_half_close(call);
    wait_for(story);
    assert_int_equal(story->record.why.code, 0);
    assert_string_equal(story->record.last, "hello");
    assert_int_equal(story->record.messages, 1);
    assert_string_equal(story->fixture.last_peer.name, "alice");
    assert_int_equal(story->fixture.last_peer.role, RPC_ROLE_ADMIN);
}

static void server_streams(void **state)
{
    struct story *story = *state;
    struct call *call = begin(story, "/test.Echo/Count");

    send_text(story, call, "1000");
    call_half_close(call);
    wait_for(story);
    assert_int_equal(story->record.why.code, 0);
    assert_int_equal(story->record.messages, 1000);
    assert_string_equal(story->record.last, "1000");
}

/* A stream that is empty has a status nevertheless. */
static void server_streams_nothing(void **state)
{
    struct story *story = *state;
    struct call *call = begin(story, "/test.Echo/Count");

    send_text(story, call, "0");
    call_half_close(call);
    wait_for(story);
    assert_int_equal(story->record.why.code, 0);
    assert_int_equal(story->record.messages, 0);
}

static void client_streams(void **state)
{
    static const char zeros[100000];
    struct story *story = *state;
    struct call *call = begin(story, "/test.Echo/Sum");

    for (unsigned i = 0; i < 60; i++)
        assert_int_equal(
            rpc_fixture_send(call, zeros, sizeof zeros, &story->why), 0);
    call_half_close(call);
    wait_for(story);
    assert_int_equal(story->record.why.code, 0);
    assert_string_equal(story->record.last, "6000000");
}

static void both_stream(void **state)
{
    struct story *story = *state;
    struct call *call = begin(story, "/test.Echo/Chat");

    send_text(story, call, "one");
    while (story->record.messages < 1)
        uv_run(&story->fixture.loop, UV_RUN_ONCE);
    assert_string_equal(story->record.last, "one");
    send_text(story, call, "two");
    while (story->record.messages < 2)
        uv_run(&story->fixture.loop, UV_RUN_ONCE);
    assert_false(story->record.ended);
    call_half_close(call);
    wait_for(story);
    assert_int_equal(story->record.why.code, 0);
}

static void a_status_crosses_the_wire(void **state)
{
    struct story *story = *state;
    struct call *call = begin(story, "/test.Echo/Fail");

    send_text(story, call, "100% gr\xc3\xbc\xc3\x9f\n");
    call_half_close(call);
    wait_for(story);
    assert_int_equal(story->record.why.code, ERROR_INVALID_ARGUMENT);
    assert_string_equal(story->record.why.message, "100% gr\xc3\xbc\xc3\x9f\n");
}

static void refused(void **state)
{
    static const struct {
        const char *path;
        enum error_code code;
    } rows[] = {
        {"/test.Echo/Nothing", ERROR_UNIMPLEMENTED},
        {"/nothing", ERROR_UNIMPLEMENTED},
        {"/test.Echo/Masters", ERROR_PERMISSION_DENIED},
    };
    struct story *story = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call *call;

        story->record = (struct rpc_record){0};
        call = begin(story, rows[i].path);
        send_text(story, call, "hello");
        call_half_close(call);
        wait_for(story);
        assert_int_equal(story->record.why.code, rows[i].code);
    }
}

/* Both sides learn of it, and the server's work is cancelled. */
static void a_deadline_ends_both_sides(void **state)
{
    struct story *story = *state;
    struct call *call = rpc_fixture_call(story->channel, "/test.Echo/Hang", 150,
                                         &story->record);

    send_text(story, call, "wait");
    call_half_close(call);
    assert_in_range(call_remaining_ms(call), 100, 150);
    wait_for(story);
    assert_int_equal(story->record.why.code, ERROR_DEADLINE_EXCEEDED);
    while (story->fixture.calls_ended == 0)
        uv_run(&story->fixture.loop, UV_RUN_ONCE);
    assert_true(story->fixture.last_ended.code == ERROR_DEADLINE_EXCEEDED ||
                story->fixture.last_ended.code == ERROR_CANCELLED);
}

static void cancelled(void **state)
{
    struct story *story = *state;
    struct call *call = begin(story, "/test.Echo/Chat");

    send_text(story, call, "hello");
    while (story->record.messages < 1)
        uv_run(&story->fixture.loop, UV_RUN_ONCE);
    call_cancel(call);
    assert_false(story->record.ended); /* never from inside */
    wait_for(story);
    assert_int_equal(story->record.why.code, ERROR_CANCELLED);
    while (story->fixture.calls_ended == 0)
        uv_run(&story->fixture.loop, UV_RUN_ONCE);
    assert_int_equal(story->fixture.last_ended.code, ERROR_CANCELLED);
}

static void cancelled_before_it_left(void **state)
{
    struct story *story = *state;
    struct call *call = begin(story, "/test.Echo/Hang");

    call_cancel(call);
    wait_for(story);
    assert_int_equal(story->record.why.code, ERROR_CANCELLED);
    assert_int_equal(story->fixture.calls_ended, 0);
}

static void too_large_to_send(void **state)
{
    struct story *story = *state;
    struct call *call = begin(story, "/test.Echo/Sum");
    char *large = memory_new(CALL_MESSAGE_MAX_BYTES);

    assert_int_equal(
        rpc_fixture_send(call, large, CALL_MESSAGE_MAX_BYTES, &story->why),
        ERROR_RESOURCE_EXHAUSTED);
    assert_int_equal(call_queued_bytes(call), 0);
    /* As much as there is room for, then no more. */
    assert_int_equal(rpc_fixture_send(call, large, 4000000, &story->why), 0);
    assert_int_equal(rpc_fixture_send(call, large, 4000000, &story->why), 0);
    assert_int_equal(rpc_fixture_send(call, large, 4000000, &story->why),
                     ERROR_RESOURCE_EXHAUSTED);
    call_half_close(call);
    wait_for(story);
    assert_string_equal(story->record.last, "8000000");
    assert_true(story->record.writable >= 1);
    free(large);
}

/* A server that floods a reader who has paused holds no more than its own
 * queue, and the reader no more than one window. */
static void a_slow_reader_costs_a_bound(void **state)
{
    struct story *story = *state;
    struct call *call = begin(story, "/test.Echo/Flood");

    story->record.pause_after = 1;
    send_text(story, call, "20000000");
    call_half_close(call);
    rpc_fixture_run_ms(&story->fixture, 300);
    assert_int_equal(story->record.messages, 1);
    assert_true(buffer_length(&call->held) <= H2_STREAM_WINDOW_BYTES);
    assert_true(buffer_length(&call->held) > H2_STREAM_WINDOW_BYTES / 2);
    assert_true(story->fixture.flood_queued_max_bytes <
                2 * CALL_QUEUE_HIGH_BYTES);
    assert_int_equal(story->fixture.calls_ended, 0);

    call_resume(call);
    wait_for(story);
    assert_int_equal(story->record.why.code, 0);
    assert_int_equal(story->record.bytes, 20000000);
}

/* While one call is paused the others on its connection go on. */
static void a_paused_call_stops_no_other(void **state)
{
    struct story *story = *state;
    struct rpc_record paused[6] = {0};
    struct call *calls[ARRAY_LEN(paused)];
    struct call *call;

    for (size_t i = 0; i < ARRAY_LEN(paused); i++) {
        paused[i].pause_after = 1;
        calls[i] =
            rpc_fixture_call(story->channel, "/test.Echo/Flood", 0, &paused[i]);
        send_text(story, calls[i], "20000000");
        call_half_close(calls[i]);
    }
    rpc_fixture_run_ms(&story->fixture, 200);
    call = begin(story, "/test.Echo/Unary");
    send_text(story, call, "me too");
    call_half_close(call);
    wait_for(story);
    assert_int_equal(story->record.why.code, 0);
    for (size_t i = 0; i < ARRAY_LEN(paused); i++) {
        call_cancel(calls[i]);
        rpc_fixture_wait(&story->fixture, &paused[i]);
        assert_int_equal(paused[i].why.code, ERROR_CANCELLED);
        assert_int_equal(paused[i].messages, 1);
    }
}

/* All messages come before `ended`, even when the status came long ago. */
static void the_end_waits_for_the_messages(void **state)
{
    struct story *story = *state;
    struct call *call = begin(story, "/test.Echo/Count");

    story->record.pause_after = 3;
    send_text(story, call, "10");
    call_half_close(call);
    while (story->fixture.calls_ended + story->record.messages < 3)
        uv_run(&story->fixture.loop, UV_RUN_ONCE);
    rpc_fixture_run_ms(&story->fixture, 50);
    assert_int_equal(story->record.messages, 3);
    assert_false(story->record.ended);
    call_resume(call);
    wait_for(story);
    assert_int_equal(story->record.why.code, 0);
    assert_int_equal(story->record.messages, 10);
}

static void many_at_once(void **state)
{
    enum { CALLS = 3000 }; /* more than streams may be open */
    struct story *story = *state;
    struct rpc_record *records = memory_array(CALLS, sizeof *records);

    for (size_t i = 0; i < CALLS; i++) {
        struct call *call = rpc_fixture_call(story->channel, "/test.Echo/Unary",
                                             0, &records[i]);
        char text[16];

        snprintf(text, sizeof text, "%zu", i);
        send_text(story, call, text);
        call_half_close(call);
    }
    for (size_t i = 0; i < CALLS; i++) {
        char text[16];

        rpc_fixture_wait(&story->fixture, &records[i]);
        snprintf(text, sizeof text, "%zu", i);
        assert_int_equal(records[i].why.code, 0);
        assert_string_equal(records[i].last, text);
    }
    free(records);
}

/* A master may say for whom it asks; others may not. */
static void on_behalf(void **state)
{
    static const struct rpc_identity bob = {RPC_ROLE_VIEWER, "bob"};
    struct story *story = *state;
    struct channel_config config = {
        .address = story->fixture.address,
        .context = story->fixture.server_context,
        .role = RPC_ROLE_MASTER,
    };
    struct channel *master = channel_open(&story->fixture.loop, &config);
    Kontor__V1__LogsChunk chunk = KONTOR__V1__LOGS_CHUNK__INIT;
    struct call_request request = {
        .path = "/test.Echo/Unary",
        .response = &kontor__v1__logs_chunk__descriptor,
        .on_behalf_of = &bob,
        .events = &rpc_record_events,
        .data = &story->record,
    };

    channel_call_unary(master, &request, &chunk.base);
    wait_for(story);
    assert_int_equal(story->record.why.code, 0);
    assert_string_equal(story->fixture.last_peer.name, "bob");
    assert_int_equal(story->fixture.last_peer.role, RPC_ROLE_VIEWER);
    story->record = (struct rpc_record){0};
    channel_call_unary(story->channel, &request, &chunk.base);
    wait_for(story);
    assert_int_equal(story->record.why.code, ERROR_PERMISSION_DENIED);
    channel_close(master, NULL, NULL);
}

/* Closing ends what is under way, and calls made later as well. */
static void closing_cancels(void **state)
{
    struct story *story = *state;
    struct rpc_record late = {0};
    struct call *call = begin(story, "/test.Echo/Hang");

    send_text(story, call, "wait");
    rpc_fixture_run_ms(&story->fixture, 50);
    channel_close(story->channel, NULL, NULL);
    assert_false(story->record.ended);
    rpc_fixture_call(story->channel, "/test.Echo/Unary", 0, &late);
    story->channel = NULL;
    wait_for(story);
    assert_int_equal(story->record.why.code, ERROR_CANCELLED);
    assert_true(late.ended);
    assert_int_equal(late.why.code, ERROR_CANCELLED);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        STORY(unary),
        STORY(server_streams),
        STORY(server_streams_nothing),
        STORY(client_streams),
        STORY(both_stream),
        STORY(a_status_crosses_the_wire),
        STORY(refused),
        STORY(a_deadline_ends_both_sides),
        STORY(cancelled),
        STORY(cancelled_before_it_left),
        STORY(too_large_to_send),
        STORY(a_slow_reader_costs_a_bound),
        STORY(a_paused_call_stops_no_other),
        STORY(the_end_waits_for_the_messages),
        STORY(many_at_once),
        STORY(on_behalf),
        STORY(closing_cancels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
