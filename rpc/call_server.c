/* The server's end of a call.
 *
 *   headers -> checked, its method found, the caller's role compared
 *           -> one request: method->handle(), or many: method->open()
 *           -> call_send()* -> call_finish() -> trailers -> `ended`
 *
 * A call that is refused never reaches the user: its status leaves in the one
 * HEADERS frame of the answer. */
#include "rpc/call_core.h"

#include "base/memory.h"
#include "rpc/status.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct h2_stream *on_begin(void *data)
{
    struct session *session = data;
    struct call *call = call_new(session->turn, true);

    call->peer = session->peer;
    call_attach(call, session);
    return &call->stream;
}

/* "application/grpc", alone or followed by + or ; */
static bool is_grpc_type(const char *value)
{
    static const char type[] = "application/grpc";
    char after;

    if (strncasecmp(value, type, sizeof type - 1) != 0)
        return false;
    after = value[sizeof type - 1];
    return after == '\0' || after == ';' ||
           strcasecmp(value, "application/grpc+proto") == 0 ||
           strncasecmp(value, "application/grpc+proto;", 23) == 0;
}

/* "admin/alice": for whom a master forwards the call. */
static void read_behalf(struct call *call, const char *value)
{
    const char *slash = strchr(value, '/');
    char role[RPC_NAME_MAX];
    struct rpc_identity person = {0};

    call->behalf_given = true;
    if (call->session->peer.role != RPC_ROLE_MASTER || !slash ||
        (size_t)(slash - value) >= sizeof role ||
        strlen(slash + 1) >= sizeof person.name) {
        call->peer.role = RPC_ROLE_NONE;
        return;
    }
    memcpy(role, value, (size_t)(slash - value));
    role[slash - value] = '\0';
    person.role = rpc_role_parse(role);
    memcpy(person.name, slash + 1, strlen(slash + 1) + 1);
    call->peer = person;
}

static void find_method(struct call *call, const char *path)
{
    call->method = registry_find(call->session->registry, path);
    if (!call->method) {
        free(call->message);
        call->message = memory_format("there is no method %.200s", path);
        return;
    }
    call->path = call->method->path;
    call->incoming = call->method->method->request;
}

static void on_header(struct h2_stream *stream, const char *name,
                      const char *value)
{
    struct call *call = call_of(stream);

    if (call->headers_done)
        return; /* a client's trailers say nothing */
    if (strcmp(name, ":path") == 0)
        find_method(call, value);
    else if (strcmp(name, ":method") == 0)
        call->is_post = strcmp(value, "POST") == 0;
    else if (strcmp(name, "content-type") == 0)
        call->is_grpc = is_grpc_type(value);
    else if (strcmp(name, "grpc-timeout") == 0)
        call->timeout_broken = !status_timeout_parse(value, &call->timeout_ms);
    else if (strcmp(name, "grpc-encoding") == 0)
        call->encoding_unknown = strcmp(value, "identity") != 0;
    else if (strcmp(name, "kontor-on-behalf-of") == 0)
        read_behalf(call, value);
}

/* A header whose value is copied, as it does not live long enough. */
static nghttp2_nv copied(nghttp2_nv header)
{
    header.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
    return header;
}

struct status_text {
    char code[4];
    char message[STATUS_MESSAGE_MAX];
};

/* grpc-status and, where there is one, grpc-message. */
static size_t status_headers(enum error_code code, const char *message,
                             struct status_text *text, nghttp2_nv *headers)
{
    size_t length =
        (size_t)snprintf(text->code, sizeof text->code, "%d", (int)code);

    headers[0] = copied(H2_HEADER("grpc-status", text->code, length));
    if (!message)
        return 1;
    length = status_message_encode(message, text->message);
    headers[1] = copied(H2_HEADER("grpc-message", text->message, length));
    return 2;
}

/* An answer that is only headers. `http_status` has three digits. */
static void answer_at_once(struct call *call, const char *http_status,
                           enum error_code code, const char *message)
{
    nghttp2_nv headers[5] = {
        H2_HEADER(":status", http_status, 3),
        H2_HEADER("content-type", "application/grpc", 16),
    };
    struct status_text text;
    size_t count = 2;

    if (call->encoding_unknown)
        headers[count++] = H2_HEADER("grpc-accept-encoding", "identity", 8);
    count += status_headers(code, message, &text, headers + count);
    h2_stream_respond(&call->stream, headers, count, true);
}

static void refuse(struct call *call, const char *http_status,
                   const struct error *why)
{
    answer_at_once(call, http_status, why->code, why->message);
    call_settle(call, why->code, why->message);
}

/* What keeps a call from its method. Returns the code, 0 for nothing. */
static int check_request(const struct call *call, struct error *why)
{
    const struct method *method = call->method ? call->method->method : NULL;

    if (call->stream.headers_cut)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "the headers exceed %d bytes", H2_HEADERS_MAX_BYTES);
    if (!method)
        return error_set(why, ERROR_UNIMPLEMENTED, "%s",
                         call->message ? call->message : "no path");
    if (call->timeout_broken)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "grpc-timeout cannot be read");
    if (call->encoding_unknown)
        return error_set(why, ERROR_UNIMPLEMENTED,
                         "only the encoding identity is known");
    if (call->behalf_given && call->peer.role == RPC_ROLE_NONE)
        return error_set(why, ERROR_PERMISSION_DENIED,
                         "only a master may call on behalf of another");
    if (!(method->roles & call->peer.role))
        return error_set(why, ERROR_PERMISSION_DENIED, "%s %s may not call %s",
                         rpc_role_name(call->peer.role), call->peer.name,
                         call->path);
    if (call->timeout_ms == 0)
        return error_set(why, ERROR_DEADLINE_EXCEEDED,
                         "%s came with no time left", call->path);
    return 0;
}

static void on_headers(struct h2_stream *stream)
{
    struct call *call = call_of(stream);
    const struct method *method;
    struct error why;

    if (call->headers_done)
        return;
    call->headers_done = true;
    if (!call->is_post) {
        error_set(&why, ERROR_INTERNAL, "gRPC calls are POST requests");
        refuse(call, "405", &why);
        return;
    }
    if (!call->is_grpc) {
        error_set(&why, ERROR_INTERNAL,
                  "the content type is not application/grpc");
        refuse(call, "415", &why);
        return;
    }
    if (check_request(call, &why) != 0) {
        refuse(call, "200", &why);
        return;
    }
    if (call->timeout_ms != UINT64_MAX)
        turn_set_deadline(call->turn, &call->deadline,
                          turn_now_ms(call->turn) + call->timeout_ms);
    method = call->method->method;
    if (method->client_streams)
        method->open(call);
}

/* A method that takes one request got a wrong number of them. */
static void refuse_count(struct call *call, const char *what)
{
    struct error why;

    error_set(&why, ERROR_UNIMPLEMENTED, "%s takes one request, %s came",
              call->path, what);
    call_break(call, &why);
}

void server_call_message(struct call *call, const ProtobufCMessage *message)
{
    const struct method *method = call->method->method;

    if (method->client_streams) {
        if (call->events->message)
            call->events->message(call, message);
    } else if (call->request_seen) {
        refuse_count(call, "a second one");
    } else {
        call->request_seen = true;
        method->handle(call, message);
    }
}

void server_call_end(struct call *call)
{
    if (!call->method->method->client_streams && !call->request_seen)
        refuse_count(call, "none");
    else if (call->events->half_closed)
        call->events->half_closed(call);
}

/* What the client takes for `code` when it sees no more than a reset. */
static uint32_t reset_of(enum error_code code)
{
    if (code == ERROR_RESOURCE_EXHAUSTED)
        return NGHTTP2_ENHANCE_YOUR_CALM;
    return code == ERROR_DEADLINE_EXCEEDED ? NGHTTP2_CANCEL
                                           : NGHTTP2_INTERNAL_ERROR;
}

void server_call_break(struct call *call, const struct error *why)
{
    if (!call->stream.h2)
        return;
    if (call->stream.begun)
        h2_stream_reset(&call->stream, reset_of(why->code));
    else
        answer_at_once(call, "200", why->code, why->message);
}

static size_t on_trailers(struct h2_stream *stream,
                          nghttp2_nv trailers[H2_TRAILERS_MAX])
{
    /* Read before this thread comes here again: nghttp2 copies it at once. */
    static _Thread_local struct status_text text;
    struct call *call = call_of(stream);

    return status_headers(call->code, call->message, &text, trailers);
}

static void on_closed(struct h2_stream *stream, uint32_t h2_error)
{
    struct call *call = call_of(stream);

    if (stream->out_ended)
        call_settle(call, ERROR_OK, NULL);
    else if (h2_error == NGHTTP2_CANCEL || h2_error == NGHTTP2_NO_ERROR)
        call_settle(call, ERROR_CANCELLED, "the client gave the call up");
    else
        call_settle(call, ERROR_CANCELLED, nghttp2_http2_strerror(h2_error));
}

static const struct h2_events server_events = {
    .begin = on_begin,
    .header = on_header,
    .headers = on_headers,
    .data = call_on_data,
    .end = call_on_end,
    .sent = call_on_sent,
    .trailers = on_trailers,
    .closed = on_closed,
    .settings = call_on_settings,
    .goaway = call_on_goaway,
    .pong = call_on_pong,
    .wake = call_on_wake,
};

void session_start_server(struct session *session, unsigned streams_max)
{
    list_init(&session->calls);
    session->h2 = h2_new_server(&server_events, session, streams_max);
}

void call_finish(struct call *call, const struct error *why)
{
    assert(call->is_server);
    if (call->settled || call->finished)
        return;
    call->finished = true;
    call->code = why->code;
    free(call->message);
    call->message = why->code ? memory_string(why->message) : NULL;
    if (!call->stream.begun) {
        answer_at_once(call, "200", call->code, call->message);
        return;
    }
    call->stream.final = true;
    h2_stream_wake(&call->stream);
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
