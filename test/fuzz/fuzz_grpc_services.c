/* fuzz_grpc_services.c - any bytes as the body of a call to health, watch or
 * reflection (the first byte chooses), and as a descriptor set. */
#include "rpc/descriptors.h"
#include "test/unit/session_fixture.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { OUT_MAX_BYTES = 16 << 20 };

struct body {
    const uint8_t *bytes;
    size_t length;
};

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *room,
                       size_t length, uint32_t *flags,
                       nghttp2_data_source *source, void *data)
{
    struct body *body = source->ptr;

    (void)session;
    (void)id;
    (void)data;
    if (length > body->length)
        length = body->length;
    memcpy(room, body->bytes, length);
    body->bytes += length;
    body->length -= length;
    if (body->length == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)length;
}

static void ask(nghttp2_session *client, const char *path, struct body *body)
{
    const nghttp2_data_provider provider = {{.ptr = body}, on_read};
    const nghttp2_nv headers[] = {
        H2_HEADER(":method", "POST", 4),
        H2_HEADER(":scheme", "https", 5),
        H2_HEADER(":path", path, strlen(path)),
        H2_HEADER("content-type", "application/grpc", 16),
    };

    nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, NULL, 0);
    nghttp2_submit_request(client, NULL, headers, 4, &provider, NULL);
}

static void call_service(const char *path, struct body body)
{
    struct session_fixture server;
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *client;
    struct buffer out;
    struct error why;
    const uint8_t *bytes;
    ssize_t length;

    session_fixture_init_server(&server);
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_client_new(&client, callbacks, NULL);
    nghttp2_session_callbacks_del(callbacks);
    ask(client, path, &body);
    buffer_init(&out, OUT_MAX_BYTES);
    while ((length = nghttp2_session_mem_send(client, &bytes)) > 0) {
        if (h2_receive(server.session.h2, bytes, (size_t)length, &why) != 0)
            abort(); /* the frames are good; only the body is not */
        session_fixture_turn(&server, &out, &why);
        if (nghttp2_session_mem_recv(client, buffer_data(&out),
                                     buffer_length(&out)) < 0)
            abort();
        buffer_consume(&out, buffer_length(&out));
    }
    nghttp2_session_del(client);
    buffer_fini(&out);
    session_fixture_fini(&server);
}

static void index_descriptors(const uint8_t *bytes, size_t length)
{
    struct descriptors descriptors;
    int files[DESCRIPTORS_FILES_MAX];
    struct error why;

    if (descriptors_load(&descriptors, bytes, length, &why) != 0)
        return;
    descriptors_file_by_name(&descriptors, "kontor/v1/types.proto");
    descriptors_file_by_symbol(&descriptors, "a.b.c.d");
    for (size_t i = 0; i < descriptors.file_count; i++)
        descriptors_closure(&descriptors, (int)i, files);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static const char *const paths[] = {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    };

    if (length < 1)
        return 0;
    if (bytes[0] % 4 == 3)
        index_descriptors(bytes + 1, length - 1);
    else
        call_service(paths[bytes[0] % 4], (struct body){bytes + 1, length - 1});
    return 0;
}
