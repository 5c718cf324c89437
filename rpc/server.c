/* Listens, accepts, drains.
 *
 * Invariant: the server lives until the last call was told its end and the
 * last connection is freed: each is a user of `turn`, as is the listener. */
#include "rpc/server.h"

#include "base/log.h"
#include "base/memory.h"
#include "rpc/address.h"
#include "rpc/connection.h"
#include "rpc/health.h"
#include "rpc/reflection.h"

#include <assert.h>
#include <string.h>

enum { CONNECTIONS_DEFAULT = 4096, STREAMS_DEFAULT = 1024, BACKLOG = 1024 };

struct server {
    uv_tcp_t listener;
    struct turn turn;
    struct tls_context *context; /* borrowed */
    struct server_limits limits;
    struct registry registry;
    struct health health;
    struct list connections;
    unsigned connection_count;
    unsigned port;
    struct deadline grace;
    bool closing;
    void (*closed)(void *data);
    void *data;
};

/* ---- connections -------------------------------------------------------- */

static void on_lost(struct connection *connection, const struct error *why)
{
    if (connection->session.h2)
        return;
    log_debug("rpc: connection refused: %s", why->message);
}

static void on_freed(struct connection *connection)
{
    struct server *server = connection->data;

    server->connection_count--;
}

static const struct connection_events connection_events = {
    .lost = on_lost,
    .freed = on_freed,
};

static void on_connection(uv_stream_t *listener, int status)
{
    static const struct error full = {ERROR_RESOURCE_EXHAUSTED,
                                      "there are too many connections"};
    struct server *server =
        container_of((uv_tcp_t *)(void *)listener, struct server, listener);
    const struct connection_config config = {
        .turn = &server->turn,
        .events = &connection_events,
        .data = server,
        .keepalive_ms = server->limits.keepalive_ms,
        .handshake_ms = server->limits.handshake_ms,
        .streams_max = server->limits.streams_per_connection,
        .registry = &server->registry,
    };
    struct connection *connection;

    if (status != 0)
        return; /* out of descriptors: libuv tries again */
    connection = connection_new(listener->loop, tls_new_server(server->context),
                                true, &config);
    server->connection_count++;
    list_append(&server->connections, &connection->link);
    connection_accept(connection, listener);
    if (server->connection_count > server->limits.connections) {
        log_debug("rpc: connection refused: %s", full.message);
        connection_close(connection, &full);
    }
}

/* ---- opening ------------------------------------------------------------ */

static void on_turn_closed(struct turn *turn)
{
    struct server *server = container_of(turn, struct server, turn);

    registry_fini(&server->registry);
    if (server->closed)
        server->closed(server->data);
    free(server);
}

static void on_unused(struct turn *turn)
{
    turn_close(turn, on_turn_closed);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct server *server =
        container_of((uv_tcp_t *)(void *)handle, struct server, listener);

    turn_release(&server->turn);
}

/* Names are looked up here and now, as this is the start of a program. */
static int resolve(const char *text, struct sockaddr_storage *out,
                   struct error *why)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE,
    };
    struct address address;
    struct addrinfo *found;
    int code;

    if (address_parse(text, &address, why) != 0)
        return (int)why->code;
    code = getaddrinfo(address.host, address.port, &hints, &found);
    if (code != 0)
        return error_set(why, ERROR_INVALID_ARGUMENT, "look up %s: %s", text,
                         gai_strerror(code));
    memcpy(out, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

static int listen_at(struct server *server, const char *address,
                     struct error *why)
{
    struct sockaddr_storage bound;
    int length = sizeof bound;
    int code;

    if (resolve(address, &bound, why) != 0)
        return (int)why->code;
    code = uv_tcp_bind(&server->listener, (struct sockaddr *)&bound, 0);
    if (code == 0)
        code =
            uv_listen((uv_stream_t *)&server->listener, BACKLOG, on_connection);
    if (code == 0)
        code = uv_tcp_getsockname(&server->listener, (struct sockaddr *)&bound,
                                  &length);
    if (code != 0)
        return error_set(why, ERROR_UNAVAILABLE, "listen on %s: %s", address,
                         uv_strerror(code));
    server->port = ntohs(bound.ss_family == AF_INET6
                             ? ((struct sockaddr_in6 *)&bound)->sin6_port
                             : ((struct sockaddr_in *)&bound)->sin_port);
    return 0;
}

static unsigned either(unsigned value, unsigned otherwise)
{
    return value ? value : otherwise;
}

static void on_grace(struct deadline *deadline);

int server_open(struct server **out, uv_loop_t *loop, const char *address,
                struct tls_context *context, const struct server_limits *limits,
                struct error *why)
{
    struct server *server = memory_new(sizeof *server);

    connection_ignore_sigpipe();
    if (limits)
        server->limits = *limits;
    server->limits.connections =
        either(server->limits.connections, CONNECTIONS_DEFAULT);
    server->limits.streams_per_connection =
        either(server->limits.streams_per_connection, STREAMS_DEFAULT);
    server->context = context;
    server->grace.expired = on_grace;
    list_init(&server->connections);
    registry_init(&server->registry);
    health_init(&server->health, &server->registry);
    registry_add(&server->registry, &health_service, &server->health);
    reflection_add(&server->registry);
    turn_init(&server->turn, loop, on_unused);
    uv_tcp_init(loop, &server->listener);
    if (listen_at(server, address, why) != 0) {
        uv_close((uv_handle_t *)&server->listener, on_listener_closed);
        return (int)why->code;
    }
    *out = server;
    return 0;
}

void server_add(struct server *server, const struct service *service,
                void *data)
{
    registry_add(&server->registry, service, data);
}

unsigned server_port(const struct server *server)
{
    return server->port;
}

void server_set_serving(struct server *server, bool serving)
{
    if (!server->closing)
        health_set(&server->health, serving);
}

/* ---- closing ------------------------------------------------------------ */

static void on_grace(struct deadline *deadline)
{
    static const struct error over = {ERROR_CANCELLED,
                                      "the server is shutting down"};
    struct server *server = container_of(deadline, struct server, grace);

    list_for_each(link, next, &server->connections)
        connection_close(container_of(link, struct connection, link), &over);
}

void server_close(struct server *server, uint64_t grace_ms,
                  void (*closed)(void *data), void *data)
{
    assert(!server->closing);
    server->closing = true;
    server->closed = closed;
    server->data = data;
    health_stop(&server->health);
    list_for_each(link, next, &server->connections)
        connection_drain(container_of(link, struct connection, link));
    turn_set_deadline(&server->turn, &server->grace,
                      turn_now_ms(&server->turn) + grace_ms);
    uv_close((uv_handle_t *)&server->listener, on_listener_closed);
}
