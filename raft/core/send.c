/* send.c - what goes out, and when it may (figure 2: persistent state is on the
 * disk before an answer; chapter 3.8). */
#include "raft/core/parts.h"

#include "base/memory.h"

/* Nothing may be said in a term, nor a vote be given, that a crash could take
 * back: a message waits while term and vote are on their way to the disk. A
 * leader's are durable since it was elected, so its appends never wait. */
void raft_send(struct raft *raft, struct raft_message *message,
               struct raft_output *out)
{
    if (out->message_count == out->message_capacity) {
        out->message_capacity =
            out->message_capacity ? 2 * out->message_capacity : 16;
        out->messages = memory_resize(out->messages, out->message_capacity *
                                                         sizeof *out->messages);
    }
    message->from = raft->config.self;
    if (message->term == 0)
        message->term = raft->term;
    out->messages[out->message_count++] = (struct raft_outgoing){
        .message = *message,
        .after_store = !raft_state_durable(raft),
    };
}
