/* Invariants
 *   1. `lost` runs from a callback of libuv or a flush, never from inside a
 *      function of connection.h.
 *   2. At most one uv_write is under way; it owns `writing`. Meanwhile at
 *      most CONNECTION_WRITE_HIGH_BYTES are added to `wire`; the rest stays
 *      in the calls' queues, which are bounded, too.
 *   3. Reading never stops, so a lost peer is noticed at once. What a peer
 *      can make us keep is bounded by flow control and nghttp2's limits. */
#include "rpc/connection.h"

#include "base/clock.h"
#include "base/memory.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

enum { READ_BYTES = 64 << 10, PLAIN_TARGET_BYTES = 64 << 10 };

/* Everything read is used before the callback returns. */
static _Thread_local uint8_t read_bytes[READ_BYTES];

static void flush(struct task *task);
static void shake(struct task *task);
static void on_timer(struct deadline *deadline);
static void on_notice(struct deadline *deadline);

static void on_closed(uv_handle_t *handle)
{
    struct connection *connection =
        container_of((uv_tcp_t *)(void *)handle, struct connection, tcp);

    list_remove(&connection->link);
    connection->events->freed(connection);
    session_fini(&connection->session);
    tls_free(connection->tls);
    buffer_fini(&connection->wire);
    buffer_fini(&connection->writing);
    buffer_fini(&connection->early);
    turn_release(connection->turn);
    free(connection);
}

void connection_close(struct connection *connection, const struct error *why)
{
    if (connection->state == CONNECTION_CLOSED)
        return;
    connection->state = CONNECTION_CLOSED;
    turn_clear_deadline(connection->turn, &connection->timer);
    turn_clear_deadline(connection->turn, &connection->notice);
    list_remove(&connection->flush.link);
    list_remove(&connection->shake.link);
    session_lose(&connection->session, why);
    uv_close((uv_handle_t *)&connection->tcp, on_closed);
}

static void fail(struct connection *connection, const struct error *why)
{
    if (connection->state == CONNECTION_CLOSED)
        return;
    connection_close(connection, why);
    connection->events->lost(connection, why);
}

static void fail_uv(struct connection *connection, const char *what, int code)
{
    struct error why;

    if (code == UV_EOF)
        error_set(&why, ERROR_UNAVAILABLE, "the peer closed the connection");
    else
        error_set(&why, ERROR_UNAVAILABLE, "%s: %s", what, uv_strerror(code));
    fail(connection, &why);
}

/* ---- writing ------------------------------------------------------------ */

static void on_written(uv_write_t *write, int status)
{
    struct connection *connection =
        container_of(write, struct connection, write);

    if (connection->state == CONNECTION_CLOSED)
        return;
    buffer_consume(&connection->writing, buffer_length(&connection->writing));
    buffer_rest(&connection->writing);
    connection->stuck_bytes = 0;
    if (status != 0)
        fail_uv(connection, "write", status);
    else
        turn_post_flush(connection->turn, &connection->flush);
}

/* Write what stands in `wire`, as far as the socket takes it at once; leave
 * the rest to uv_write(). Returns 0 or a code of libuv. */
static int write_wire(struct connection *connection)
{
    struct buffer *wire = &connection->wire;
    struct buffer swapped;
    uv_buf_t chunk;
    int written;

    if (buffer_length(&connection->writing) > 0 || buffer_length(wire) == 0)
        return 0;
    chunk =
        uv_buf_init((char *)buffer_data(wire), (unsigned)buffer_length(wire));
    written = uv_try_write((uv_stream_t *)&connection->tcp, &chunk, 1);
    if (written < 0 && written != UV_EAGAIN)
        return written;
    if (written > 0)
        buffer_consume(wire, (size_t)written);
    if (buffer_length(wire) == 0) {
        buffer_rest(wire);
        return 0;
    }
    swapped = connection->writing;
    connection->writing = *wire;
    *wire = swapped;
    chunk = uv_buf_init((char *)buffer_data(&connection->writing),
                        (unsigned)buffer_length(&connection->writing));
    return uv_write(&connection->write, (uv_stream_t *)&connection->tcp, &chunk,
                    1, on_written);
}

/* Encrypt what the calls want to say. `more` tells that there is more. */
static int pull(struct connection *connection, bool *more, struct error *why)
{
    struct buffer plain;
    int code = 0;

    *more = false;
    buffer_init(&plain, CONNECTION_WRITE_MAX_BYTES);
    while (code == 0 &&
           buffer_length(&connection->wire) < CONNECTION_WRITE_HIGH_BYTES) {
        code = h2_send(connection->session.h2, &plain, PLAIN_TARGET_BYTES, why);
        if (code != 0 || buffer_length(&plain) == 0)
            break;
        *more = buffer_length(&plain) >= PLAIN_TARGET_BYTES;
        code = tls_send(connection->tls, buffer_data(&plain),
                        buffer_length(&plain), &connection->wire, why);
        buffer_consume(&plain, buffer_length(&plain));
        if (!*more)
            break;
    }
    buffer_fini(&plain);
    return code;
}

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    (void)shutdown;
    (void)status; /* the peer's end of the connection tells */
}

/* Everything is said: tell the peer, and wait a moment for its end, so that
 * nothing that it has not read yet is lost by a reset. */
static void linger(struct connection *connection)
{
    connection->state = CONNECTION_LINGERING;
    turn_clear_deadline(connection->turn, &connection->notice);
    tls_finish(connection->tls, &connection->wire);
    write_wire(connection);
    uv_shutdown(&connection->shutdown, (uv_stream_t *)&connection->tcp,
                on_shutdown);
    turn_set_deadline(connection->turn, &connection->timer,
                      turn_now_ms(connection->turn) + CONNECTION_LINGER_MS);
}

/* Was everything said that there was to say? */
static bool is_drained(const struct connection *connection)
{
    bool asked =
        connection->is_server ? connection->refusing : connection->draining;

    return asked && list_empty(&connection->session.calls);
}

/* After a write: is the connection at its end? */
static void check_end(struct connection *connection)
{
    struct error why;

    if (connection->state != CONNECTION_OPEN ||
        buffer_length(&connection->wire) > 0 ||
        buffer_length(&connection->writing) > 0)
        return;
    if (is_drained(connection)) {
        linger(connection);
    } else if (h2_done(connection->session.h2)) {
        error_set(&why, ERROR_UNAVAILABLE, "HTTP/2: %s",
                  h2_trouble(connection->session.h2));
        fail(connection, &why);
    }
}

/* Client: no further call may be started here. */
static void on_goaway(struct session *session)
{
    struct connection *connection =
        container_of(session, struct connection, session);

    if (connection->draining || connection->is_server)
        return;
    connection->draining = true;
    connection->events->draining(connection);
}

static void flush(struct task *task)
{
    struct connection *connection =
        container_of(task, struct connection, flush);
    struct error why;
    bool more = false;
    int code;

    if (connection->greeted && h2_worn_out(connection->session.h2))
        on_goaway(&connection->session);
    if (connection->state == CONNECTION_CLOSED)
        return; /* by whom that was told */

    if (connection->state == CONNECTION_OPEN &&
        pull(connection, &more, &why) != 0) {
        fail(connection, &why);
        return;
    }
    code = write_wire(connection);
    if (code != 0)
        fail_uv(connection, "write", code);
    else if (more && buffer_length(&connection->writing) == 0)
        turn_post_flush(connection->turn, task);
    else
        check_end(connection);
}

static void on_wake(struct session *session)
{
    struct connection *connection =
        container_of(session, struct connection, session);

    if (connection->state == CONNECTION_OPEN ||
        connection->state == CONNECTION_HANDSHAKE)
        turn_post_flush(connection->turn, &connection->flush);
}

/* ---- reading ------------------------------------------------------------ */

static void start_keepalive(struct connection *connection)
{
    turn_set_deadline(connection->turn, &connection->timer,
                      turn_now_ms(connection->turn) + connection->keepalive_ms);
}

/* TLS is set up: HTTP/2 begins. */
static void open_session(struct connection *connection)
{
    struct session *session = &connection->session;

    session->peer = *tls_peer(connection->tls);
    connection->state = CONNECTION_OPEN;
    if (connection->is_server)
        session_start_server(session, connection->streams_max);
    else
        session_start_client(session);
    turn_post_flush(connection->turn, &connection->flush);
}

/* The peer's SETTINGS came, so it has accepted our certificate. */
static void on_ready(struct session *session)
{
    struct connection *connection =
        container_of(session, struct connection, session);

    connection->greeted = true;
    start_keepalive(connection);
    if (!connection->is_server)
        connection->events->ready(connection);
}

/* Decrypted bytes; `code` is TLS's verdict on what followed them. */
static void on_plain(struct connection *connection, struct buffer *plain,
                     int code, struct error *why)
{
    struct error trouble;

    if (connection->state == CONNECTION_HANDSHAKE && code == 0 &&
        tls_ready(connection->tls))
        open_session(connection);
    if (connection->state == CONNECTION_OPEN && buffer_length(plain) > 0 &&
        h2_receive(connection->session.h2, buffer_data(plain),
                   buffer_length(plain), &trouble) != 0 &&
        code == 0) {
        *why = trouble;
        code = (int)trouble.code;
    }
    if (connection->state == CONNECTION_CLOSED)
        return;
    if (code != 0) {
        write_wire(connection); /* the alert, if it can leave */
        fail(connection, why);
    } else if (buffer_length(&connection->wire) > 0) {
        turn_post_flush(connection->turn, &connection->flush);
    }
}

static void receive(struct connection *connection, const void *bytes,
                    size_t length)
{
    struct buffer plain;
    struct error why;
    int code;

    buffer_init(&plain, CONNECTION_WRITE_MAX_BYTES);
    code = tls_receive(connection->tls, bytes, length, &plain,
                       &connection->wire, &why);
    on_plain(connection, &plain, code, &why);
    buffer_fini(&plain);
}

/* One more step of a handshake: the first of this turn, or one for which there
 * is time. */
static bool may_shake(const struct connection *connection)
{
    static _Thread_local uint64_t last_ms;
    uint64_t began_ms = turn_now_ms(connection->turn);

    if (began_ms == last_ms)
        return clock_monotonic_ms() < began_ms + CONNECTION_SHAKES_MS;
    last_ms = began_ms;
    return true;
}

static void shake(struct task *task)
{
    struct connection *connection =
        container_of(task, struct connection, shake);
    struct buffer early = connection->early;

    if (!may_shake(connection)) {
        turn_post(connection->turn, task);
        return;
    }
    buffer_init(&connection->early, CONNECTION_EARLY_MAX_BYTES);
    receive(connection, buffer_data(&early), buffer_length(&early));
    buffer_fini(&early);
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *buffer)
{
    struct connection *connection =
        container_of((uv_tcp_t *)(void *)stream, struct connection, tcp);
    struct error why;

    if (length < 0)
        fail_uv(connection, "read", (int)length);
    if (length <= 0)
        return;
    connection->heard_ms = turn_now_ms(connection->turn);
    connection->pinged = false;
    if (connection->state != CONNECTION_HANDSHAKE)
        receive(connection, buffer->base, (size_t)length);
    else if (buffer_append(&connection->early, buffer->base, (size_t)length,
                           &why) != 0)
        fail(connection, &why);
    else
        turn_post(connection->turn, &connection->shake);
    turn_run_tasks(connection->turn);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init((char *)read_bytes, sizeof read_bytes);
}

/* ---- time --------------------------------------------------------------- */

/* Has the peer taken nothing of what waits for it during two keepalives? */
static bool is_stuck(struct connection *connection, uint64_t now_ms)
{
    size_t bytes =
        uv_stream_get_write_queue_size((uv_stream_t *)&connection->tcp);

    if (bytes == 0 || bytes != connection->stuck_bytes) {
        connection->stuck_bytes = bytes;
        connection->stuck_ms = now_ms;
    }
    return now_ms - connection->stuck_ms >= 2 * connection->keepalive_ms;
}

/* A peer is alive as long as it says something and takes what is said. */
static void keep_alive(struct connection *connection)
{
    uint64_t now_ms = turn_now_ms(connection->turn);
    struct error why;

    if (is_stuck(connection, now_ms)) {
        error_set(&why, ERROR_UNAVAILABLE,
                  "the peer has not read for %llu ms what was sent",
                  (unsigned long long)(now_ms - connection->stuck_ms));
        fail(connection, &why);
    } else if (now_ms - connection->heard_ms < connection->keepalive_ms) {
        turn_set_deadline(connection->turn, &connection->timer,
                          connection->heard_ms + connection->keepalive_ms);
    } else if (!connection->pinged) {
        connection->pinged = true;
        h2_ping(connection->session.h2);
        start_keepalive(connection);
    } else {
        error_set(&why, ERROR_UNAVAILABLE,
                  "the peer did not answer a PING within %llu ms",
                  (unsigned long long)connection->keepalive_ms);
        fail(connection, &why);
    }
}

static void on_timer(struct deadline *deadline)
{
    struct connection *connection =
        container_of(deadline, struct connection, timer);
    struct error why;

    switch (connection->state) {
    case CONNECTION_OPEN:
        if (connection->greeted) {
            keep_alive(connection);
            return;
        }
        error_set(&why, ERROR_UNAVAILABLE, "no SETTINGS came in time");
        break;
    case CONNECTION_CONNECTING:
        error_set(&why, ERROR_UNAVAILABLE, "connect: timed out");
        break;
    case CONNECTION_HANDSHAKE:
        error_set(&why, ERROR_UNAVAILABLE,
                  "the TLS handshake was not finished in time");
        break;
    case CONNECTION_LINGERING:
    case CONNECTION_CLOSED:
        error_set(&why, ERROR_UNAVAILABLE, "the connection was closed");
        break;
    }
    fail(connection, &why);
}

/* ---- draining ----------------------------------------------------------- */

/* What the client sent before it heard of the first GOAWAY has arrived. */
static void refuse_new(struct connection *connection)
{
    if (!connection->draining || connection->refusing ||
        connection->state != CONNECTION_OPEN)
        return;
    connection->refusing = true;
    h2_shutdown(connection->session.h2);
}

static void on_pong(struct session *session)
{
    struct connection *connection =
        container_of(session, struct connection, session);

    if (connection->is_server)
        refuse_new(connection);
}

static void on_notice(struct deadline *deadline)
{
    refuse_new(container_of(deadline, struct connection, notice));
}

void connection_drain(struct connection *connection)
{
    static const struct error closing = {ERROR_UNAVAILABLE,
                                         "the server is shutting down"};

    if (connection->state == CONNECTION_HANDSHAKE)
        connection_close(connection, &closing);
    if (connection->state != CONNECTION_OPEN || connection->draining)
        return;
    connection->draining = true;
    h2_shutdown_notice(connection->session.h2);
    h2_ping(connection->session.h2);
    turn_set_deadline(connection->turn, &connection->notice,
                      turn_now_ms(connection->turn) + CONNECTION_NOTICE_MS);
}

/* ---- the beginning ------------------------------------------------------ */

void connection_ignore_sigpipe(void)
{
    struct sigaction present;

    if (sigaction(SIGPIPE, NULL, &present) == 0 &&
        present.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

struct connection *connection_new(uv_loop_t *loop, struct tls *tls,
                                  bool is_server,
                                  const struct connection_config *config)
{
    struct connection *connection = memory_new(sizeof *connection);
    struct session *session = &connection->session;

    uv_tcp_init(loop, &connection->tcp);
    buffer_init(&connection->wire, CONNECTION_WRITE_MAX_BYTES);
    buffer_init(&connection->writing, CONNECTION_WRITE_MAX_BYTES);
    buffer_init(&connection->early, CONNECTION_EARLY_MAX_BYTES);
    task_init(&connection->flush, flush);
    task_init(&connection->shake, shake);
    list_init(&connection->link);
    connection->timer.expired = on_timer;
    connection->notice.expired = on_notice;
    connection->tls = tls;
    connection->is_server = is_server;
    connection->turn = config->turn;
    connection->events = config->events;
    connection->data = config->data;
    connection->streams_max = config->streams_max;
    connection->keepalive_ms =
        config->keepalive_ms ? config->keepalive_ms : CONNECTION_KEEPALIVE_MS;
    connection->handshake_ms = config->handshake_ms;
    if (connection->handshake_ms == 0)
        connection->handshake_ms =
            is_server ? CONNECTION_HANDSHAKE_MS : CONNECTION_CONNECT_MS;
    session->turn = config->turn;
    session->registry = config->registry;
    session->authority = config->authority;
    session->wake = on_wake;
    session->ready = on_ready;
    session->goaway = on_goaway;
    session->pong = on_pong;
    list_init(&session->calls);
    turn_use(config->turn);
    return connection;
}

static void start_reading(struct connection *connection)
{
    connection->state = CONNECTION_HANDSHAKE;
    connection->heard_ms = turn_now_ms(connection->turn);
    uv_tcp_nodelay(&connection->tcp, 1);
    uv_read_start((uv_stream_t *)&connection->tcp, on_alloc, on_read);
}

static void on_connect(uv_connect_t *connect, int status)
{
    struct connection *connection =
        container_of(connect, struct connection, connect);

    if (connection->state == CONNECTION_CLOSED)
        return;
    if (status != 0) {
        connection->refused = status == UV_ECONNREFUSED;
        fail_uv(connection, "connect", status);
        return;
    }
    start_reading(connection);
    turn_post(connection->turn, &connection->shake);
}

void connection_dial(struct connection *connection,
                     const struct sockaddr *address)
{
    int code = uv_tcp_connect(&connection->connect, &connection->tcp, address,
                              on_connect);
    uint64_t now_ms = turn_now_ms(connection->turn);

    /* Where it fails at once the timer tells, from outside this call. */
    turn_set_deadline(connection->turn, &connection->timer,
                      code == 0 ? now_ms + connection->handshake_ms : now_ms);
}

void connection_accept(struct connection *connection, uv_stream_t *listener)
{
    uint64_t now_ms = turn_now_ms(connection->turn);

    if (uv_accept(listener, (uv_stream_t *)&connection->tcp) != 0) {
        turn_set_deadline(connection->turn, &connection->timer, now_ms);
        return;
    }
    start_reading(connection);
    turn_set_deadline(connection->turn, &connection->timer,
                      now_ms + connection->handshake_ms);
}
