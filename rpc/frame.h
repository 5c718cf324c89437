/* frame.h - gRPC's five-byte framing: a flag, a length, a message.
 *
 *   | compressed (1) | length (4, big endian) | message |
 *
 * Frames may be split anywhere. Pure. */
#pragma once

#include "base/buffer.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

enum { FRAME_HEADER_BYTES = 5 };

struct frame_reader {
    uint8_t header[FRAME_HEADER_BYTES];
    uint8_t have;       /* bytes of the header */
    struct buffer body; /* the part of a split message that has come */
    size_t limit_bytes; /* of one message */
};

void frame_reader_init(struct frame_reader *reader, size_t limit_bytes);
void frame_reader_fini(struct frame_reader *reader);

/* Take one message from `*bytes`, which is advanced. True: `message` is it,
 * borrowed from the reader or from `*bytes` until the next call. False with
 * code 0: more bytes are needed, these are all used. False with a code: the
 * stream is broken. RESOURCE_EXHAUSTED: too large; INTERNAL: compressed. */
struct frame_bytes {
    const uint8_t *bytes;
    size_t length;
};
bool frame_read(struct frame_reader *reader, struct frame_bytes *bytes,
                struct frame_bytes *message, struct error *why);

/* Is a message begun and not complete? */
bool frame_reader_partial(const struct frame_reader *reader);

/* Bytes that the reader keeps: of a message not yet complete, or lent. */
size_t frame_reader_kept(const struct frame_reader *reader);

/* The message that frame_read() lent is done with; frees a large one. */
void frame_reader_drop(struct frame_reader *reader);

/* Append `message` and its header. RESOURCE_EXHAUSTED when it is larger than
 * `limit_bytes` or does not fit into `out`, which is then unchanged. */
int frame_write(struct buffer *out, const ProtobufCMessage *message,
                size_t limit_bytes, struct error *why);
