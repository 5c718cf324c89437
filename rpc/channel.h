/* channel.h - a client's connection to one server, kept warm.
 *
 * Connects at once, reconnects with back-off (20 ms doubling to 1 s, with
 * jitter) until closed. Calls made while it is connecting wait for it, until
 * their deadline; then they end with UNAVAILABLE and what stands in the way,
 * as the server never heard of them. */
#pragma once

#include "rpc/call.h"
#include "rpc/tls.h"

#include <uv.h>

struct channel;

struct channel_config {
    const char *address;         /* HOST:PORT; copied */
    struct tls_context *context; /* borrowed, outlives the channel */
    enum rpc_role role;          /* what the server must be */
    uint64_t keepalive_ms;       /* 0: 10 s; a PING unanswered that long
                                    closes the connection */
    /* Connected, or no longer (`why` says what happened: connection refused,
     * closed by the peer, its certificate ...). May be NULL. Called for
     * every failed attempt, too. */
    void (*changed)(void *data, bool connected, const struct error *why);
    void *data;
};

struct channel *channel_open(uv_loop_t *loop,
                             const struct channel_config *config);

bool channel_connected(const struct channel *channel);

/* What stands in the way of being connected; code 0 when it is connected or
 * has not yet tried. Borrowed. */
const struct error *channel_trouble(const struct channel *channel);

/* The last attempt was refused: the machine is there, but nobody listens. */
bool channel_refused(const struct channel *channel);

/* Try now instead of after the back-off. */
void channel_kick(struct channel *channel);

struct call_request {
    const char *path; /* "/kontor.v1.Cluster/Schedule"; borrowed, static */
    const ProtobufCMessageDescriptor *response;
    uint64_t timeout_ms; /* 0: none */
    /* A master that forwards a call says for whom; NULL: for itself. */
    const struct rpc_identity *on_behalf_of;
    const struct call_events *events; /* borrowed, static */
    void *data;
};

/* Begin a call. Never fails here: what goes wrong comes with `ended`. */
struct call *channel_call(struct channel *channel,
                          const struct call_request *request);

/* channel_call(), call_send() of the one request, call_half_close(). */
struct call *channel_call_unary(struct channel *channel,
                                const struct call_request *request,
                                const ProtobufCMessage *message);

/* Calls that are under way end with CANCELLED; then `closed`. */
void channel_close(struct channel *channel, void (*closed)(void *data),
                   void *data);
