/* digest.h - content addresses: "sha256:" and 64 lower-case hex digits.
 *
 * sha512 is not taken: no registry serves it, and one algorithm keeps a
 * layer's folder name unique. */
#pragma once

#include "base/error.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    DIGEST_HEX_LENGTH = 64,
    DIGEST_TEXT_MAX = 72 /* "sha256:", the digits and a NUL */
};

/* A value. All zero is "none". */
struct digest {
    char text[DIGEST_TEXT_MAX];
};

/* INVALID_ARGUMENT names the text and what a digest looks like. */
int digest_parse(const char *text, struct digest *out, struct error *why);

bool digest_equal(const struct digest *a, const struct digest *b);

/* The digits alone: the name of a file in the store. Borrowed. */
const char *digest_hex(const struct digest *digest);

void digest_of(const void *bytes, size_t length, struct digest *out);

/* A digest of bytes that come in pieces. */
struct digest_stream {
    EVP_MD_CTX *context; /* owned */
};

void digest_stream_init(struct digest_stream *stream);
void digest_stream_fini(struct digest_stream *stream);
void digest_stream_add(struct digest_stream *stream, const void *bytes,
                       size_t length);
/* Once; only fini may follow. */
void digest_stream_end(struct digest_stream *stream, struct digest *out);
