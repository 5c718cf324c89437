/* call.c - rpc/call.h on virtual wires, both ends.
 *
 * As in librpc: messages are given to their user when they arrive, in the
 * poll phase; what may not run from inside a function of call.h is put off to
 * the next round (call->task): held messages, half_closed, writable, ended. */
#include "rpc/call.h"

#include "base/memory.h"
#include "rpc/arena.h"
#include "test/sim/stack/check.h"
#include "test/sim/stack/rpc.h"
#include "test/sim/stack/world.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static const struct call_events no_events;

static void on_task(struct task *task);
static void on_deadline(struct deadline *deadline);

struct call *call_new(struct process *process)
{
    struct call *call = memory_new(sizeof *call);

    call->process = process;
    call->events = &no_events;
    call->timeout_ms = UINT64_MAX;
    call->deadline.expired = on_deadline;
    list_init(&call->link);
    list_init(&call->out);
    list_init(&call->held);
    task_init(&call->task, on_task);
    return call;
}

static struct frame *first_frame(struct list *list)
{
    struct parcel *parcel = list_first(list, struct parcel, link);

    return parcel ? container_of(parcel, struct frame, parcel) : NULL;
}

static void drop_frames(struct list *list)
{
    list_for_each(link, next, list) frame_free(container_of(
        container_of(link, struct parcel, link), struct frame, parcel));
}

static void call_free(struct call *call)
{
    deadlines_remove(&call->process->timers, &call->deadline);
    list_remove(&call->task.link);
    list_remove(&call->link);
    drop_frames(&call->out);
    drop_frames(&call->held);
    free(call->message);
    if (call->channel)
        channel_release(call->channel);
    else
        server_release(call->server);
    free(call);
}

static void post(struct call *call)
{
    process_post(call->process, &call->task);
}

/* ---- out ---- */

/* A status is the server's last frame: the call has left the wire then,
 * unless the client has not ended its side. */
static void sent_last(struct call *call, const struct frame *frame)
{
    if (frame->kind == FRAME_STATUS && call->peer_final)
        call_settle(call, ERROR_OK, NULL);
}

static bool may_leave(const struct call *call, const struct frame *frame)
{
    const struct end *end = call->end;

    if (frame->length == 0)
        return true;
    return (end->flying_bytes == 0 ||
            end->flying_bytes + frame->length <= SOCKET_BYTES) &&
           call->unread_bytes < CALL_WINDOW_BYTES;
}

static void call_pump(struct call *call)
{
    struct frame *frame;

    while (call->end && (frame = first_frame(&call->out)) &&
           may_leave(call, frame)) {
        struct frame copy = {.kind = frame->kind};

        list_remove(&frame->parcel.link);
        call->out_bytes -= frame->length;
        call->unread_bytes += frame->length;
        frame->stream = call->stream; /* it may have waited for a wire */
        end_send(call->end, frame);
        sent_last(call, &copy);
    }
    if (!call->was_high || call->out_bytes >= CALL_QUEUE_HIGH_BYTES)
        return;
    call->was_high = false;
    call->writable_due = true;
    post(call);
}

/* One after the other gets a chance to be the first. */
void calls_pump(struct end *end)
{
    struct list *first = end->calls.next;

    if (list_empty(&end->calls))
        return;
    list_for_each(link, next, &end->calls)
        call_pump(container_of(link, struct call, link));
    if (list_empty(&end->calls) || end->calls.next != first)
        return;
    list_remove(first);
    list_append(&end->calls, first);
}

static void push(struct call *call, struct frame *frame)
{
    list_append(&call->out, &frame->parcel.link);
    call->out_bytes += frame->length;
    if (call->out_bytes >= CALL_QUEUE_HIGH_BYTES)
        call->was_high = true;
    if (call->end)
        call_pump(call);
}

static void send_now(struct call *call, enum frame_kind kind,
                     enum error_code code, const char *message)
{
    struct frame *frame = frame_new(kind, call->stream, 0);

    frame->code = code;
    frame->text = message ? memory_string(message) : NULL;
    end_send(call->end, frame);
}

void call_start(struct call *call, struct end *end)
{
    struct frame *frame = frame_new(FRAME_OPEN, ++end->next_stream, 0);

    call->end = end;
    call->stream = end->next_stream;
    list_append(&end->calls, &call->link);
    frame->text = memory_string(call->path);
    frame->timeout_ms = call_remaining_ms(call);
    frame->behalf_given = call->behalf_given;
    frame->behalf = call->peer;
    end_send(end, frame);
    call_pump(call);
}

int call_send(struct call *call, const ProtobufCMessage *message,
              struct error *why)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    struct frame *frame;

    if (call->settled || call->finished || call->final)
        return 0;
    if (length > CALL_MESSAGE_MAX_BYTES ||
        call->out_bytes + length > CALL_QUEUE_MAX_BYTES)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "%zu bytes, %zu wait already", length,
                         call->out_bytes);
    frame = frame_new(FRAME_MESSAGE, call->stream, length);
    protobuf_c_message_pack(message, frame->bytes);
    call->begun = true;
    check_sent(call->process, message);
    push(call, frame);
    return 0;
}

size_t call_queued_bytes(const struct call *call)
{
    return call->settled ? 0 : call->out_bytes;
}

void call_half_close(struct call *call)
{
    if (call->final || call->settled)
        return;
    call->final = true;
    push(call, frame_new(FRAME_HALF_CLOSE, call->stream, 0));
}

/* ---- the end ---- */

void call_settle(struct call *call, enum error_code code, const char *message)
{
    struct end *end = call->end;

    if (call->settled)
        return;
    call->settled = true;
    if (call->server)
        call->abandoned = true;
    call->code = code;
    free(call->message);
    call->message = message && message[0] ? memory_string(message) : NULL;
    call->end = NULL;
    list_remove(&call->link);
    if (!call->paused)
        deadlines_remove(&call->process->timers, &call->deadline);
    post(call);
    if (end && end->server)
        server_calls_ended(end);
}

void call_break(struct call *call, const struct error *why)
{
    if (call->settled)
        return;
    call->abandoned = true;
    if (call->end && call->server && !call->begun)
        send_now(call, FRAME_STATUS, why->code, why->message);
    else if (call->end)
        send_now(call, FRAME_RESET, ERROR_CANCELLED, "the call was reset");
    call_settle(call, why->code, why->message);
}

void calls_lose(struct end *end, const struct error *why)
{
    while (!list_empty(&end->calls)) {
        struct call *call = list_first(&end->calls, struct call, link);

        call->abandoned = true;
        call_settle(call, why->code, why->message);
    }
}

static void on_deadline(struct deadline *deadline)
{
    struct call *call = container_of(deadline, struct call, deadline);
    struct error why;

    if (call->settled) {
        call->abandoned = true;
        post(call);
        return;
    }
    if (call->server || call->end)
        error_set(&why, ERROR_DEADLINE_EXCEEDED, "%s took too long",
                  call->path);
    else
        error_set(&why, ERROR_UNAVAILABLE, "no connection: %s",
                  call->channel->trouble.message);
    call_break(call, &why);
}

void call_cancel(struct call *call)
{
    struct error why;

    error_set(&why, ERROR_CANCELLED, "%s was cancelled here", call->path);
    call->abandoned = true;
    if (call->settled)
        post(call);
    else
        call_break(call, &why);
}

void call_finish(struct call *call, const struct error *why)
{
    struct frame *frame;

    assert(call->server);
    if (call->settled || call->finished)
        return;
    call->finished = true;
    frame = frame_new(FRAME_STATUS, call->stream, 0);
    frame->code = why->code;
    frame->text = why->code ? memory_string(why->message) : NULL;
    call->final = true;
    push(call, frame);
}

void call_reply(struct call *call, const ProtobufCMessage *message)
{
    struct error why;

    if (call_send(call, message, &why) == 0)
        error_clear(&why);
    call_finish(call, &why);
}

void call_fail(struct call *call, enum error_code code, const char *format, ...)
{
    struct error why = {.code = code};
    va_list args;

    va_start(args, format);
    vsnprintf(why.message, sizeof why.message, format, args);
    va_end(args);
    call_finish(call, &why);
}

/* ---- in ---- */

static void refuse(struct call *call, enum error_code code, const char *text)
{
    struct error why;

    error_set(&why, code, "%s: %s", call->path, text);
    call_break(call, &why);
}

static void give_request(struct call *call, const ProtobufCMessage *message)
{
    const struct method *method = call->method->method;

    if (method->client_streams) {
        if (call->events->message)
            call->events->message(call, message);
    } else if (call->request_seen) {
        refuse(call, ERROR_UNIMPLEMENTED, "a second request came");
    } else {
        call->request_seen = true;
        method->handle(call, message);
    }
}

static bool takes_messages(const struct call *call)
{
    return !call->abandoned && !call->finished &&
           !(call->server && call->settled);
}

static void take_message(struct call *call, const struct frame *frame)
{
    struct arena arena;
    const ProtobufCMessage *message;

    if (!takes_messages(call))
        return;
    arena_init(&arena);
    message = arena_unpack(&arena, call->incoming, frame->bytes, frame->length);
    if (!message)
        refuse(call, ERROR_INTERNAL, "the bytes are no such message");
    else if (call->server)
        give_request(call, message);
    else if (call->events->message)
        call->events->message(call, message);
    arena_fini(&arena);
}

/* The peer may send as much again. */
static void consumed(struct call *call, size_t length)
{
    struct frame *frame;

    call->taken_bytes += length;
    if (!call->end || call->taken_bytes < CALL_WINDOW_BYTES / 2)
        return;
    frame = frame_new(FRAME_WINDOW, call->stream, 0);
    frame->timeout_ms = call->taken_bytes;
    call->taken_bytes = 0;
    end_send(call->end, frame);
}

static void take_half_close(struct call *call)
{
    call->peer_final = true;
    if (call->finished) {
        if (list_empty(&call->out))
            call_settle(call, ERROR_OK, NULL);
    } else if (!call->settled && !call->method->method->client_streams &&
               !call->request_seen) {
        refuse(call, ERROR_UNIMPLEMENTED, "no request came");
    } else if (!call->settled && call->events->half_closed) {
        call->events->half_closed(call);
    }
}

/* What came in order. Takes the frame. */
static void take_frame(struct call *call, struct frame *frame)
{
    if (frame->kind == FRAME_MESSAGE) {
        take_message(call, frame);
        consumed(call, frame->length);
    } else if (frame->kind == FRAME_HALF_CLOSE) {
        take_half_close(call);
    } else { /* a status */
        if (call->end && !call->final)
            send_now(call, FRAME_RESET, ERROR_CANCELLED, NULL);
        call_settle(call, frame->code, frame->text);
    }
    frame_free(frame);
}

static void take_held(struct call *call)
{
    struct frame *frame;

    while ((!call->paused || call->abandoned) &&
           (frame = first_frame(&call->held))) {
        list_remove(&frame->parcel.link);
        take_frame(call, frame);
    }
}

static void on_task(struct task *task)
{
    struct call *call = container_of(task, struct call, task);
    struct error why = {.code = call->code};

    take_held(call);
    if (call->writable_due && !call->settled) {
        call->writable_due = false;
        if (call->events->writable)
            call->events->writable(call);
    }
    if (!call->settled)
        return;
    if (call->paused && !list_empty(&call->held) && !call->abandoned)
        return; /* call_resume() posts again */
    why.code = call->code;
    if (call->message)
        snprintf(why.message, sizeof why.message, "%s", call->message);
    if (call->events->ended)
        call->events->ended(call, &why);
    call_free(call);
}

static struct call *find(const struct end *end, uint32_t stream)
{
    list_for_each(link, next, &end->calls)
    {
        struct call *call = container_of(link, struct call, link);

        if (call->stream == stream)
            return call;
    }
    return NULL;
}

/* What keeps a call from its method; NULL: nothing. */
static const char *objection(const struct call *call, bool forged)
{
    if (forged)
        return "only a master may call on behalf of another";
    if (!(call->method->method->roles & call->peer.role))
        return "this role may not";
    return NULL;
}

static void open_call(struct end *end, const struct frame *frame)
{
    struct call *call = call_new(end->process);
    const struct rpc_identity *caller = &end->peer->process->tls.identity;
    bool forged = frame->behalf_given && caller->role != RPC_ROLE_MASTER;
    const char *text;

    call->server = end->server;
    call->server->users++;
    call->end = end;
    call->stream = frame->stream;
    list_append(&end->calls, &call->link);
    call->method = registry_find(&end->server->registry, frame->text);
    assert(call->method);
    call->path = call->method->path;
    call->incoming = call->method->method->request;
    call->peer = frame->behalf_given ? frame->behalf : *caller;
    call->timeout_ms = frame->timeout_ms;
    text = objection(call, forged);
    if (text) {
        refuse(call, ERROR_PERMISSION_DENIED, text);
        return;
    }
    if (call->timeout_ms != UINT64_MAX)
        process_set_deadline(call->process, &call->deadline,
                             call->process->time_ms + call->timeout_ms);
    if (call->method->method->client_streams)
        call->method->method->open(call);
}

void call_frame(struct end *end, struct frame *frame)
{
    struct call *call;

    if (frame->kind == FRAME_OPEN) {
        open_call(end, frame);
        frame_free(frame);
        return;
    }
    call = find(end, frame->stream);
    if (!call) {
        frame_free(frame);
    } else if (frame->kind == FRAME_RESET) {
        if (call->finished)
            call_settle(call, ERROR_OK, NULL);
        else
            call_settle(call, ERROR_CANCELLED, frame->text);
        frame_free(frame);
    } else if (frame->kind == FRAME_WINDOW) {
        call->unread_bytes -= frame->timeout_ms;
        frame_free(frame);
        call_pump(call);
    } else if (call->paused || !list_empty(&call->held)) {
        list_append(&call->held, &frame->parcel.link);
    } else {
        take_frame(call, frame);
    }
}

/* ---- what its user asks ---- */

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

void call_pause(struct call *call)
{
    call->paused = true;
}

void call_resume(struct call *call)
{
    call->paused = false;
    if (!list_empty(&call->held) || call->settled)
        post(call);
}

uint64_t call_remaining_ms(const struct call *call)
{
    uint64_t now_ms = call->process->time_ms;

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
    return call->method->data;
}
