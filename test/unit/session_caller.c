#include "session_caller.h"

#include "base/memory.h"

#include <assert.h>
#include <nghttp2/nghttp2.h>
#include <string.h>

enum { BODY_MAX_BYTES = 64 << 20, OUT_MAX_BYTES = 16 << 20 };

struct session_caller {
    struct session_fixture *server;
    nghttp2_session *client;
    int32_t stream;
    struct buffer body; /* not yet sent */
    bool last;
    bool ended;
};

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *room,
                       size_t length, uint32_t *flags,
                       nghttp2_data_source *source, void *data)
{
    struct session_caller *caller = source->ptr;

    (void)session;
    (void)id;
    (void)data;
    if (buffer_length(&caller->body) == 0 && !caller->last)
        return NGHTTP2_ERR_DEFERRED;
    if (length > buffer_length(&caller->body))
        length = buffer_length(&caller->body);
    if (length > 0)
        memcpy(room, buffer_data(&caller->body), length);
    buffer_consume(&caller->body, length);
    if (caller->last && buffer_length(&caller->body) == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)length;
}

static int on_closed(nghttp2_session *session, int32_t id, uint32_t code,
                     void *data)
{
    struct session_caller *caller = data;

    (void)session;
    (void)id;
    (void)code;
    caller->ended = true;
    return 0;
}

struct session_caller *session_caller_new(struct session_fixture *server,
                                          const char *path)
{
    struct session_caller *caller = memory_new(sizeof *caller);
    const nghttp2_data_provider provider = {{.ptr = caller}, on_read};
    const nghttp2_nv headers[] = {
        H2_HEADER(":method", "POST", 4),
        H2_HEADER(":scheme", "https", 5),
        H2_HEADER(":authority", "m1:7400", 7),
        H2_HEADER(":path", path, strlen(path)),
        H2_HEADER("content-type", "application/grpc", 16),
    };
    nghttp2_session_callbacks *callbacks;

    caller->server = server;
    buffer_init(&caller->body, BODY_MAX_BYTES);
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
                                                           on_closed);
    nghttp2_session_client_new(&caller->client, callbacks, caller);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(caller->client, NGHTTP2_FLAG_NONE, NULL, 0);
    caller->stream = nghttp2_submit_request(caller->client, NULL, headers, 5,
                                            &provider, NULL);
    assert(caller->stream > 0);
    return caller;
}

void session_caller_free(struct session_caller *caller)
{
    nghttp2_session_del(caller->client);
    buffer_fini(&caller->body);
    free(caller);
}

void session_caller_send(struct session_caller *caller, const void *bytes,
                         size_t length, bool last)
{
    struct error why;

    assert(!caller->last);
    if (buffer_append(&caller->body, bytes, length, &why) != 0)
        abort();
    caller->last = last;
    (void)nghttp2_session_resume_data(caller->client, caller->stream);
}

void session_caller_send_message(struct session_caller *caller,
                                 const ProtobufCMessage *message, bool last)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    uint8_t *frame = memory_new(5 + length);

    for (unsigned i = 0; i < 4; i++)
        frame[1 + i] = (uint8_t)(length >> (24 - 8 * i));
    protobuf_c_message_pack(message, frame + 5);
    session_caller_send(caller, frame, 5 + length, last);
    free(frame);
}

void session_caller_turn(struct session_caller *caller)
{
    struct session_fixture *server = caller->server;
    struct buffer out;
    bool moved = true;

    buffer_init(&out, OUT_MAX_BYTES);
    while (moved) {
        const uint8_t *bytes;
        ssize_t length = nghttp2_session_mem_send(caller->client, &bytes);
        struct error why;

        assert(length >= 0);
        moved = length > 0;
        if (moved &&
            h2_receive(server->session.h2, bytes, (size_t)length, &why) != 0)
            abort(); /* the frames are good; only the body may not be */
        session_fixture_turn(server, &out, &why);
        if (buffer_length(&out) == 0)
            continue;
        moved = true;
        if (nghttp2_session_mem_recv(caller->client, buffer_data(&out),
                                     buffer_length(&out)) < 0)
            abort();
        buffer_consume(&out, buffer_length(&out));
    }
    buffer_fini(&out);
}

bool session_caller_ended(const struct session_caller *caller)
{
    return caller->ended;
}
