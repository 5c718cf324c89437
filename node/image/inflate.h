/* inflate.h - a layer's compressed bytes turned into its tar archive.
 *
 * gzip (ISA-L; any number of members), zstd (any number of frames) or plain,
 * told apart by their first bytes. */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum {
    /* A zstd frame may ask for this window, as `zstd --long` writes it. */
    INFLATE_WINDOW_LOG_MAX = 27,
};

/* Tar bytes of one layer; and, above the free part, how many times larger
 * than what was fetched they may be: zero-filled files compress a
 * thousandfold, a bomb of gzips a million. */
#define INFLATE_MAX_BYTES (UINT64_C(64) << 30)
#define INFLATE_FREE_BYTES (UINT64_C(1) << 30)
#define INFLATE_RATIO_MAX 200

enum inflate_format {
    INFLATE_UNKNOWN, /* nobody said, or too few bytes were seen */
    INFLATE_GZIP,
    INFLATE_ZSTD,
    INFLATE_PLAIN,
};

struct inflate;

/* Where the tar bytes go. */
struct inflate_out {
    /* Where the next ones are to be put, and how many at most, never 0. */
    size_t (*room)(void *data, uint8_t **at);
    /* So many were put there. Returns 0 or an error's code. */
    int (*put)(void *data, const uint8_t *bytes, size_t length,
               struct error *why);
    void *data; /* borrowed */
};

struct inflate *inflate_new(const struct inflate_out *out);
void inflate_free(struct inflate *inflate);

/* The next compressed bytes, any number. DATA_LOSS when they are damaged,
 * RESOURCE_EXHAUSTED past a limit, or what `put` returned. After an error
 * only inflate_free() may follow. */
int inflate_add(struct inflate *inflate, const uint8_t *bytes, size_t length,
                struct error *why);

/* No more bytes come. DATA_LOSS when the stream is cut short. */
int inflate_end(struct inflate *inflate, struct error *why);

/* What it was, once inflate_end() succeeded. */
enum inflate_format inflate_found(const struct inflate *inflate);
