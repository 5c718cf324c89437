/* channel.c - rpc/channel.h on virtual wires: connects at once, again after
 * 20 ms doubling to 1 s, gives an attempt up after 3 s. */
#include "test/sim/stack/rpc.h"

#include "base/memory.h"
#include "test/sim/stack/world.h"

#include <assert.h>
#include <string.h>

enum {
    BACKOFF_FIRST_MS = 20,
    BACKOFF_MAX_MS = 1000,
    CONNECT_MS = 3000,
};

static void report(struct channel *channel, bool connected,
                   const struct error *why)
{
    channel->connected = connected;
    channel->trouble = *why;
    if (channel->changed && !channel->closing)
        channel->changed(channel->data, connected, &channel->trouble);
}

static void wait_and_retry(struct channel *channel)
{
    struct process *process = channel->process;
    uint64_t step_ms = channel->backoff_ms;
    uint64_t wait_ms =
        step_ms / 2 + random_below(&process->random, step_ms / 2 + 1);

    channel->backoff_ms =
        step_ms * 2 < BACKOFF_MAX_MS ? step_ms * 2 : BACKOFF_MAX_MS;
    process_set_deadline(process, &channel->timer, process->time_ms + wait_ms);
}

/* The connection, or the attempt at one, is over. */
static void lose(struct channel *channel, struct end *end,
                 const struct error *why)
{
    calls_lose(end, why);
    end_close(end);
    if (end != channel->current)
        return;
    channel->current = NULL;
    if (channel->closing)
        return;
    wait_and_retry(channel);
    report(channel, false, why);
}

static void on_ready(struct channel *channel, struct end *end)
{
    static const struct error fine;

    if (end != channel->current)
        return;
    end->state = END_OPEN;
    channel->backoff_ms = BACKOFF_FIRST_MS;
    deadlines_remove(&channel->process->timers, &channel->timer);
    list_for_each(link, next, &channel->waiting)
    {
        struct call *call = container_of(link, struct call, link);

        list_remove(&call->link);
        call_start(call, end);
    }
    report(channel, true, &fine);
}

static void on_goaway(struct channel *channel, struct end *end)
{
    static const struct error draining = {ERROR_UNAVAILABLE,
                                          "the server is shutting down"};

    end->draining = true;
    if (end != channel->current)
        return;
    channel->current = NULL;
    wait_and_retry(channel);
    report(channel, false, &draining);
}

void channel_frame(struct channel *channel, struct end *end,
                   const struct frame *frame)
{
    struct error why;

    if (frame->kind == FRAME_READY) {
        on_ready(channel, end);
    } else if (frame->kind == FRAME_GOAWAY) {
        on_goaway(channel, end);
    } else {
        error_set(&why, frame->code, "%s: %s", channel->address, frame->text);
        lose(channel, end, &why);
    }
}

static void on_timer(struct deadline *deadline)
{
    struct channel *channel = container_of(deadline, struct channel, timer);
    struct error why;

    if (channel->current) { /* it took too long */
        error_set(&why, ERROR_UNAVAILABLE, "%s: no connection within %d ms",
                  channel->address, CONNECT_MS);
        lose(channel, channel->current, &why);
        return;
    }
    channel->current = wire_dial(channel->process, channel->address, channel);
    process_set_deadline(channel->process, &channel->timer,
                         channel->process->time_ms + CONNECT_MS);
}

static void on_begin(struct task *task)
{
    on_timer(&container_of(task, struct channel, task)->timer);
}

struct channel *channel_open(uv_loop_t *loop,
                             const struct channel_config *config)
{
    struct channel *channel = memory_new(sizeof *channel);

    channel->process = process_of(loop);
    channel->address = memory_string(config->address);
    channel->changed = config->changed;
    channel->data = config->data;
    channel->backoff_ms = BACKOFF_FIRST_MS;
    channel->timer.expired = on_timer;
    channel->users = 1;
    list_init(&channel->waiting);
    task_init(&channel->task, on_begin);
    process_post(channel->process, &channel->task);
    return channel;
}

bool channel_connected(const struct channel *channel)
{
    return channel->connected;
}

const struct error *channel_trouble(const struct channel *channel)
{
    return &channel->trouble;
}

bool channel_refused(const struct channel *channel)
{
    return strstr(channel->trouble.message, "connection refused") != NULL;
}

void channel_kick(struct channel *channel)
{
    channel->backoff_ms = BACKOFF_FIRST_MS;
    if (!channel->current && deadline_is_set(&channel->timer))
        process_set_deadline(channel->process, &channel->timer,
                             channel->process->time_ms);
}

/* ---- closing ---- */

static void on_closed(struct task *task)
{
    struct channel *channel = container_of(task, struct channel, task);

    if (channel->closed)
        channel->closed(channel->closed_data);
    free(channel->address);
    free(channel);
}

void channel_release(struct channel *channel)
{
    assert(channel->users > 0);
    if (--channel->users > 0)
        return;
    task_init(&channel->task, on_closed);
    process_post(channel->process, &channel->task);
}

void channel_close(struct channel *channel, void (*closed)(void *data),
                   void *data)
{
    static const struct error closing = {ERROR_CANCELLED,
                                         "the connection was closed here"};

    assert(!channel->closing);
    channel->closing = true;
    channel->connected = false;
    channel->closed = closed;
    channel->closed_data = data;
    channel->current = NULL;
    list_remove(&channel->task.link);
    deadlines_remove(&channel->process->timers, &channel->timer);
    list_for_each(link, next, &channel->waiting)
        call_break(container_of(link, struct call, link), &closing);
    list_for_each(at, following, &channel->process->ends)
    {
        struct end *end = container_of(at, struct end, link);

        if (end->channel == channel) {
            calls_lose(end, &closing);
            end_close(end);
        }
    }
    channel_release(channel);
}

/* ---- calls ---- */

struct call *channel_call(struct channel *channel,
                          const struct call_request *request)
{
    struct call *call = call_new(channel->process);

    call->channel = channel;
    channel->users++;
    call->path = request->path;
    call->incoming = request->response;
    call_listen(call, request->events, request->data);
    if (request->on_behalf_of) {
        call->peer = *request->on_behalf_of;
        call->behalf_given = true;
    }
    if (request->timeout_ms > 0) {
        call->timeout_ms = request->timeout_ms;
        process_set_deadline(channel->process, &call->deadline,
                             channel->process->time_ms + request->timeout_ms);
    }
    if (channel->closing)
        call_settle(call, ERROR_CANCELLED, "the connection was closed here");
    else if (channel->connected)
        call_start(call, channel->current);
    else
        list_append(&channel->waiting, &call->link);
    return call;
}

struct call *channel_call_unary(struct channel *channel,
                                const struct call_request *request,
                                const ProtobufCMessage *message)
{
    struct call *call = channel_call(channel, request);
    struct error why;

    if (call_send(call, message, &why) == 0)
        call_half_close(call);
    else
        call_break(call, &why);
    return call;
}
