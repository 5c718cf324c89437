#include "raft/core/message.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

struct raft_payload *raft_payload_new(const void *bytes, size_t length)
{
    struct raft_payload *payload;

    assert(length <= UINT32_MAX);
    payload = memory_new(sizeof *payload + length);
    payload->references = 1;
    payload->length = (uint32_t)length;
    if (length)
        memcpy(payload->bytes, bytes, length);
    return payload;
}

struct raft_payload *raft_payload_take(struct raft_payload *payload)
{
    if (payload)
        payload->references++;
    return payload;
}

void raft_payload_drop(struct raft_payload *payload)
{
    if (payload && --payload->references == 0)
        free(payload);
}

void raft_message_fini(struct raft_message *message)
{
    for (size_t i = 0; i < message->entry_count; i++)
        raft_payload_drop(message->entries[i].payload);
    free(message->entries);
    message->entries = NULL;
    message->entry_count = 0;
}
