#include "node/image/inflate.h"

#include "base/lang.h"
#include "base/memory.h"

#include <isa-l/igzip_lib.h>
#include <stdbool.h>
#include <string.h>
#include <zstd.h>

enum { MAGIC_BYTES = 4 };

struct inflate {
    struct inflate_out out;
    enum inflate_format format; /* of MAGIC_BYTES, or all there are */
    bool between;               /* members or frames: the stream may end here */
    uint8_t magic[MAGIC_BYTES];
    size_t magic_length;
    uint64_t in_bytes;
    uint64_t out_bytes;
    struct inflate_state gzip;
    ZSTD_DStream *zstd; /* owned; NULL unless it is one */
};

struct inflate *inflate_new(const struct inflate_out *out)
{
    struct inflate *inflate = memory_new(sizeof *inflate);

    inflate->out = *out;
    return inflate;
}

void inflate_free(struct inflate *inflate)
{
    if (!inflate)
        return;
    ZSTD_freeDStream(inflate->zstd);
    free(inflate);
}

static size_t room(struct inflate *inflate, uint8_t **at)
{
    return inflate->out.room(inflate->out.data, at);
}

/* Count what was put where there was room, and let it go. */
static int hand_on(struct inflate *inflate, const uint8_t *bytes, size_t length,
                   struct error *why)
{
    uint64_t total = inflate->out_bytes + length;

    if (length == 0)
        return 0;
    if (total > INFLATE_MAX_BYTES)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "unpacks to more than %llu GiB",
                         (unsigned long long)(INFLATE_MAX_BYTES >> 30));
    if (total > INFLATE_FREE_BYTES &&
        total / INFLATE_RATIO_MAX > inflate->in_bytes)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "unpacks to more than %d times its size",
                         INFLATE_RATIO_MAX);
    inflate->out_bytes = total;
    return inflate->out.put(inflate->out.data, bytes, length, why);
}

/* ---- gzip ---------------------------------------------------------------- */

static void gzip_member_begin(struct inflate *inflate)
{
    isal_inflate_reset(&inflate->gzip);
    inflate->gzip.crc_flag = ISAL_GZIP; /* headers and trailers are checked */
    inflate->between = false;
}

/* Inflate from what is in `gzip.next_in`, as much as there is room for. */
static int gzip_block(struct inflate *inflate, struct error *why)
{
    struct inflate_state *gzip = &inflate->gzip;
    uint8_t *at;
    size_t most = room(inflate, &at);
    int result;

    gzip->next_out = at;
    gzip->avail_out = (uint32_t)most;
    result = isal_inflate(gzip);
    if (result < 0 || result == ISAL_NEED_DICT)
        return error_set(why, ERROR_DATA_LOSS, "damaged gzip data (%s)",
                         result == ISAL_INCORRECT_CHECKSUM ? "checksum"
                         : result == ISAL_INVALID_WRAPPER  ? "header"
                                                           : "block");
    return hand_on(inflate, at, most - gzip->avail_out, why);
}

static int gzip_add(struct inflate *inflate, const uint8_t *bytes,
                    size_t length, struct error *why)
{
    struct inflate_state *gzip = &inflate->gzip;
    /* ISA-L only reads there, though its field is not const. */
    uint8_t *next_in = without_const(bytes);
    uint32_t avail_in = (uint32_t)length;

    while (!inflate->between || avail_in > 0) {
        if (inflate->between)
            gzip_member_begin(inflate);
        gzip->next_in = next_in;
        gzip->avail_in = avail_in;
        if (gzip_block(inflate, why) != 0)
            return (int)why->code;
        inflate->between = gzip->block_state == ISAL_BLOCK_FINISH;
        if (!inflate->between && gzip->avail_out > 0) {
            if (gzip->avail_in == 0)
                return 0; /* all is out that can come out */
            if (gzip->avail_in == avail_in)
                return error_set(why, ERROR_DATA_LOSS, "damaged gzip data");
        }
        next_in = gzip->next_in;
        avail_in = gzip->avail_in;
    }
    return 0;
}

/* ---- zstd ---------------------------------------------------------------- */

static int zstd_begin(struct inflate *inflate, struct error *why)
{
    inflate->zstd = ZSTD_createDStream();
    if (!inflate->zstd ||
        ZSTD_isError(ZSTD_DCtx_setParameter(inflate->zstd, ZSTD_d_windowLogMax,
                                            INFLATE_WINDOW_LOG_MAX)))
        return error_set(why, ERROR_RESOURCE_EXHAUSTED, "no memory for zstd");
    return 0;
}

static int zstd_add(struct inflate *inflate, const uint8_t *bytes,
                    size_t length, struct error *why)
{
    ZSTD_inBuffer in = {bytes, length, 0};
    ZSTD_outBuffer out;
    size_t left;

    do {
        uint8_t *at;

        out = (ZSTD_outBuffer){NULL, room(inflate, &at), 0};
        out.dst = at;
        left = ZSTD_decompressStream(inflate->zstd, &out, &in);
        if (ZSTD_isError(left))
            return error_set(why, ERROR_DATA_LOSS, "damaged zstd data: %s",
                             ZSTD_getErrorName(left));
        /* 0: a frame ended; the next bytes, if any, begin another. */
        inflate->between = left == 0;
        if (hand_on(inflate, at, out.pos, why) != 0)
            return (int)why->code;
    } while (in.pos < in.size || (out.pos == out.size && left > 0));
    return 0;
}

/* ---- plain --------------------------------------------------------------- */

static int plain_add(struct inflate *inflate, const uint8_t *bytes,
                     size_t length, struct error *why)
{
    while (length > 0) {
        uint8_t *at;
        size_t most = room(inflate, &at);
        size_t part = length < most ? length : most;

        memcpy(at, bytes, part);
        if (hand_on(inflate, at, part, why) != 0)
            return (int)why->code;
        bytes += part;
        length -= part;
    }
    return 0;
}

/* ---- any ----------------------------------------------------------------- */

static int add_known(struct inflate *inflate, const uint8_t *bytes,
                     size_t length, struct error *why)
{
    inflate->in_bytes += length;
    switch (inflate->format) {
    case INFLATE_GZIP:
        return gzip_add(inflate, bytes, length, why);
    case INFLATE_ZSTD:
        return zstd_add(inflate, bytes, length, why);
    case INFLATE_PLAIN:
        return plain_add(inflate, bytes, length, why);
    case INFLATE_UNKNOWN:
        break;
    }
    return error_set(why, ERROR_INTERNAL, "layer of no format");
}

/* Decide by what is in `magic`, then let it through. */
static int begin(struct inflate *inflate, struct error *why)
{
    static const uint8_t gzip[] = {0x1f, 0x8b};
    static const uint8_t zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    static const uint8_t skippable[] = {0x2a, 0x4d, 0x18}; /* from byte 1 */
    const uint8_t *magic = inflate->magic;
    bool whole = inflate->magic_length == MAGIC_BYTES;

    inflate->format = INFLATE_PLAIN;
    inflate->between = true;
    if (inflate->magic_length >= sizeof gzip &&
        memcmp(magic, gzip, sizeof gzip) == 0) {
        isal_inflate_init(&inflate->gzip);
        inflate->format = INFLATE_GZIP;
    } else if (whole &&
               (memcmp(magic, zstd, sizeof zstd) == 0 ||
                ((magic[0] & 0xf0) == 0x50 &&
                 memcmp(magic + 1, skippable, sizeof skippable) == 0))) {
        inflate->format = INFLATE_ZSTD;
        if (zstd_begin(inflate, why) != 0)
            return (int)why->code;
    }
    return add_known(inflate, magic, inflate->magic_length, why);
}

int inflate_add(struct inflate *inflate, const uint8_t *bytes, size_t length,
                struct error *why)
{
    while (inflate->format == INFLATE_UNKNOWN && length > 0) {
        inflate->magic[inflate->magic_length++] = *bytes++;
        length--;
        if (inflate->magic_length == MAGIC_BYTES && begin(inflate, why) != 0)
            return (int)why->code;
    }
    return length == 0 ? 0 : add_known(inflate, bytes, length, why);
}

int inflate_end(struct inflate *inflate, struct error *why)
{
    if (inflate->format == INFLATE_UNKNOWN && begin(inflate, why) != 0)
        return (int)why->code;
    if (!inflate->between)
        return error_set(why, ERROR_DATA_LOSS, "is cut short");
    return 0;
}

enum inflate_format inflate_found(const struct inflate *inflate)
{
    return inflate->format;
}
