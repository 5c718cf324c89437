/* rpc.h - the inside of channels, servers and calls on virtual wires; the
 * outside is rpc/channel.h, rpc/server.h and rpc/call.h, whose functions
 * channel.c, server.c and call.c define as librpc's files of these names do.
 *
 * Messages are packed and unpacked as on a real wire. A call on a wire has
 * the same `stream` on both ends. */
#pragma once

#include "rpc/channel.h"
#include "rpc/registry.h"
#include "test/sim/stack/wire.h"

/* As in rpc/h2.h. */
enum { CALL_WINDOW_BYTES = 1 << 20 };

struct server {
    struct process *process;
    struct registry registry;
    unsigned users; /* calls and connections */
    bool closing;
    struct deadline grace;
    struct task task; /* tells that it is closed */
    void (*closed)(void *data);
    void *data;
};

struct channel {
    struct process *process;
    char *address; /* owned */
    void (*changed)(void *data, bool connected, const struct error *why);
    void *data;
    struct end *current;   /* NULL: waiting, or closed */
    struct list waiting;   /* calls */
    struct deadline timer; /* to try again, or to give an attempt up */
    struct task task; /* the first attempt; then: tells that it is closed */
    uint64_t backoff_ms;
    unsigned users; /* calls, and itself until it is closed */
    bool connected;
    bool closing;
    struct error trouble;
    void (*closed)(void *data);
    void *closed_data;
};

struct call {
    struct list link; /* end->calls, or channel->waiting */
    struct process *process;
    struct end *end;         /* NULL: not, or no longer, on a wire */
    struct channel *channel; /* client */
    struct server *server;   /* server */
    uint32_t stream;
    const char *path;
    const struct call_events *events;
    void *data;
    const ProtobufCMessageDescriptor *incoming;
    const struct registry_method *method;
    struct rpc_identity peer;
    bool behalf_given;
    uint64_t timeout_ms; /* UINT64_MAX: none */
    struct deadline deadline;
    struct task task;

    struct list out; /* frames that wait for the line or the window */
    size_t out_bytes;
    size_t unread_bytes; /* sent, and not taken in by the peer */
    bool final;          /* nothing more may be sent */
    bool was_high;
    bool writable_due;
    bool begun; /* server: something was sent */

    struct list held;   /* frames that came while paused */
    size_t taken_bytes; /* taken in, and not yet told */
    bool paused;
    bool peer_final; /* the client has half closed */
    bool request_seen;
    bool finished;
    bool settled;
    bool abandoned; /* what is held is not wanted */
    enum error_code code;
    char *message; /* owned, or NULL */
};

struct call *call_new(struct process *process);
/* Put a waiting call on a wire. */
void call_start(struct call *call, struct end *end);
void call_settle(struct call *call, enum error_code code, const char *message);
/* It broke on this side. */
void call_break(struct call *call, const struct error *why);

void channel_release(struct channel *channel);
void server_release(struct server *server);
/* The last call of a draining connection has ended. */
void server_calls_ended(struct end *end);
