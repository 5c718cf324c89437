/* call_core.h - the inside of a call, for the files that make it up.
 *
 *   call.c         what both ends share: messages in and out, the end
 *   call_server.c  requests, dispatch, status out
 *   call_client.c  requests out, status in
 *
 * A call is on the wire while stream.h2 is set. It is `settled` once its
 * outcome is known; it has left the wire then, and its task tells `ended` and
 * frees it when what came before was delivered. */
#pragma once

#include "rpc/call.h"
#include "rpc/frame.h"
#include "rpc/session.h"

struct call {
    struct h2_stream stream;
    struct session *session; /* borrowed; NULL when not on a connection */
    struct turn *turn;       /* borrowed */
    struct list link;        /* session->calls, or a channel's waiting ones */
    struct task task;
    struct deadline deadline;
    const struct call_events *events; /* borrowed */
    void *data;
    const ProtobufCMessageDescriptor *incoming;
    const char *path; /* borrowed */
    struct frame_reader reader;
    struct buffer held;   /* came while paused; not yet framed */
    size_t charged_bytes; /* of session->buffered_bytes */
    size_t queued_bytes;  /* of session->queued_bytes */
    enum error_code code; /* the outcome; a server's status before that */
    char *message;        /* owned; NULL: none */
    bool is_server;
    bool paused;
    bool end_waits; /* END_STREAM came while there was something held */
    bool was_high;  /* the queue has been above CALL_QUEUE_HIGH_BYTES */
    bool writable_due;
    bool settled;
    bool abandoned; /* what is held is not wanted any more */

    /* Server: what the request's headers said. */
    const struct registry_method *method; /* NULL: unknown */
    struct rpc_identity peer;
    uint64_t timeout_ms; /* client, too; UINT64_MAX: none */
    bool is_post;
    bool is_grpc;          /* client, too: the content type */
    bool encoding_unknown; /* client, too */
    bool timeout_broken;
    bool behalf_given;
    bool headers_done; /* client, too */
    bool request_seen; /* the one message of a call that streams none */
    bool finished;     /* call_finish() was called */

    /* Client. */
    const struct error *trouble;             /* borrowed: the channel's */
    const struct rpc_identity *on_behalf_of; /* points to `peer` or is NULL */
    unsigned http_status;
    bool status_seen;
};

/* The limit that stands in `out`: the queue and the message that fills it. */
struct call *call_new(struct turn *turn, bool is_server);

/* Put it on a connection. */
void call_attach(struct call *call, struct session *session);

/* The outcome is known: leave the wire, tell `ended` soon. Only the first
 * outcome counts. `message` may be NULL. */
void call_settle(struct call *call, enum error_code code, const char *message);

/* It broke from this side: say so to the peer and settle. */
void call_break(struct call *call, const struct error *why);

/* Parts of the event tables that both ends share. */
void call_on_data(struct h2_stream *stream, const uint8_t *bytes,
                  size_t length);
void call_on_end(struct h2_stream *stream);
void call_on_sent(struct h2_stream *stream);
void call_on_settings(void *session);
void call_on_goaway(void *session);
void call_on_pong(void *session);
void call_on_wake(void *session);

static inline struct call *call_of(struct h2_stream *stream)
{
    return container_of(stream, struct call, stream);
}

/* call_server.c */
void server_call_message(struct call *call, const ProtobufCMessage *message);
void server_call_end(struct call *call);
void server_call_break(struct call *call, const struct error *why);

/* call_client.c: begin on a connection; the request's messages may be queued
 * already. */
void client_call_start(struct call *call, struct session *session);
void client_call_end(struct call *call);
