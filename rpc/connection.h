/* connection.h - bytes between a socket and the calls: TCP, TLS, HTTP/2.
 *
 *   CONNECTING -> HANDSHAKE -> OPEN -> LINGERING -> CLOSED
 *    (client)     TLS and       calls   everything    being freed
 *                 SETTINGS              is said
 *
 * All that is produced in one turn of the loop leaves in one write. */
#pragma once

#include "rpc/session.h"
#include "rpc/tls.h"

enum {
    CONNECTION_HANDSHAKE_MS = 10000,
    CONNECTION_CONNECT_MS = 3000, /* a client's, until it is open */
    CONNECTION_KEEPALIVE_MS = 10000,
    CONNECTION_LINGER_MS = 500,
    CONNECTION_NOTICE_MS = 1000, /* between the two GOAWAYs, at most */
    /* A turn of the loop that has lasted so long begins no further step of a
     * handshake, each of them most of a millisecond: thousands who come
     * together must not keep the loop from what else is due. */
    CONNECTION_SHAKES_MS = 10,
    CONNECTION_EARLY_MAX_BYTES = 128 << 10,
    /* What may wait to be written before calls are asked for more. */
    CONNECTION_WRITE_HIGH_BYTES = 256 << 10,
    CONNECTION_WRITE_MAX_BYTES = 16 << 20,
};

struct connection;

struct connection_events {
    /* Client: calls may be started. */
    void (*ready)(struct connection *connection);
    /* Client: no further call may be started, those there are go on. The
     * server said so, or the numbers of streams come to their end. */
    void (*draining)(struct connection *connection);
    /* It is over, and its calls were told. Not after connection_close(). */
    void (*lost)(struct connection *connection, const struct error *why);
    /* The last that is heard of it: it is freed next. */
    void (*freed)(struct connection *connection);
};

enum connection_state {
    CONNECTION_CONNECTING,
    CONNECTION_HANDSHAKE,
    CONNECTION_OPEN,
    CONNECTION_LINGERING,
    CONNECTION_CLOSED,
};

struct connection {
    struct session session; /* its h2 is there from OPEN on */
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct tls *tls; /* owned */
    struct turn *turn;
    struct task flush;
    struct task shake;     /* the next step of the handshake */
    struct buffer early;   /* came for it */
    struct deadline timer; /* handshake, then keepalive, then lingering */
    struct deadline notice;
    struct buffer wire;    /* encrypted, to be written */
    struct buffer writing; /* being written */
    enum connection_state state;
    bool is_server;
    bool draining; /* the first GOAWAY was sent, or one came */
    bool refusing; /* the second was sent */
    bool greeted;  /* the peer's SETTINGS came */
    bool pinged;
    bool refused;       /* client: the machine is there, and nobody listens */
    uint64_t heard_ms;  /* when bytes came last */
    uint64_t stuck_ms;  /* since when so many bytes wait ... */
    size_t stuck_bytes; /* ... of `writing` */
    uint64_t keepalive_ms;
    uint64_t handshake_ms;
    unsigned streams_max;
    const struct connection_events *events; /* borrowed */
    void *data;                             /* the owner's */
    struct list link;                       /* the owner's */
};

struct connection_config {
    struct turn *turn;
    const struct connection_events *events;
    void *data;
    uint64_t keepalive_ms;           /* 0: the default */
    uint64_t handshake_ms;           /* 0: the default of the side */
    unsigned streams_max;            /* server */
    const struct registry *registry; /* server */
    const char *authority;           /* client; borrowed */
};

/* A write to a lost peer is to be an error, not a signal. Leaves SIGPIPE
 * alone where the program has set it to something. */
void connection_ignore_sigpipe(void);

/* Takes `tls`. */
struct connection *connection_new(uv_loop_t *loop, struct tls *tls,
                                  bool is_server,
                                  const struct connection_config *config);

/* Client: connect. Server: take what waits at `listener`. What goes wrong
 * comes with `lost`, never from inside these. */
void connection_dial(struct connection *connection,
                     const struct sockaddr *address);
void connection_accept(struct connection *connection, uv_stream_t *listener);

/* Say so, finish the calls that are under way, then close. */
void connection_drain(struct connection *connection);

/* At once; calls end with `why`. */
void connection_close(struct connection *connection, const struct error *why);
