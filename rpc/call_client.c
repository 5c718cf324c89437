/* The client's end of a call.
 *
 *   channel_call() -> waits for a connection -> client_call_start()
 *                  -> messages -> trailers with a status -> `ended`
 *
 * What comes instead of a status (a reset, an answer that is no gRPC, a lost
 * connection) is turned into one as the gRPC document says. */
#include "rpc/call_core.h"

#include "base/memory.h"
#include "rpc/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BEHALF_MAX = 2 * RPC_NAME_MAX };

void client_call_start(struct call *call, struct session *session)
{
    static const char agent[] = "kontor/" KONTOR_VERSION;
    char timeout[STATUS_TIMEOUT_MAX];
    char behalf[BEHALF_MAX];
    struct error why;
    size_t count = 7;
    nghttp2_nv headers[9] = {
        H2_HEADER(":method", "POST", 4),
        H2_HEADER(":scheme", "https", 5),
        H2_HEADER(":path", call->path, strlen(call->path)),
        H2_HEADER(":authority", session->authority, strlen(session->authority)),
        H2_HEADER("te", "trailers", 8),
        H2_HEADER("content-type", "application/grpc", 16),
        H2_HEADER("user-agent", agent, sizeof agent - 1),
    };

    call_attach(call, session);
    if (call->timeout_ms != UINT64_MAX) {
        size_t length = status_timeout_format(call_remaining_ms(call), timeout);

        headers[count] = H2_HEADER("grpc-timeout", timeout, length);
        headers[count++].flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
    }
    if (call->on_behalf_of) {
        int length = snprintf(behalf, sizeof behalf, "%s/%s",
                              rpc_role_name(call->on_behalf_of->role),
                              call->on_behalf_of->name);

        headers[count] =
            H2_HEADER("kontor-on-behalf-of", behalf, (size_t)length);
        headers[count++].flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
    }
    if (h2_stream_request(session->h2, &call->stream, headers, count, &why) !=
        0)
        call_settle(call, why.code, why.message);
}

static void on_header(struct h2_stream *stream, const char *name,
                      const char *value)
{
    struct call *call = call_of(stream);

    if (strcmp(name, "grpc-status") == 0) {
        call->status_seen = true;
        call->code = status_parse(value);
    } else if (strcmp(name, "grpc-message") == 0) {
        char message[ERROR_MESSAGE_MAX];

        status_message_decode(value, message);
        free(call->message);
        call->message = memory_string(message);
    } else if (call->headers_done) {
        return;
    } else if (strcmp(name, ":status") == 0) {
        call->http_status = (unsigned)strtoul(value, NULL, 10);
    } else if (strcmp(name, "content-type") == 0) {
        call->is_grpc = strncasecmp(value, "application/grpc", 16) == 0;
    } else if (strcmp(name, "grpc-encoding") == 0) {
        call->encoding_unknown = strcmp(value, "identity") != 0;
    }
}

static void on_headers(struct h2_stream *stream)
{
    struct call *call = call_of(stream);
    struct error why;

    if (call->headers_done || call->http_status / 100 == 1)
        return;
    call->headers_done = true;
    error_clear(&why);
    if (call->status_seen)
        return;
    if (call->http_status != 200)
        error_set(&why, status_of_http(call->http_status),
                  "the server answered with HTTP status %u", call->http_status);
    else if (!call->is_grpc)
        error_set(&why, ERROR_UNKNOWN,
                  "the server's answer is not application/grpc");
    else if (call->encoding_unknown)
        error_set(&why, ERROR_INTERNAL,
                  "the server compresses and was not asked to");
    if (why.code)
        call_break(call, &why);
}

/* END_STREAM: the status is here or will never be. */
void client_call_end(struct call *call)
{
    char *message = call->message;

    if (call->settled)
        return;
    if (!call->stream.out_ended)
        h2_stream_reset(&call->stream, NGHTTP2_CANCEL);
    call->message = NULL; /* call_settle() takes a copy */
    if (call->status_seen)
        call_settle(call, call->code, message);
    else
        call_settle(call, ERROR_UNKNOWN,
                    "the server ended the call without a status");
    free(message);
}

static void on_closed(struct h2_stream *stream, uint32_t h2_error)
{
    char message[ERROR_MESSAGE_MAX];

    snprintf(message, sizeof message, "the call was reset: %s",
             nghttp2_http2_strerror(h2_error));
    call_settle(call_of(stream), status_of_reset(h2_error), message);
}

static const struct h2_events client_events = {
    .header = on_header,
    .headers = on_headers,
    .data = call_on_data,
    .end = call_on_end,
    .sent = call_on_sent,
    .closed = on_closed,
    .settings = call_on_settings,
    .goaway = call_on_goaway,
    .pong = call_on_pong,
    .wake = call_on_wake,
};

void session_start_client(struct session *session)
{
    list_init(&session->calls);
    session->h2 = h2_new_client(&client_events, session);
}

void session_lose(struct session *session, const struct error *why)
{
    list_for_each(link, next, &session->calls)
    {
        struct call *call = container_of(link, struct call, link);

        call->abandoned = true;
        call_settle(call, why->code, why->message);
    }
}

void session_fini(struct session *session)
{
    h2_free(session->h2);
    session->h2 = NULL;
}
