#include "raft/core/output.h"

#include "base/memory.h"

#include <stdlib.h>

void raft_output_init(struct raft_output *out)
{
    *out = (struct raft_output){0};
}

void raft_output_clear(struct raft_output *out)
{
    struct raft_outgoing *messages = out->messages;
    size_t capacity = out->message_capacity;

    for (size_t i = 0; i < out->message_count; i++)
        raft_message_fini(&messages[i].message);
    *out = (struct raft_output){.messages = messages,
                                .message_capacity = capacity};
}

void raft_output_fini(struct raft_output *out)
{
    raft_output_clear(out);
    free(out->messages);
    out->messages = NULL;
    out->message_capacity = 0;
}
