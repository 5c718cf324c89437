/* envelope.h - a file with a header and a body that can tell if it is whole.
 *
 *   16 bytes  its kind and form, "kontor-backup 1\n"
 *    4        the header's length, little-endian
 *             the header
 *             the body
 *    8        the length of all before, little-endian
 *   32        SHA-256 of all before                                          */
#pragma once

#include "base/error.h"

#include <stdint.h>

enum {
    ENVELOPE_KIND_BYTES = 16,
    ENVELOPE_HEAD_BYTES = 20,
    ENVELOPE_SEAL_BYTES = 40,
    ENVELOPE_SHA256_BYTES = 32,
    ENVELOPE_HEADER_MAX_BYTES = 64 << 10,
};

/* ---- writing, piece by piece ---- */

struct envelope_writer {
    void *hash;
    uint64_t length;
};

/* `head` is what the file begins with; `kind` has ENVELOPE_KIND_BYTES. */
void envelope_begin(struct envelope_writer *writer, const char *kind,
                    size_t header_length, uint8_t head[ENVELOPE_HEAD_BYTES]);
/* What comes next: the header, then the body. */
void envelope_add(struct envelope_writer *writer, const void *bytes,
                  size_t length);
/* `seal` is what the file ends with. */
void envelope_end(struct envelope_writer *writer,
                  uint8_t seal[ENVELOPE_SEAL_BYTES]);
/* After envelope_begin(), whether it came to the end or not. */
void envelope_fini(struct envelope_writer *writer);

/* ---- reading ---- */

struct envelope {
    uint8_t *header; /* owned; freed with free() */
    size_t header_length;
    uint64_t body_offset;
    uint64_t body_bytes;
    uint8_t sha256[ENVELOPE_SHA256_BYTES];
};

/* Read all of the file behind `fd`, wherever that stands. INVALID_ARGUMENT: not
 * a file of this kind; FAILED_PRECONDITION: of another form; DATA_LOSS: it was
 * cut, or changed. `why` does not name the file. */
int envelope_check(int fd, const char *kind, struct envelope *out,
                   struct error *why);
