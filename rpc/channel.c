/* A client's connection, made again whenever it is lost.
 *
 *   RESOLVING -> CONNECTING -> CONNECTED
 *       ^            |             |  lost, or the server drains
 *       |            v             v
 *       +--------- WAITING <-------+   back-off
 *
 * Invariants
 *   1. `current` is the connection that is being made or takes calls; those
 *      that drain are on no list of ours and end on their own.
 *   2. A call stands in `waiting` until there is a connection, then on it.
 *   3. The channel lives until every call was told its end and every
 *      connection is freed: each is a user of `turn`. */
#include "rpc/channel.h"

#include "base/memory.h"
#include "base/random.h"
#include "rpc/address.h"
#include "rpc/call_core.h"
#include "rpc/connection.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    BACKOFF_FIRST_MS = 20,
    BACKOFF_MAX_MS = 1000,
    CALLS_MAX = 65536, /* that have not ended */
};

struct channel {
    struct turn turn;
    uv_loop_t *loop;
    uv_getaddrinfo_t resolver;
    struct task begin; /* the first attempt, after channel_open() returned */
    struct deadline retry;
    char *authority; /* owned: HOST:PORT */
    struct address address;
    struct tls_context *context; /* borrowed */
    enum rpc_role role;
    uint64_t keepalive_ms;
    void (*changed)(void *data, bool connected, const struct error *why);
    void *data;
    struct connection *current; /* NULL: resolving or waiting */
    struct list connections;    /* every one that is not freed */
    struct list waiting;        /* calls */
    uint64_t backoff_ms;
    unsigned attempts;
    struct random random;
    bool resolving;
    bool connected;
    bool refused; /* by the last attempt */
    bool closing;
    struct error trouble;
    void (*closed)(void *data);
    void *closed_data;
};

/* ---- connecting --------------------------------------------------------- */

static void attempt(struct channel *channel);

/* Full jitter around the step, so that many clients do not come together. */
static void wait_and_retry(struct channel *channel)
{
    uint64_t step_ms = channel->backoff_ms;
    uint64_t wait_ms =
        step_ms / 2 + random_below(&channel->random, step_ms / 2 + 1);

    channel->backoff_ms =
        step_ms * 2 < BACKOFF_MAX_MS ? step_ms * 2 : BACKOFF_MAX_MS;
    turn_set_deadline(&channel->turn, &channel->retry,
                      turn_now_ms(&channel->turn) + wait_ms);
}

static void report(struct channel *channel, bool connected,
                   const struct error *why)
{
    channel->connected = connected;
    channel->refused = channel->refused && !connected;
    channel->trouble = *why;
    if (connected)
        error_clear(&channel->trouble);
    if (channel->changed && !channel->closing)
        channel->changed(channel->data, connected, &channel->trouble);
}

static void attempt_failed(struct channel *channel, const struct error *why)
{
    struct error wrapped = *why;

    if (channel->closing)
        return;
    error_wrap(&wrapped, "%s", channel->authority);
    wait_and_retry(channel);
    report(channel, false, &wrapped);
}

static void on_ready(struct connection *connection)
{
    static const struct error fine;
    struct channel *channel = connection->data;

    assert(connection == channel->current);
    channel->backoff_ms = BACKOFF_FIRST_MS;
    list_for_each(link, next, &channel->waiting)
    {
        struct call *call = container_of(link, struct call, link);

        list_remove(&call->link);
        client_call_start(call, &connection->session);
    }
    report(channel, true, &fine);
}

/* The server takes no more calls on this connection: make another. */
static void on_draining(struct connection *connection)
{
    static const struct error draining = {ERROR_UNAVAILABLE,
                                          "the server is shutting down"};
    struct channel *channel = connection->data;

    if (connection != channel->current)
        return;
    channel->current = NULL;
    attempt_failed(channel, &draining);
}

static void on_lost(struct connection *connection, const struct error *why)
{
    struct channel *channel = connection->data;

    if (connection != channel->current)
        return;
    channel->current = NULL;
    channel->refused = connection->refused;
    attempt_failed(channel, why);
}

static void on_freed(struct connection *connection)
{
    struct channel *channel = connection->data;

    assert(connection != channel->current);
}

static const struct connection_events connection_events = {
    .ready = on_ready,
    .draining = on_draining,
    .lost = on_lost,
    .freed = on_freed,
};

static void dial(struct channel *channel, const struct sockaddr *address)
{
    const struct connection_config config = {
        .turn = &channel->turn,
        .events = &connection_events,
        .data = channel,
        .keepalive_ms = channel->keepalive_ms,
        .authority = channel->authority,
    };
    struct tls *tls =
        tls_new_client(channel->context, channel->address.host, channel->role);

    channel->current = connection_new(channel->loop, tls, false, &config);
    list_append(&channel->connections, &channel->current->link);
    connection_dial(channel->current, address);
}

/* Each attempt takes the next of the addresses; there is at least one. */
static const struct addrinfo *pick(const struct addrinfo *found, unsigned turn)
{
    const struct addrinfo *at = found;
    unsigned count = 1;

    while ((at = at->ai_next))
        count++;
    at = found;
    for (unsigned i = turn % count; i > 0; i--)
        at = at->ai_next;
    return at;
}

static void on_resolved(uv_getaddrinfo_t *resolver, int status,
                        struct addrinfo *found)
{
    struct channel *channel = container_of(resolver, struct channel, resolver);
    struct error why;

    channel->resolving = false;
    if (channel->closing) {
        /* Only the turn was waiting for this. */
    } else if (status != 0) {
        error_set(&why, ERROR_UNAVAILABLE, "look the name up: %s",
                  uv_strerror(status));
        attempt_failed(channel, &why);
    } else {
        dial(channel, pick(found, channel->attempts++)->ai_addr);
    }
    uv_freeaddrinfo(found);
    turn_release(&channel->turn);
}

static void resolve(struct channel *channel)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
    };
    struct error why;
    int code =
        uv_getaddrinfo(channel->loop, &channel->resolver, on_resolved,
                       channel->address.host, channel->address.port, &hints);

    if (code == 0) {
        channel->resolving = true;
        turn_use(&channel->turn);
        return;
    }
    error_set(&why, ERROR_UNAVAILABLE, "look the name up: %s",
              uv_strerror(code));
    attempt_failed(channel, &why);
}

static void attempt(struct channel *channel)
{
    int port = atoi(channel->address.port);
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (channel->closing || channel->current || channel->resolving)
        return;
    turn_clear_deadline(&channel->turn, &channel->retry);
    if (uv_ip4_addr(channel->address.host, port, &v4) == 0)
        dial(channel, (const struct sockaddr *)&v4);
    else if (uv_ip6_addr(channel->address.host, port, &v6) == 0)
        dial(channel, (const struct sockaddr *)&v6);
    else
        resolve(channel);
}

static void on_retry(struct deadline *deadline)
{
    attempt(container_of(deadline, struct channel, retry));
}

/* An address that cannot be read is a trouble that stays. */
static void on_begin(struct task *task)
{
    struct channel *channel = container_of(task, struct channel, begin);
    struct error why;

    if (address_parse(channel->authority, &channel->address, &why) == 0)
        attempt(channel);
    else
        report(channel, false, &why);
}

/* ---- opening and closing ------------------------------------------------ */

static void on_turn_closed(struct turn *turn)
{
    struct channel *channel = container_of(turn, struct channel, turn);

    if (channel->closed)
        channel->closed(channel->closed_data);
    free(channel->authority);
    free(channel);
}

static void on_unused(struct turn *turn)
{
    turn_close(turn, on_turn_closed);
}

struct channel *channel_open(uv_loop_t *loop,
                             const struct channel_config *config)
{
    struct channel *channel = memory_new(sizeof *channel);

    connection_ignore_sigpipe();
    turn_init(&channel->turn, loop, on_unused);
    channel->loop = loop;
    task_init(&channel->begin, on_begin);
    channel->retry.expired = on_retry;
    channel->authority = memory_string(config->address);
    channel->context = config->context;
    channel->role = config->role;
    channel->keepalive_ms = config->keepalive_ms;
    channel->changed = config->changed;
    channel->data = config->data;
    channel->backoff_ms = BACKOFF_FIRST_MS;
    list_init(&channel->connections);
    list_init(&channel->waiting);
    random_bytes(&channel->random.state, sizeof channel->random.state);
    turn_post(&channel->turn, &channel->begin);
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
    return channel->refused;
}

void channel_kick(struct channel *channel)
{
    channel->backoff_ms = BACKOFF_FIRST_MS;
    if (deadline_is_set(&channel->retry))
        turn_set_deadline(&channel->turn, &channel->retry,
                          turn_now_ms(&channel->turn));
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
    list_remove(&channel->begin.link);
    turn_clear_deadline(&channel->turn, &channel->retry);
    if (channel->resolving)
        uv_cancel((uv_req_t *)&channel->resolver);
    list_for_each(link, next, &channel->waiting)
        call_break(container_of(link, struct call, link), &closing);
    list_for_each(link, next, &channel->connections)
        connection_close(container_of(link, struct connection, link), &closing);
    turn_release(&channel->turn);
}

/* ---- calls -------------------------------------------------------------- */

static void start(struct channel *channel, struct call *call)
{
    struct error why;

    if (channel->closing) {
        call_settle(call, ERROR_CANCELLED, "the connection was closed here");
    } else if (channel->turn.users > CALLS_MAX) {
        error_set(&why, ERROR_RESOURCE_EXHAUSTED,
                  "%d calls to %s are under way", CALLS_MAX,
                  channel->authority);
        call_settle(call, why.code, why.message);
    } else if (channel->connected) {
        client_call_start(call, &channel->current->session);
    } else {
        list_append(&channel->waiting, &call->link);
    }
}

struct call *channel_call(struct channel *channel,
                          const struct call_request *request)
{
    struct call *call = call_new(&channel->turn, false);

    call->path = request->path;
    call->incoming = request->response;
    call->trouble = &channel->trouble;
    call_listen(call, request->events, request->data);
    if (request->on_behalf_of) {
        call->peer = *request->on_behalf_of;
        call->on_behalf_of = &call->peer;
    }
    if (request->timeout_ms > 0) {
        call->timeout_ms = request->timeout_ms;
        turn_set_deadline(&channel->turn, &call->deadline,
                          turn_now_ms(&channel->turn) + request->timeout_ms);
    }
    start(channel, call);
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
