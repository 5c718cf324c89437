#include "client/message.h"

#include "base/memory.h"

#include <assert.h>

char *message_text(const char *text)
{
    union {
        const char *given;
        char *field;
    } borrowed = {.given = text};

    return borrowed.field;
}

char **message_texts(const char *const *texts)
{
    union {
        const char *const *given;
        char **field;
    } borrowed = {.given = texts};

    return borrowed.field;
}

ProtobufCMessage *message_copy(const ProtobufCMessage *message)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = memory_new(length + 1);
    ProtobufCMessage *copy;

    protobuf_c_message_pack(message, bytes);
    copy = protobuf_c_message_unpack(message->descriptor, NULL, length, bytes);
    free(bytes);
    assert(copy);
    return copy;
}

void message_free(ProtobufCMessage *message)
{
    if (message)
        protobuf_c_message_free_unpacked(message, NULL);
}
