#include "master/forward.h"

#include "base/clock.h"
#include "base/memory.h"
#include "master/master.h"
#include "master/pipe.h"
#include "master/service.h"

#include <stdio.h>
#include <string.h>

enum { LOOK_AGAIN_MS = 20 };

struct forward {
    struct list link; /* among the waiting, or the sent */
    struct forwarder *forwarder;
    struct call *down;          /* the caller's; lives as long as this */
    struct call *up;            /* to the leader; NULL while waiting */
    char leader[RAFT_NAME_MAX]; /* whom it was sent to */
    uint64_t term;              /* the newest in which one was known */
    const struct method *method;
    bool answered;       /* something was passed on */
    uint64_t give_up_ms; /* 0: there has been a leader so far */
    size_t length;
    uint8_t request[];
};

static void on_timer(uv_timer_t *timer)
{
    forwarder_kick(timer->data);
}

void forwarder_init(struct forwarder *forwarder, struct master *master)
{
    *forwarder = (struct forwarder){.master = master};
    list_init(&forwarder->waiting);
    list_init(&forwarder->sent);
    uv_timer_init(master->loop, &forwarder->timer);
    forwarder->timer.data = forwarder;
}

static void forward_free(struct forward *forward)
{
    list_remove(&forward->link);
    forward->forwarder->count--;
    forward->forwarder->bytes -= forward->length;
    free(forward);
}

/* ---- the caller's side ---- */

static void on_down_writable(struct call *call)
{
    struct forward *forward = call_data(call);

    if (forward->up)
        pipe_writable(forward->up);
}

/* The caller has its status, or has gone. */
static void on_down_ended(struct call *call, const struct error *why)
{
    struct forward *forward = call_data(call);

    (void)why;
    pipe_drop(&forward->up);
    forward_free(forward);
}

static const struct call_events down_events = {
    .writable = on_down_writable,
    .ended = on_down_ended,
};

/* ---- waiting ---- */

static void wait_for_leader(struct forward *forward)
{
    struct forwarder *forwarder = forward->forwarder;
    const struct master_config *config = &forwarder->master->config;

    /* A timeout is drawn from [t, 2t): two of them are 4t at most. */
    if (forward->give_up_ms == 0)
        forward->give_up_ms =
            clock_monotonic_ms() + 4 * config->election_timeout_ms;
    list_append(&forwarder->waiting, &forward->link);
    if (!uv_is_active((const uv_handle_t *)&forwarder->timer))
        uv_timer_start(&forwarder->timer, on_timer, LOOK_AGAIN_MS,
                       LOOK_AGAIN_MS);
}

/* Long enough for another leader: what this one cannot reach may be a node. */
static bool has_waited(const struct forward *forward)
{
    return forward->give_up_ms != 0 &&
           clock_monotonic_ms() >= forward->give_up_ms;
}

/* ---- the leader's side ---- */

static void on_up_message(struct call *call, const ProtobufCMessage *message)
{
    struct forward *forward = call_data(call);

    forward->answered = true;
    pipe_pass(call, forward->down, message);
}

static void on_up_ended(struct call *call, const struct error *why)
{
    struct forward *forward = call_data(call);

    forward->up = NULL;
    list_remove(&forward->link);
    if (why->code == ERROR_UNAVAILABLE && !forward->answered &&
        !has_waited(forward))
        wait_for_leader(forward);
    else
        call_finish(forward->down, why);
}

static const struct call_events up_events = {
    .message = on_up_message,
    .ended = on_up_ended,
};

static ProtobufCMessage *request_of(const struct forward *forward)
{
    return protobuf_c_message_unpack(forward->method->request, NULL,
                                     forward->length, forward->request);
}

static void send_to(struct forward *forward, struct channel *channel)
{
    ProtobufCMessage *request = request_of(forward);
    uint64_t remaining_ms = call_remaining_ms(forward->down);

    list_append(&forward->forwarder->sent, &forward->link);
    forward->up = channel_call_unary(
        channel,
        &(struct call_request){
            .path = call_path(forward->down),
            .response = forward->method->response,
            .timeout_ms = remaining_ms == UINT64_MAX ? 0 : remaining_ms + 1,
            .on_behalf_of = call_peer(forward->down),
            .events = &up_events,
            .data = forward,
        },
        request);
    protobuf_c_message_free_unpacked(request, NULL);
}

/* We lead ourselves now. */
static void answer_here(struct forward *forward)
{
    ProtobufCMessage *request = request_of(forward);
    const struct method *method = forward->method;
    struct call *call = forward->down;

    call_listen(call, &pipe_deaf, NULL);
    forward_free(forward);
    method->handle(call, request);
    protobuf_c_message_free_unpacked(request, NULL);
}

/* ---- every call ---- */

/* True when it could be moved on. */
static bool try_forward(struct forward *forward)
{
    const struct master *master = forward->forwarder->master;
    struct replica_status status = replica_status(master->replica);
    struct channel *channel;

    if (status.ready) {
        answer_here(forward);
        return true;
    }
    if (!status.leader)
        return false;
    if (forward->term != status.term)
        forward->give_up_ms = 0; /* elections may follow one another */
    forward->term = status.term;
    if (strcmp(status.leader, master->config.name) == 0)
        return false; /* we are about to be ready */
    channel = replica_channel(master->replica, status.leader);
    if (!channel || !channel_connected(channel))
        return false;
    snprintf(forward->leader, sizeof forward->leader, "%s", status.leader);
    send_to(forward, channel);
    return true;
}

static struct forward *forward_new(struct forwarder *forwarder,
                                   struct call *call, size_t length)
{
    struct forward *forward;

    if (forwarder->count >= FORWARDS_MAX ||
        forwarder->bytes + length > FORWARDS_MAX_BYTES) {
        call_listen(call, &pipe_deaf, NULL);
        call_fail(call, ERROR_RESOURCE_EXHAUSTED,
                  "%zu calls of %zu KiB wait for the leader already",
                  forwarder->count, forwarder->bytes >> 10);
        return NULL;
    }
    forward = memory_new(sizeof *forward + length);
    list_init(&forward->link);
    forward->forwarder = forwarder;
    forward->down = call;
    forward->method = service_method(call);
    forward->length = length;
    forwarder->count++;
    forwarder->bytes += length;
    call_listen(call, &down_events, forward);
    return forward;
}

void forward_call(struct forwarder *forwarder, struct call *call,
                  const ProtobufCMessage *request)
{
    size_t length = protobuf_c_message_get_packed_size(request);
    struct forward *forward = forward_new(forwarder, call, length);

    if (!forward)
        return;
    protobuf_c_message_pack(request, forward->request);
    if (!try_forward(forward))
        wait_for_leader(forward);
}

void forward_bytes(struct forwarder *forwarder, struct call *call,
                   const uint8_t *bytes, size_t length)
{
    struct forward *forward = forward_new(forwarder, call, length);

    if (!forward)
        return;
    memcpy(forward->request, bytes, length);
    /* Not at once: whoever brings it back has just failed. */
    wait_for_leader(forward);
}

/* Another leads: whoever they were sent to may never answer. One that has, in
 * part, is for its caller to go on with. */
static void take_back(struct forwarder *forwarder, const char *leader)
{
    list_for_each(link, next, &forwarder->sent)
    {
        struct forward *forward = container_of(link, struct forward, link);

        if (strcmp(forward->leader, leader) == 0)
            continue;
        pipe_drop(&forward->up);
        list_remove(&forward->link);
        if (forward->answered)
            call_fail(forward->down, ERROR_UNAVAILABLE, "the leader changed");
        else
            wait_for_leader(forward);
    }
}

void forwarder_kick(struct forwarder *forwarder)
{
    struct replica_status status = replica_status(forwarder->master->replica);
    struct list moved;

    if (status.leader)
        take_back(forwarder, status.leader);
    /* A call that fails again at once must not be met again in this pass. */
    list_init(&moved);
    while (!list_empty(&forwarder->waiting)) {
        struct list *link = forwarder->waiting.next;

        list_remove(link);
        list_append(&moved, link);
    }
    while (!list_empty(&moved)) {
        struct forward *forward = list_first(&moved, struct forward, link);

        list_remove(&forward->link);
        if (try_forward(forward))
            continue;
        if (has_waited(forward))
            call_fail(forward->down, ERROR_UNAVAILABLE, "no leader");
        else
            wait_for_leader(forward);
    }
    if (list_empty(&forwarder->waiting))
        uv_timer_stop(&forwarder->timer);
}

void forwarder_close(struct forwarder *forwarder)
{
    list_for_each(link, next, &forwarder->waiting)
    {
        struct forward *forward = container_of(link, struct forward, link);

        list_remove(&forward->link);
        call_fail(forward->down, ERROR_UNAVAILABLE, "this master stops");
    }
    uv_close((uv_handle_t *)&forwarder->timer, NULL);
}
