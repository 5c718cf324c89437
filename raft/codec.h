/* codec.h - the core's messages and their form on the wire
 * (proto/kontor/v1/raft.proto). Pure. */
#pragma once

#include "base/error.h"
#include "kontor/v1/raft.pb-c.h"
#include "raft/core/message.h"

/* Entries of one message. The leader sends CODEC_ENTRIES_BYTES_MAX of them at
 * most, counting RAFT_ENTRY_OVERHEAD_BYTES for each beside its bytes; one
 * that is larger travels alone. */
enum { CODEC_ENTRIES_MAX = 1 << 15, CODEC_ENTRIES_BYTES_MAX = 512 << 10 };

/* A message laid out for protobuf-c: borrows the bytes of what it was made
 * from. All zero at first; may be used again. */
struct codec_frame {
    Kontor__V1__RaftMessage message;
    Kontor__V1__RaftEntry *entries;   /* owned */
    Kontor__V1__RaftEntry **pointers; /* owned */
    size_t capacity;
};

/* Returns frame->message, valid while `message` is and until the next call. */
const Kontor__V1__RaftMessage *codec_encode(struct codec_frame *frame,
                                            const struct raft_message *message);
void codec_frame_fini(struct codec_frame *frame);

/* `out` owns copies of the entries: raft_message_fini(). INVALID_ARGUMENT,
 * and `out` untouched, when it is no message that a member could send. */
int codec_decode(const Kontor__V1__RaftMessage *in, struct raft_message *out,
                 struct error *why);
