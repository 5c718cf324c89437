/* nghttp2 with the few things that gRPC needs on top.
 *
 * Invariants: a stream's pointer is nghttp2's "stream user data" exactly while
 * stream->h2 is set, so an event for a stream that left finds nothing;
 * `sink` is set only inside h2_send(). */
#include "rpc/h2.h"

#include "base/memory.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SESSION_MAX_BYTES = 3 << 10, FRAMES_MAX_BYTES = 20 << 10 };

struct h2 {
    nghttp2_session *session;
    const struct h2_events *events; /* borrowed */
    void *data;
    bool server;
    bool settings_seen;
    size_t headers_bytes; /* of the block that is coming in */
    struct buffer *sink;  /* borrowed: where h2_send() puts the bytes */
    size_t target;        /* h2_send()'s */
    char trouble[128];    /* nghttp2's words for what went wrong */

    /* Two pieces of memory for nghttp2, see "memory" below. */
    bool session_taken;
    bool frames_taken;
    _Alignas(max_align_t) uint8_t session_room[SESSION_MAX_BYTES];
    _Alignas(max_align_t) uint8_t frames_room[FRAMES_MAX_BYTES];
};

/* The stream that an event is for; NULL when it has left. */
static struct h2_stream *find(const struct h2 *h2, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h2->session, id);
}

/* What a header counts beside its text (RFC 9113 section 6.5.2). */
enum { HEADER_OVERHEAD_BYTES = 32 };

static int on_begin_headers(nghttp2_session *session,
                            const nghttp2_frame *frame, void *data)
{
    struct h2 *h2 = data;
    struct h2_stream *stream;

    h2->headers_bytes = 0;
    if (frame->hd.type != NGHTTP2_HEADERS ||
        frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    stream = h2->events->begin(h2->data);
    stream->h2 = h2;
    stream->id = frame->hd.stream_id;
    nghttp2_session_set_stream_user_data(session, stream->id, stream);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame,
                     const uint8_t *name, size_t name_length,
                     const uint8_t *value, size_t value_length, uint8_t flags,
                     void *data)
{
    struct h2 *h2 = data;
    struct h2_stream *stream = find(h2, frame->hd.stream_id);

    (void)session;
    (void)flags;
    h2->headers_bytes += name_length + value_length + HEADER_OVERHEAD_BYTES;
    if (h2->headers_bytes > H2_HEADERS_HARD_MAX_BYTES) {
        memcpy(h2->trouble, "too many headers", sizeof "too many headers");
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (!stream)
        return 0;
    if (h2->headers_bytes > H2_HEADERS_MAX_BYTES)
        stream->headers_cut = true;
    else
        h2->events->header(stream, (const char *)name, (const char *)value);
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id,
                         const uint8_t *bytes, size_t length, void *data)
{
    struct h2 *h2 = data;
    struct h2_stream *stream = find(h2, id);

    (void)flags;
    if (stream)
        h2->events->data(stream, bytes, length);
    else
        nghttp2_session_consume(session, id, length);
    return 0;
}

static void stream_frame_received(struct h2 *h2, const nghttp2_frame *frame)
{
    struct h2_stream *stream = find(h2, frame->hd.stream_id);

    if (!stream)
        return;
    if (frame->hd.type == NGHTTP2_HEADERS)
        h2->events->headers(stream);
    if (stream->h2 && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        h2->events->end(stream);
}

static int on_frame_received(nghttp2_session *session,
                             const nghttp2_frame *frame, void *data)
{
    struct h2 *h2 = data;
    bool ack = frame->hd.flags & NGHTTP2_FLAG_ACK;

    (void)session;
    if (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) {
        stream_frame_received(h2, frame);
    } else if (frame->hd.type == NGHTTP2_SETTINGS && !ack &&
               !h2->settings_seen) {
        h2->settings_seen = true;
        h2->events->settings(h2->data);
    } else if (frame->hd.type == NGHTTP2_PING && ack) {
        h2->events->pong(h2->data);
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
        h2->events->goaway(h2->data);
    }
    return 0;
}

/* A server that said everything while the client is still talking tells it
 * to stop (RFC 9113 section 8.1). */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame,
                         void *data)
{
    struct h2 *h2 = data;
    int32_t id = frame->hd.stream_id;
    struct h2_stream *stream;

    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    stream = find(h2, id);
    if (stream)
        stream->out_ended = true;
    if (h2->server && nghttp2_session_get_stream_remote_close(session, id) == 0)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id,
                                  NGHTTP2_NO_ERROR);
    return 0;
}

static int on_stream_closed(nghttp2_session *session, int32_t id,
                            uint32_t error, void *data)
{
    struct h2 *h2 = data;
    struct h2_stream *stream = find(h2, id);

    (void)session;
    if (stream) {
        stream->h2 = NULL;
        h2->events->closed(stream, error);
    }
    return 0;
}

static int on_error(nghttp2_session *session, int code, const char *message,
                    size_t length, void *data)
{
    struct h2 *h2 = data;

    (void)session;
    (void)code;
    if (length >= sizeof h2->trouble)
        length = sizeof h2->trouble - 1;
    memcpy(h2->trouble, message, length);
    h2->trouble[length] = '\0';
    return 0;
}

static void submit_trailers(struct h2 *h2, struct h2_stream *stream)
{
    nghttp2_nv trailers[H2_TRAILERS_MAX];
    size_t count = h2->events->trailers(stream, trailers);

    nghttp2_submit_trailer(h2->session, stream->id, trailers, count);
}

/* How much of `out` the next DATA frame takes. */
static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *bytes,
                       size_t length, uint32_t *flags,
                       nghttp2_data_source *source, void *data)
{
    struct h2 *h2 = data;
    struct h2_stream *stream = find(h2, id);
    size_t queued;

    (void)session;
    (void)bytes;
    (void)source;
    if (!stream)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    queued = buffer_length(&stream->out);
    if (queued == 0 && !stream->final) {
        stream->idle = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (queued > length)
        return (ssize_t)length;
    if (stream->final) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (h2->server) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(h2, stream);
        }
    }
    return (ssize_t)queued;
}

enum { FRAME_HEAD_BYTES = 9 };

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame,
                        const uint8_t *head, size_t length,
                        nghttp2_data_source *source, void *data)
{
    struct h2 *h2 = data;
    struct h2_stream *stream = find(h2, frame->hd.stream_id);
    struct error why;

    (void)session;
    (void)source;
    if (!stream)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    assert(length <= buffer_length(&stream->out));
    if (buffer_append(h2->sink, head, FRAME_HEAD_BYTES, &why) != 0 ||
        buffer_append(h2->sink, buffer_data(&stream->out), length, &why) != 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    buffer_consume(&stream->out, length);
    buffer_rest(&stream->out);
    h2->events->sent(stream);
    return buffer_length(h2->sink) >= h2->target ? NGHTTP2_ERR_PAUSE : 0;
}

/* Out of memory is the one way in which nghttp2's setters fail. */
static void demand(int result)
{
    if (result != 0)
        abort();
}

/* ---- memory -------------------------------------------------------------
 *
 * nghttp2 has a buffer for the greatest frame, and of most connections no frame
 * is ever greater than a few hundred bytes. A `struct h2` is on pages of its
 * own: the first holds itself, nghttp2's session, which is the first that is
 * allocated, and the beginning of that buffer; the others are not touched.
 * With thousands of connections these are much of their memory. */

enum { FRAMES_MIN_BYTES = 16 << 10, HEADERS_KNOWN_BYTES = 1 << 10 };

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 }; /* it looks for what is leaked from the heap alone */
#else
enum { SANITIZED = 0 };
#endif

static struct h2 *h2_map(void)
{
    void *pages;

    if (SANITIZED)
        return memory_new(sizeof(struct h2));
    pages = mmap(NULL, sizeof(struct h2), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        abort(); /* out of memory */
    return pages;
}

static void h2_unmap(struct h2 *h2)
{
    if (SANITIZED)
        free(h2);
    else
        munmap(h2, sizeof *h2);
}

static bool is_within(const struct h2 *h2, const void *pointer)
{
    uintptr_t at = (uintptr_t)pointer;

    return at >= (uintptr_t)h2 && at < (uintptr_t)(h2 + 1);
}

static void *on_malloc(size_t size, void *data)
{
    (void)data;
    return malloc(size);
}

static void *on_calloc(size_t count, size_t size, void *data)
{
    struct h2 *h2 = data;

    if (h2->session_taken || count != 1 || size > SESSION_MAX_BYTES)
        return calloc(count, size);
    h2->session_taken = true;
    return h2->session_room;
}

static void on_free(void *pointer, void *data)
{
    if (!is_within(data, pointer))
        free(pointer);
}

static void *on_realloc(void *pointer, size_t size, void *data)
{
    struct h2 *h2 = data;
    void *larger;

    if (!pointer && !h2->frames_taken && size >= FRAMES_MIN_BYTES &&
        size <= FRAMES_MAX_BYTES) {
        h2->frames_taken = true;
        return h2->frames_room;
    }
    if (pointer != h2->frames_room)
        return realloc(pointer, size);
    if (size <= FRAMES_MAX_BYTES)
        return pointer;
    larger = malloc(size);
    if (larger)
        memcpy(larger, pointer, FRAMES_MAX_BYTES);
    return larger;
}

static nghttp2_session_callbacks *new_callbacks(void)
{
    nghttp2_session_callbacks *to;

    demand(nghttp2_session_callbacks_new(&to));
    nghttp2_session_callbacks_set_on_begin_headers_callback(to,
                                                            on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(to, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(to,
                                                              on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(to, on_frame_received);
    nghttp2_session_callbacks_set_on_frame_send_callback(to, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(to,
                                                           on_stream_closed);
    nghttp2_session_callbacks_set_error_callback2(to, on_error);
    nghttp2_session_callbacks_set_send_data_callback(to, on_send_data);
    return to;
}

static nghttp2_option *new_options(void)
{
    nghttp2_option *option;

    demand(nghttp2_option_new(&option));
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_deflate_dynamic_table_size(option,
                                                      HEADERS_KNOWN_BYTES);
    nghttp2_option_set_max_outbound_ack(option, H2_ACKS_QUEUED_MAX);
    nghttp2_option_set_max_settings(option, H2_SETTINGS_MAX);
    nghttp2_option_set_stream_reset_rate_limit(option, H2_RESETS_BURST,
                                               H2_RESETS_PER_SECOND);
    nghttp2_option_set_max_continuations(option, H2_CONTINUATIONS_MAX);
    return option;
}

static struct h2 *h2_new(const struct h2_events *events, void *data,
                         bool server, unsigned streams_max)
{
    struct h2 *h2 = h2_map();
    nghttp2_mem memory = {h2, on_malloc, on_free, on_calloc, on_realloc};
    nghttp2_session_callbacks *callbacks = new_callbacks();
    nghttp2_option *option = new_options();
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADERS_MAX_BYTES},
        {server ? NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS
                : NGHTTP2_SETTINGS_ENABLE_PUSH,
         streams_max},
    };

    h2->events = events;
    h2->data = data;
    h2->server = server;
    demand((server ? nghttp2_session_server_new3 : nghttp2_session_client_new3)(
        &h2->session, callbacks, h2, option, &memory));
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    demand(nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
                                   ARRAY_LEN(settings)));
    demand(nghttp2_session_set_local_window_size(
        h2->session, NGHTTP2_FLAG_NONE, 0, H2_CONNECTION_WINDOW_BYTES));
    return h2;
}

struct h2 *h2_new_server(const struct h2_events *events, void *data,
                         unsigned streams_max)
{
    return h2_new(events, data, true, streams_max);
}

struct h2 *h2_new_client(const struct h2_events *events, void *data)
{
    return h2_new(events, data, false, 0);
}

void h2_free(struct h2 *h2)
{
    if (!h2)
        return;
    nghttp2_session_del(h2->session);
    h2_unmap(h2);
}

int h2_receive(struct h2 *h2, const uint8_t *bytes, size_t length,
               struct error *why)
{
    ssize_t used = nghttp2_session_mem_recv(h2->session, bytes, length);

    h2->events->wake(h2->data);
    if (used >= 0)
        return 0;
    return error_set(why, ERROR_UNAVAILABLE, "HTTP/2: %s",
                     h2->trouble[0] ? h2->trouble
                                    : nghttp2_strerror((int)used));
}

int h2_send(struct h2 *h2, struct buffer *out, size_t target, struct error *why)
{
    ssize_t length = 1;
    int code = 0;

    h2->sink = out;
    h2->target = target;
    while (code == 0 && length > 0 && buffer_length(out) < target) {
        const uint8_t *bytes;

        length = nghttp2_session_mem_send(h2->session, &bytes);
        if (length > 0)
            code = buffer_append(out, bytes, (size_t)length, why);
    }
    h2->sink = NULL;
    if (length < 0)
        code = error_set(why, ERROR_UNAVAILABLE, "HTTP/2: %s",
                         nghttp2_strerror((int)length));
    return code;
}

bool h2_done(const struct h2 *h2)
{
    return !nghttp2_session_want_read(h2->session) &&
           !nghttp2_session_want_write(h2->session);
}

/* Left for the calls that come while another connection is made. */
enum { STREAM_IDS_SPARE = 1 << 20 };

bool h2_worn_out(const struct h2 *h2)
{
    return nghttp2_session_get_next_stream_id(h2->session) >
           INT32_MAX - STREAM_IDS_SPARE;
}

const char *h2_trouble(const struct h2 *h2)
{
    return h2->trouble[0] ? h2->trouble : "the connection is at its end";
}

void h2_stream_init(struct h2_stream *stream, size_t out_limit_bytes)
{
    *stream = (struct h2_stream){0};
    buffer_init(&stream->out, out_limit_bytes);
}

void h2_stream_fini(struct h2_stream *stream)
{
    assert(!stream->h2);
    buffer_fini(&stream->out);
}

static const nghttp2_data_provider body = {.read_callback = on_read};

int h2_stream_request(struct h2 *h2, struct h2_stream *stream,
                      const nghttp2_nv *headers, size_t count,
                      struct error *why)
{
    int32_t id = nghttp2_submit_request(h2->session, NULL, headers, count,
                                        &body, stream);

    if (id < 0)
        return error_set(why, ERROR_UNAVAILABLE,
                         "the connection takes no more calls: %s",
                         nghttp2_strerror(id));
    stream->h2 = h2;
    stream->id = id;
    h2->events->wake(h2->data);
    return 0;
}

void h2_stream_respond(struct h2_stream *stream, const nghttp2_nv *headers,
                       size_t count, bool last)
{
    stream->begun = true;
    nghttp2_submit_response(stream->h2->session, stream->id, headers, count,
                            last ? NULL : &body);
    stream->h2->events->wake(stream->h2->data);
}

void h2_stream_wake(struct h2_stream *stream)
{
    if (!stream->idle)
        return;
    stream->idle = false;
    nghttp2_session_resume_data(stream->h2->session, stream->id);
    stream->h2->events->wake(stream->h2->data);
}

void h2_stream_detach(struct h2_stream *stream)
{
    struct h2 *h2 = stream->h2;

    stream->h2 = NULL;
    nghttp2_session_set_stream_user_data(h2->session, stream->id, NULL);
    h2->events->wake(h2->data);
}

void h2_stream_reset(struct h2_stream *stream, uint32_t h2_error)
{
    nghttp2_submit_rst_stream(stream->h2->session, NGHTTP2_FLAG_NONE,
                              stream->id, h2_error);
    h2_stream_detach(stream);
}

void h2_consumed_stream(struct h2_stream *stream, size_t length)
{
    nghttp2_session_consume_stream(stream->h2->session, stream->id, length);
    stream->h2->events->wake(stream->h2->data);
}

void h2_consumed_connection(struct h2 *h2, size_t length)
{
    nghttp2_session_consume_connection(h2->session, length);
}

void h2_ping(struct h2 *h2)
{
    nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL);
    h2->events->wake(h2->data);
}

void h2_shutdown_notice(struct h2 *h2)
{
    nghttp2_submit_shutdown_notice(h2->session);
    h2->events->wake(h2->data);
}

void h2_shutdown(struct h2 *h2)
{
    nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(h2->session),
                          NGHTTP2_NO_ERROR, NULL, 0);
    h2->events->wake(h2->data);
}
