/* A file that describes a pod. What is read is written as JSON, which read
 * again is the same message. */
#include "base/fd.h"
#include "client/json.h"
#include "client/message.h"
#include "client/yaml.h"
#include "kontor/v1/types.pb-c.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static int read_from(const void *bytes, size_t length, ProtobufCMessage **out)
{
    CLEANUP(fd_close) int fd = memfd_create("pod.yaml", MFD_CLOEXEC);
    char path[64];
    struct error why;

    assert(fd >= 0);
    assert(fd_write_all(fd, bytes, length, &why) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return yaml_read_message(path, &kontor__v1__pod_spec__descriptor, out,
                             &why);
}

static void expect_same(const ProtobufCMessage *one,
                        const ProtobufCMessage *other)
{
    size_t length = protobuf_c_message_get_packed_size(one);
    uint8_t *first = malloc(length + 1);
    uint8_t *second = malloc(length + 1);

    assert(first && second);
    assert(protobuf_c_message_get_packed_size(other) == length);
    protobuf_c_message_pack(one, first);
    protobuf_c_message_pack(other, second);
    assert(memcmp(first, second, length) == 0);
    free(first);
    free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    ProtobufCMessage *message = NULL;
    ProtobufCMessage *again = NULL;
    json_t *json;
    char *text;

    if (read_from(bytes, length, &message) != 0) {
        assert(!message);
        return 0;
    }
    json = json_of_message(message);
    text = json_dumps(json, 0);
    assert(text);
    if (strlen(text) <= YAML_FILE_MAX_BYTES) {
        assert(read_from(text, strlen(text), &again) == 0);
        expect_same(message, again);
    }
    free(text);
    json_decref(json);
    message_free(message);
    message_free(again);
    return 0;
}
