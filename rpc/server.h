/* server.h - a gRPC server on a libuv loop.
 *
 * https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md */
#pragma once

#include "rpc/call.h"
#include "rpc/tls.h"

#include <uv.h>

struct server;

/* A row of a service's table. Denied callers get PERMISSION_DENIED. */
struct method {
    const char *name; /* "Schedule" */
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    unsigned roles; /* who may call it: a set of enum rpc_role */
    bool client_streams;
    bool server_streams;
    /* The one request has arrived (borrowed). Answer now or later; a handler
     * that answers later calls call_listen() to learn of a cancelled call. */
    void (*handle)(struct call *call, const ProtobufCMessage *request);
    /* For client_streams instead: the call is open, call_listen() to it. */
    void (*open)(struct call *call);
};

struct service {
    const char *name; /* "kontor.v1.Cluster" */
    const struct method *methods;
    size_t method_count;
};

struct server_limits {
    unsigned connections;            /* 0: the default, 4096 */
    unsigned streams_per_connection; /* 0: 1024 */
    uint64_t keepalive_ms;           /* PING an idle peer; 0: 10 s */
    uint64_t handshake_ms;           /* until TLS is set up; 0: 10 s */
};

/* Listen on HOST:PORT ("[::1]:7400" for IPv6; port 0 takes a free one).
 * `context` is borrowed and must outlive the server. Health and reflection
 * are there without being added. */
int server_open(struct server **out, uv_loop_t *loop, const char *address,
                struct tls_context *context, const struct server_limits *limits,
                struct error *why);

/* Before the first loop turn. `service` is borrowed, static. */
void server_add(struct server *server, const struct service *service,
                void *data);

/* The port that was bound. */
unsigned server_port(const struct server *server);

/* What health checks are told; true at first. */
void server_set_serving(struct server *server, bool serving);

/* Drain: two GOAWAYs, calls that are under way finish or are cancelled after
 * `grace_ms`, then everything closes and `closed` is called. */
void server_close(struct server *server, uint64_t grace_ms,
                  void (*closed)(void *data), void *data);
