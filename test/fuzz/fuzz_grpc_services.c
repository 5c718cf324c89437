/* fuzz_grpc_services.c - any bytes as the body of a call to health, watch or
 * reflection (the first byte chooses), and as a descriptor set. */
#include "rpc/descriptors.h"
#include "test/unit/session_caller.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void call_service(const char *path, const uint8_t *bytes, size_t length)
{
    struct session_fixture server;
    struct session_caller *caller;

    session_fixture_init_server(&server);
    caller = session_caller_new(&server, path);
    session_caller_send(caller, bytes, length, true);
    session_caller_turn(caller);
    session_caller_free(caller);
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
        call_service(paths[bytes[0] % 4], bytes + 1, length - 1);
    return 0;
}
