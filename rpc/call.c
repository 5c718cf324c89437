/* What both ends of a call share.
 *
 * Incoming bytes: h2 -> call_on_data() -> frames -> messages. While the user
 * has paused they are held, and the peer's window is not opened, so at most a
 * window of them comes. Events that must not run from inside a function of
 * call.h are left to the call's task.
 *
 * Order of events, kept by call_run(): held messages, half_closed, writable,
 * ended. */
#include "rpc/call_core.h"

#include "base/memory.h"
#include "rpc/arena.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct call_events no_events;

static void call_run(struct task *task);
static void on_deadline(struct deadline *deadline);

struct call *call_new(struct turn *turn, bool is_server)
{
    struct call *call = memory_new(sizeof *call);

    h2_stream_init(&call->stream,
                   (size_t)CALL_QUEUE_MAX_BYTES + FRAME_HEADER_BYTES);
    frame_reader_init(&call->reader, CALL_MESSAGE_MAX_BYTES);
    buffer_init(&call->held, 2 * (size_t)H2_STREAM_WINDOW_BYTES);
    list_init(&call->link);
    task_init(&call->task, call_run);
    call->deadline.expired = on_deadline;
    call->events = &no_events;
    call->turn = turn;
    call->is_server = is_server;
    call->timeout_ms = UINT64_MAX;
    turn_use(turn);
    return call;
}

static void call_free(struct call *call)
{
    turn_clear_deadline(call->turn, &call->deadline);
    list_remove(&call->task.link);
    list_remove(&call->link);
    h2_stream_fini(&call->stream);
    frame_reader_fini(&call->reader);
    buffer_fini(&call->held);
    free(call->message);
    turn_release(call->turn);
    free(call);
}

/* Keep count of what a connection's calls have queued. */
static void count_queued(struct call *call)
{
    size_t bytes = buffer_length(&call->stream.out);

    if (!call->session)
        return;
    call->session->queued_bytes += bytes;
    call->session->queued_bytes -= call->queued_bytes;
    call->queued_bytes = bytes;
}

void call_attach(struct call *call, struct session *session)
{
    call->session = session;
    list_append(&session->calls, &call->link);
    count_queued(call);
}

static bool has_held(const struct call *call)
{
    return buffer_length(&call->held) > 0;
}

void call_settle(struct call *call, enum error_code code, const char *message)
{
    if (call->settled)
        return;
    call->settled = true;
    if (call->is_server)
        call->abandoned = true;
    call->code = code;
    free(call->message);
    call->message = message && message[0] ? memory_string(message) : NULL;
    if (call->stream.h2)
        h2_stream_detach(&call->stream);
    if (call->session) {
        call->session->buffered_bytes -= call->charged_bytes;
        call->session->queued_bytes -= call->queued_bytes;
    }
    call->session = NULL;
    list_remove(&call->link);
    if (!call->paused)
        turn_clear_deadline(call->turn, &call->deadline);
    turn_post(call->turn, &call->task);
}

void call_break(struct call *call, const struct error *why)
{
    if (call->settled)
        return;
    call->abandoned = true;
    if (call->is_server)
        server_call_break(call, why);
    else if (call->stream.h2)
        h2_stream_reset(&call->stream, NGHTTP2_CANCEL);
    call_settle(call, why->code, why->message);
}

static void on_deadline(struct deadline *deadline)
{
    struct call *call = container_of(deadline, struct call, deadline);
    struct error why;

    if (call->settled) { /* paused, with messages that nobody fetched */
        call->abandoned = true;
        turn_post(call->turn, &call->task);
        return;
    }
    if (call->is_server || call->session)
        error_set(&why, ERROR_DEADLINE_EXCEEDED, "%s took more than %llu ms",
                  call->path, (unsigned long long)call->timeout_ms);
    else
        error_set(&why, ERROR_UNAVAILABLE, "no connection within %llu ms: %s",
                  (unsigned long long)call->timeout_ms,
                  call->trouble->code ? call->trouble->message
                                      : "still connecting");
    call_break(call, &why);
}

/* Keep count of what a connection's calls hold in memory. */
static void charge(struct call *call)
{
    size_t bytes =
        buffer_length(&call->held) + frame_reader_kept(&call->reader);
    struct session *session = call->session;
    struct error why;

    if (!session)
        return;
    session->buffered_bytes += bytes;
    session->buffered_bytes -= call->charged_bytes;
    call->charged_bytes = bytes;
    if (session->buffered_bytes <= SESSION_BUFFERED_MAX_BYTES)
        return;
    error_set(&why, ERROR_RESOURCE_EXHAUSTED,
              "messages in transit on this connection exceed %d bytes",
              SESSION_BUFFERED_MAX_BYTES);
    call_break(call, &why);
}

static void deliver(struct call *call, const struct frame_bytes *frame)
{
    struct arena arena;
    const ProtobufCMessage *message;
    struct error why;

    arena_init(&arena);
    message = arena_unpack(&arena, call->incoming, frame->bytes, frame->length);
    if (!message) {
        error_set(&why, ERROR_INTERNAL, "%zu bytes are no %s", frame->length,
                  call->incoming->name);
        call_break(call, &why);
    } else if (call->is_server) {
        server_call_message(call, message);
    } else if (call->events->message) {
        call->events->message(call, message);
    }
    arena_fini(&arena);
}

/* Are messages still wanted? */
static bool takes_messages(const struct call *call)
{
    return !call->abandoned && !call->finished &&
           !(call->is_server && call->settled);
}

/* Deliver the messages in `bytes` until they end or the user pauses. */
static void feed(struct call *call, struct frame_bytes *bytes)
{
    struct frame_bytes frame;
    struct error why;

    while (!call->paused && takes_messages(call)) {
        if (frame_read(&call->reader, bytes, &frame, &why)) {
            deliver(call, &frame);
            frame_reader_drop(&call->reader);
            continue;
        }
        if (why.code)
            call_break(call, &why);
        return;
    }
}

static void consumed(struct call *call, size_t length)
{
    if (call->stream.h2 && length > 0)
        h2_consumed_stream(&call->stream, length);
}

void call_on_data(struct h2_stream *stream, const uint8_t *bytes, size_t length)
{
    struct call *call = call_of(stream);
    struct frame_bytes left = {bytes, length};
    struct error why;

    /* One paused call must not stop the others on its connection. */
    h2_consumed_connection(stream->h2, length);
    if (!has_held(call))
        feed(call, &left);
    if (!takes_messages(call))
        left.length = 0;
    consumed(call, length - left.length);
    if (buffer_append(&call->held, left.bytes, left.length, &why) != 0)
        call_break(call, &why);
    charge(call);
}

static void deliver_end(struct call *call)
{
    struct error why;

    call->end_waits = false;
    if (call->settled && call->is_server)
        return;
    if (frame_reader_partial(&call->reader) && takes_messages(call) &&
        call->code == ERROR_OK) {
        error_set(&why, ERROR_INTERNAL, "the peer ended inside a message");
        call_break(call, &why);
    } else if (call->is_server && !call->finished) {
        server_call_end(call);
    }
}

void call_on_end(struct h2_stream *stream)
{
    struct call *call = call_of(stream);

    if (has_held(call) || call->paused)
        call->end_waits = true;
    else
        deliver_end(call);
    if (!call->is_server)
        client_call_end(call);
}

void call_on_sent(struct h2_stream *stream)
{
    struct call *call = call_of(stream);

    count_queued(call);
    if (!call->was_high || buffer_length(&stream->out) >= CALL_QUEUE_HIGH_BYTES)
        return;
    call->was_high = false;
    call->writable_due = true;
    turn_post(call->turn, &call->task);
}

void call_on_settings(void *data)
{
    struct session *session = data;

    session->ready(session);
}

void call_on_goaway(void *data)
{
    struct session *session = data;

    session->goaway(session);
}

void call_on_pong(void *data)
{
    struct session *session = data;

    session->pong(session);
}

void call_on_wake(void *data)
{
    struct session *session = data;

    session->wake(session);
}

static void feed_held(struct call *call)
{
    struct frame_bytes left = {buffer_data(&call->held),
                               buffer_length(&call->held)};
    size_t before = left.length;

    feed(call, &left);
    if (!takes_messages(call))
        left.length = 0;
    buffer_consume(&call->held, before - left.length);
    buffer_rest(&call->held);
    consumed(call, before - left.length);
    charge(call);
}

/* The call's task: what was put off, in the order in which it happened. */
static void call_run(struct task *task)
{
    struct call *call = container_of(task, struct call, task);
    struct error why = {.code = call->code};

    if (has_held(call) && (!call->paused || call->abandoned))
        feed_held(call);
    if (call->end_waits && !has_held(call) && !call->paused)
        deliver_end(call);
    if (call->writable_due && !call->settled) {
        call->writable_due = false;
        if (call->events->writable)
            call->events->writable(call);
    }
    if (!call->settled)
        return;
    if (call->paused && (has_held(call) || call->end_waits) && !call->abandoned)
        return; /* call_resume() posts again */
    if (call->message)
        snprintf(why.message, sizeof why.message, "%s", call->message);
    why.code = call->code;
    if (call->events->ended)
        call->events->ended(call, &why);
    call_free(call);
}

void call_listen(struct call *call, const struct call_events *events,
                 void *data)
{
    call->events = events;
    call->data = data;
}

void *call_data(const struct call *call)
{
    return call->data;
}

/* The response's headers, once, before its first message. */
static void begin_response(struct call *call)
{
    const nghttp2_nv headers[] = {
        H2_HEADER(":status", "200", 3),
        H2_HEADER("content-type", "application/grpc", 16),
    };

    if (call->is_server && !call->stream.begun)
        h2_stream_respond(&call->stream, headers, ARRAY_LEN(headers), false);
    else if (call->stream.h2)
        h2_stream_wake(&call->stream);
}

int call_send(struct call *call, const ProtobufCMessage *message,
              struct error *why)
{
    if (call->settled || call->finished || call->stream.final)
        return 0;
    if (call->session && call->session->queued_bytes > SESSION_QUEUED_MAX_BYTES)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "more than %d bytes wait for the peer to read",
                         SESSION_QUEUED_MAX_BYTES);
    if (frame_write(&call->stream.out, message, CALL_MESSAGE_MAX_BYTES, why) !=
        0)
        return (int)why->code;
    count_queued(call);
    if (buffer_length(&call->stream.out) >= CALL_QUEUE_HIGH_BYTES)
        call->was_high = true;
    begin_response(call);
    return 0;
}

size_t call_queued_bytes(const struct call *call)
{
    return call->settled ? 0 : buffer_length(&call->stream.out);
}

void call_pause(struct call *call)
{
    call->paused = true;
}

void call_resume(struct call *call)
{
    call->paused = false;
    if (has_held(call) || call->end_waits || call->settled)
        turn_post(call->turn, &call->task);
}

void call_half_close(struct call *call)
{
    assert(!call->is_server);
    call->stream.final = true;
    if (call->stream.h2)
        h2_stream_wake(&call->stream);
}

void call_cancel(struct call *call)
{
    struct error why;

    assert(!call->is_server);
    error_set(&why, ERROR_CANCELLED, "%s was cancelled here", call->path);
    call->abandoned = true;
    if (call->settled)
        turn_post(call->turn, &call->task);
    else
        call_break(call, &why);
}

uint64_t call_remaining_ms(const struct call *call)
{
    uint64_t now_ms = turn_now_ms(call->turn);

    if (call->timeout_ms == UINT64_MAX)
        return UINT64_MAX;
    return call->deadline.at_ms > now_ms ? call->deadline.at_ms - now_ms : 0;
}

const struct rpc_identity *call_peer(const struct call *call)
{
    return &call->peer;
}

const char *call_path(const struct call *call)
{
    return call->path;
}

void *call_service_data(const struct call *call)
{
    return call->method ? call->method->data : NULL;
}
