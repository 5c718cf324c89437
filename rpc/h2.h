/* h2.h - one HTTP/2 connection without I/O, as much of it as gRPC needs.
 *
 * The peer's bytes go into h2_receive(), which runs the events; bytes for the
 * peer come out of h2_send(). A stream is embedded in what uses it and sends
 * what stands in its buffer `out`. Headers are nghttp2's, so they reach the
 * encoder without being copied. Inside an event every function but
 * h2_receive(), h2_send() and h2_free() may be called. */
#pragma once

#include "base/buffer.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

/* What a peer may do to us. */
enum {
    H2_STREAM_WINDOW_BYTES = 1 << 20,
    H2_CONNECTION_WINDOW_BYTES = 4 << 20,
    H2_HEADERS_MAX_BYTES = 16 << 10,      /* one block; the rest is cut */
    H2_HEADERS_HARD_MAX_BYTES = 64 << 10, /* then the connection is closed */
    H2_CONTINUATIONS_MAX = 8,             /* frames of one block */
    H2_SETTINGS_MAX = 32,                 /* entries in one frame */
    H2_ACKS_QUEUED_MAX = 1000,            /* answers to PING and SETTINGS */
    H2_RESETS_BURST = 4096,      /* RST_STREAMs (Rapid Reset): at once, ... */
    H2_RESETS_PER_SECOND = 1024, /* ... and lastingly */
    H2_TRAILERS_MAX = 4,
};

struct h2_stream {
    struct h2 *h2; /* NULL: not, or no longer, on a connection */
    int32_t id;
    struct buffer out; /* what is to be sent */
    bool final;        /* nothing will be added to `out` */
    bool begun;        /* server: the response's headers are submitted */
    bool out_ended;    /* END_STREAM was sent */
    bool idle;         /* nghttp2 waits for h2_stream_wake() */
    bool headers_cut;  /* a block was larger than H2_HEADERS_MAX_BYTES */
};

struct h2_events {
    /* Server: a request. The stream to use, initialised. */
    struct h2_stream *(*begin)(void *data);
    /* One header; both texts are terminated. Then: the block is complete. */
    void (*header)(struct h2_stream *stream, const char *name,
                   const char *value);
    void (*headers)(struct h2_stream *stream);
    /* Counts against the windows until h2_consumed_...(). */
    void (*data)(struct h2_stream *stream, const uint8_t *bytes, size_t length);
    /* END_STREAM came; after headers or data of the same frame. */
    void (*end)(struct h2_stream *stream);
    /* Some of `out` left. */
    void (*sent)(struct h2_stream *stream);
    /* Server: `out` is empty and final. Gives the trailers (copied) and
     * returns their count. */
    size_t (*trailers)(struct h2_stream *stream,
                       nghttp2_nv trailers[H2_TRAILERS_MAX]);
    /* The stream is gone; stream->h2 is NULL. */
    void (*closed)(struct h2_stream *stream, uint32_t h2_error);
    void (*settings)(void *data); /* the peer's first SETTINGS came */
    void (*goaway)(void *data);   /* the peer takes no new streams */
    void (*pong)(void *data);     /* the answer to h2_ping() */
    void (*wake)(void *data);     /* there may be something to send */
};

/* A header that needs no copying: literals, or memory that lives until the
 * stream is closed. */
#define H2_HEADER(name, value, value_length)                                   \
    ((nghttp2_nv){without_const(name), without_const(value), sizeof(name) - 1, \
                  (value_length),                                              \
                  NGHTTP2_NV_FLAG_NO_COPY_NAME |                               \
                      NGHTTP2_NV_FLAG_NO_COPY_VALUE})

struct h2 *h2_new_server(const struct h2_events *events, void *data,
                         unsigned streams_max);
struct h2 *h2_new_client(const struct h2_events *events, void *data);

/* Streams that are still on it are not told. */
void h2_free(struct h2 *h2);
/* UNAVAILABLE: the connection is over; what is wrong with it. */
int h2_receive(struct h2 *h2, const uint8_t *bytes, size_t length,
               struct error *why);
/* Append to `out` what is to be sent, until it holds `target` bytes or a
 * little more, or nothing is left. Errors as h2_receive(). */
int h2_send(struct h2 *h2, struct buffer *out, size_t target,
            struct error *why);
/* Both directions are over: the connection may be closed. */
bool h2_done(const struct h2 *h2);
/* Client: the numbers of streams come to their end (RFC 9113 5.1.1). */
bool h2_worn_out(const struct h2 *h2);
/* What the peer did wrong, as far as is known. Borrowed. */
const char *h2_trouble(const struct h2 *h2);

void h2_stream_init(struct h2_stream *stream, size_t out_limit_bytes);
void h2_stream_fini(struct h2_stream *stream);

/* Client: open a stream whose body is `out`. UNAVAILABLE when the connection
 * takes no more of them. */
int h2_stream_request(struct h2 *h2, struct h2_stream *stream,
                      const nghttp2_nv *headers, size_t count,
                      struct error *why);

/* Server: send the headers; the body is `out`, then come the trailers. With
 * `last` the headers are everything. */
void h2_stream_respond(struct h2_stream *stream, const nghttp2_nv *headers,
                       size_t count, bool last);

void h2_stream_wake(struct h2_stream *stream); /* `out`, `final` changed */

/* Leave the connection at once: with RST_STREAM, or letting what was
 * submitted be sent. No event follows. */
void h2_stream_reset(struct h2_stream *stream, uint32_t h2_error);
void h2_stream_detach(struct h2_stream *stream);

/* So many bytes of data were used, and the peer may send as many more. */
void h2_consumed_stream(struct h2_stream *stream, size_t length);
void h2_consumed_connection(struct h2 *h2, size_t length);

void h2_ping(struct h2 *h2);
void h2_shutdown_notice(struct h2 *h2); /* GOAWAY: no stream is refused yet */
void h2_shutdown(struct h2 *h2);        /* GOAWAY: new streams are refused */
