/* record.h - what the pulling process tells knode, on a pipe.
 *
 * A record is a type, the length of what follows (32 bits, little endian)
 * and that: once, the layers that will be used (an image, packed, that has
 * nothing else); progress (two 64-bit numbers); at the end an image (packed)
 * or an error (its code in 32 bits, its message). Pure but for record_send. */
#pragma once

#include "base/buffer.h"

#include <sys/types.h>

enum record_type {
    RECORD_LAYERS = 'L',
    RECORD_PROGRESS = 'P',
    RECORD_IMAGE = 'I',
    RECORD_ERROR = 'E',
};

enum { RECORD_MAX_BYTES = 8 << 20, RECORD_HEADER_BYTES = 5 };

struct record {
    enum record_type type;
    const uint8_t *bytes; /* borrowed from the buffer it was read from */
    size_t length;
};

int record_send(int fd, enum record_type type, const void *bytes, size_t length,
                struct error *why);
int record_send_progress(int fd, uint64_t done_bytes, uint64_t total_bytes,
                         struct error *why);
int record_send_error(int fd, const struct error *what, struct error *why);

/* The first record in `in`, which is consumed by the length it returns:
 * 0 when it is not all there yet, -1 when it is none (then `why` is set). */
ssize_t record_next(const struct buffer *in, struct record *out,
                    struct error *why);

/* Of a progress record: DATA_LOSS when it is none. Of an error record: what
 * it says, in printable ASCII, other bytes as \xNN. */
int record_progress(const struct record *record, uint64_t *done_bytes,
                    uint64_t *total_bytes, struct error *why);
void record_error(const struct record *record, struct error *out);
