#include "rpc_fixture.h"

#include "base/clock.h"
#include "base/memory.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

typedef Kontor__V1__LogsChunk chunk_message;

enum { FLOOD_MESSAGE_BYTES = 64 << 10, PATIENCE_MS = 10000 };

/* No cmocka here: the fuzzers use this file, too. */
static void demand(bool good, const struct error *why)
{
    if (good)
        return;
    fprintf(stderr, "rpc_fixture: %s\n", why->message);
    abort();
}

static struct rpc_fixture *fixture_of(const struct call *call)
{
    return call_service_data(call);
}

static void chunk_of(chunk_message *chunk, const void *bytes, size_t length)
{
    kontor__v1__logs_chunk__init(chunk);
    chunk->data.data = without_const(bytes);
    chunk->data.len = length;
}

/* The payload as a number. */
static unsigned long number_of(const ProtobufCMessage *message)
{
    const chunk_message *chunk = (const void *)message;
    char text[32] = "";

    if (chunk->data.len < sizeof text)
        memcpy(text, chunk->data.data, chunk->data.len);
    return strtoul(text, NULL, 10);
}

static void note_ended(struct call *call, const struct error *why)
{
    struct rpc_fixture *fixture = fixture_of(call);

    fixture->calls_ended++;
    fixture->last_ended = *why;
}

static const struct call_events note_events = {.ended = note_ended};

static void unary(struct call *call, const ProtobufCMessage *request)
{
    call_listen(call, &note_events, NULL);
    fixture_of(call)->last_peer = *call_peer(call);
    call_reply(call, request);
}

static void count(struct call *call, const ProtobufCMessage *request)
{
    static const struct error success;
    unsigned long n = number_of(request);

    for (unsigned long i = 1; i <= n; i++) {
        char text[32];
        chunk_message chunk;
        struct error why;

        chunk_of(&chunk, text, (size_t)snprintf(text, sizeof text, "%lu", i));
        demand(call_send(call, &chunk.base, &why) == 0, &why);
    }
    call_finish(call, &success);
}

static void hang(struct call *call, const ProtobufCMessage *request)
{
    (void)request;
    fixture_of(call)->calls_hanging++;
    call_listen(call, &note_events, NULL);
}

static void refuse(struct call *call, const ProtobufCMessage *request)
{
    const chunk_message *chunk = (const void *)request;

    call_fail(call, ERROR_INVALID_ARGUMENT, "%.*s", (int)chunk->data.len,
              (const char *)chunk->data.data);
}

struct sum {
    size_t bytes;
};

static void sum_on_message(struct call *call, const ProtobufCMessage *message)
{
    const chunk_message *chunk = (const void *)message;
    struct sum *sum = call_data(call);

    sum->bytes += chunk->data.len;
}

static void sum_on_half_closed(struct call *call)
{
    const struct sum *sum = call_data(call);
    char text[32];
    chunk_message chunk;

    chunk_of(&chunk, text,
             (size_t)snprintf(text, sizeof text, "%zu", sum->bytes));
    call_reply(call, &chunk.base);
}

static void sum_on_ended(struct call *call, const struct error *why)
{
    note_ended(call, why);
    free(call_data(call));
}

static const struct call_events sum_events = {
    .message = sum_on_message,
    .half_closed = sum_on_half_closed,
    .ended = sum_on_ended,
};

static void sum_open(struct call *call)
{
    call_listen(call, &sum_events, memory_new(sizeof(struct sum)));
}

static void chat_on_message(struct call *call, const ProtobufCMessage *message)
{
    struct error why;

    if (call_send(call, message, &why) != 0)
        call_finish(call, &why);
}

static void chat_on_half_closed(struct call *call)
{
    static const struct error success;

    call_finish(call, &success);
}

static const struct call_events chat_events = {
    .message = chat_on_message,
    .half_closed = chat_on_half_closed,
    .ended = note_ended,
};

static void chat_open(struct call *call)
{
    call_listen(call, &chat_events, NULL);
}

struct flood {
    unsigned long left_bytes;
};

static void flood_on_writable(struct call *call)
{
    static const uint8_t zeros[FLOOD_MESSAGE_BYTES];
    static const struct error success;
    struct rpc_fixture *fixture = fixture_of(call);
    struct flood *flood = call_data(call);

    while (flood->left_bytes > 0 &&
           call_queued_bytes(call) < CALL_QUEUE_HIGH_BYTES) {
        size_t length =
            flood->left_bytes < sizeof zeros ? flood->left_bytes : sizeof zeros;
        chunk_message chunk;
        struct error why;

        chunk_of(&chunk, zeros, length);
        demand(call_send(call, &chunk.base, &why) == 0, &why);
        flood->left_bytes -= length;
        if (call_queued_bytes(call) > fixture->flood_queued_max_bytes)
            fixture->flood_queued_max_bytes = call_queued_bytes(call);
    }
    if (flood->left_bytes == 0)
        call_finish(call, &success);
}

static void flood_on_ended(struct call *call, const struct error *why)
{
    note_ended(call, why);
    free(call_data(call));
}

static const struct call_events flood_events = {
    .writable = flood_on_writable,
    .ended = flood_on_ended,
};

static void flood(struct call *call, const ProtobufCMessage *request)
{
    struct flood *state = memory_new(sizeof *state);

    state->left_bytes = number_of(request);
    call_listen(call, &flood_events, state);
    flood_on_writable(call);
}

enum { EVERYBODY = ~0 };

#define ECHO_METHOD(text, who)                                    \
    .name = text, .request = &kontor__v1__logs_chunk__descriptor, \
    .response = &kontor__v1__logs_chunk__descriptor, .roles = (unsigned)(who)

static const struct method methods[] = {
    {ECHO_METHOD("Unary", EVERYBODY), .handle = unary},
    {ECHO_METHOD("Count", EVERYBODY), .server_streams = true, .handle = count},
    {ECHO_METHOD("Sum", EVERYBODY), .client_streams = true, .open = sum_open},
    {ECHO_METHOD("Chat", EVERYBODY), .client_streams = true,
     .server_streams = true, .open = chat_open},
    {ECHO_METHOD("Hang", EVERYBODY), .handle = hang},
    {ECHO_METHOD("Flood", EVERYBODY), .server_streams = true, .handle = flood},
    {ECHO_METHOD("Fail", EVERYBODY), .handle = refuse},
    {ECHO_METHOD("Masters", RPC_ROLE_MASTER), .handle = unary},
};

const struct service rpc_fixture_service = {
    .name = "test.Echo",
    .methods = methods,
    .method_count = ARRAY_LEN(methods),
};

void rpc_fixture_init(struct rpc_fixture *fixture)
{
    struct error why;

    *fixture = (struct rpc_fixture){0};
    uv_loop_init(&fixture->loop);
    pki_fixture_init(&fixture->pki);
    pki_fixture_issue(&fixture->pki, "m1", "master");
    pki_fixture_issue(&fixture->pki, "n1", "node");
    pki_fixture_issue(&fixture->pki, "alice", "admin");
    pki_fixture_issue(&fixture->pki, "bob", "viewer");
    fixture->server_context = rpc_fixture_context(fixture, "m1");
    if (server_open(&fixture->server, &fixture->loop, "127.0.0.1:0",
                    fixture->server_context, NULL, &why) != 0)
        demand(false, &why);
    server_add(fixture->server, &rpc_fixture_service, fixture);
    snprintf(fixture->address, sizeof fixture->address, "127.0.0.1:%u",
             server_port(fixture->server));
}

void rpc_fixture_fini(struct rpc_fixture *fixture)
{
    if (fixture->server)
        server_close(fixture->server, 0, NULL, NULL);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&fixture->loop) != 0)
        abort(); /* a handle was left open */
    tls_context_free(fixture->server_context);
    pki_fixture_fini(&fixture->pki);
}

struct tls_context *rpc_fixture_context(struct rpc_fixture *fixture,
                                        const char *name)
{
    struct tls_context *context;
    struct error why;

    if (tls_context_new(&context, fixture->pki.folder, name, &why) != 0)
        demand(false, &why);
    return context;
}

static void record_on_message(struct call *call,
                              const ProtobufCMessage *message)
{
    const chunk_message *chunk = (const void *)message;
    struct rpc_record *record = call_data(call);
    size_t length = chunk->data.len < sizeof record->last
                        ? chunk->data.len
                        : sizeof record->last - 1;

    assert(!record->ended);
    record->messages++;
    record->bytes += chunk->data.len;
    if (length > 0)
        memcpy(record->last, chunk->data.data, length);
    record->last[length] = '\0';
    if (record->messages == record->pause_after)
        call_pause(call);
}

static void record_on_writable(struct call *call)
{
    struct rpc_record *record = call_data(call);

    record->writable++;
}

static void record_on_ended(struct call *call, const struct error *why)
{
    struct rpc_record *record = call_data(call);

    record->ended = true;
    record->ended_count++;
    record->why = *why;
}

const struct call_events rpc_record_events = {
    .message = record_on_message,
    .writable = record_on_writable,
    .ended = record_on_ended,
};

struct call *rpc_fixture_call(struct channel *channel, const char *path,
                              uint64_t timeout_ms, struct rpc_record *record)
{
    const struct call_request request = {
        .path = path,
        .response = &kontor__v1__logs_chunk__descriptor,
        .timeout_ms = timeout_ms,
        .events = &rpc_record_events,
        .data = record,
    };

    return channel_call(channel, &request);
}

int rpc_fixture_send(struct call *call, const void *bytes, size_t length,
                     struct error *why)
{
    chunk_message chunk;

    chunk_of(&chunk, bytes, length);
    return call_send(call, &chunk.base, why);
}

static void on_patience_over(uv_timer_t *timer)
{
    bool *over = timer->data;

    *over = true;
}

static void on_timer_closed(uv_handle_t *handle)
{
    bool *closed = handle->data;

    *closed = true;
}

static bool run_until(struct rpc_fixture *fixture, const bool *done,
                      uint64_t ms)
{
    bool over = false;
    bool closed = false;
    uv_timer_t timer;

    uv_timer_init(&fixture->loop, &timer);
    timer.data = &over;
    uv_timer_start(&timer, on_patience_over, ms, 0);
    while (!over && !(done && *done))
        uv_run(&fixture->loop, UV_RUN_ONCE);
    timer.data = &closed;
    uv_close((uv_handle_t *)&timer, on_timer_closed);
    while (!closed)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    return !over;
}

void rpc_fixture_wait(struct rpc_fixture *fixture,
                      const struct rpc_record *record)
{
    static const struct error late = {ERROR_DEADLINE_EXCEEDED,
                                      "a call did not end"};

    demand(run_until(fixture, &record->ended, PATIENCE_MS), &late);
}

void rpc_fixture_run_ms(struct rpc_fixture *fixture, uint64_t ms)
{
    run_until(fixture, NULL, ms);
}
