#include "base/envelope.h"

#include "base/fd.h"
#include "base/memory.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10, LENGTH_BYTES = 8 };

static void put_number(uint8_t *out, uint64_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(number >> (8 * i));
}

static uint64_t get_number(const uint8_t *in, size_t bytes)
{
    uint64_t number = 0;

    for (size_t i = 0; i < bytes; i++)
        number |= (uint64_t)in[i] << (8 * i);
    return number;
}

/* ---- writing ---- */

static void start(struct envelope_writer *writer)
{
    writer->hash = EVP_MD_CTX_new();
    writer->length = 0;
    if (!writer->hash ||
        EVP_DigestInit_ex(writer->hash, EVP_sha256(), NULL) != 1)
        abort(); /* out of memory */
}

void envelope_begin(struct envelope_writer *writer, const char *kind,
                    size_t header_length, uint8_t head[ENVELOPE_HEAD_BYTES])
{
    assert(strlen(kind) == ENVELOPE_KIND_BYTES);
    assert(header_length <= ENVELOPE_HEADER_MAX_BYTES);
    start(writer);
    memcpy(head, kind, ENVELOPE_KIND_BYTES);
    put_number(head + ENVELOPE_KIND_BYTES, header_length,
               ENVELOPE_HEAD_BYTES - ENVELOPE_KIND_BYTES);
    envelope_add(writer, head, ENVELOPE_HEAD_BYTES);
}

void envelope_add(struct envelope_writer *writer, const void *bytes,
                  size_t length)
{
    int good = EVP_DigestUpdate(writer->hash, bytes, length);

    assert(good == 1);
    writer->length += length;
}

void envelope_end(struct envelope_writer *writer,
                  uint8_t seal[ENVELOPE_SEAL_BYTES])
{
    int good;

    put_number(seal, writer->length, LENGTH_BYTES);
    envelope_add(writer, seal, LENGTH_BYTES);
    good = EVP_DigestFinal_ex(writer->hash, seal + LENGTH_BYTES, NULL);
    assert(good == 1);
}

void envelope_fini(struct envelope_writer *writer)
{
    EVP_MD_CTX_free(writer->hash);
}

/* ---- reading ---- */

/* The first bytes say what it is and how long the header is. */
static int check_head(const uint8_t *head, const char *kind, uint64_t content,
                      struct envelope *out, struct error *why)
{
    size_t name = strcspn(kind, " ") + 1;

    if (memcmp(head, kind, name) != 0)
        return error_set(why, ERROR_INVALID_ARGUMENT, "this is no %.*s",
                         (int)name - 1, kind);
    if (memcmp(head, kind, ENVELOPE_KIND_BYTES) != 0)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "its form is not %.*s, which this program reads",
                         ENVELOPE_KIND_BYTES - 1, kind);
    out->header_length = (size_t)get_number(
        head + ENVELOPE_KIND_BYTES, ENVELOPE_HEAD_BYTES - ENVELOPE_KIND_BYTES);
    if (out->header_length > ENVELOPE_HEADER_MAX_BYTES ||
        out->header_length > content - ENVELOPE_HEAD_BYTES)
        return error_set(why, ERROR_DATA_LOSS,
                         "it is damaged: a header of %zu bytes",
                         out->header_length);
    out->body_offset = ENVELOPE_HEAD_BYTES + out->header_length;
    out->body_bytes = content - out->body_offset;
    return 0;
}

/* From where `fd` stands, `left` bytes; what of them is the header is kept. */
static int hash_content(int fd, uint64_t left, struct envelope_writer *hash,
                        struct envelope *out, struct error *why)
{
    CLEANUP(free_pointer) uint8_t *chunk = memory_new(READ_BYTES);

    if (fd_read_exact(fd, out->header, out->header_length, why) != 0)
        return (int)why->code;
    envelope_add(hash, out->header, out->header_length);
    for (left -= out->header_length; left > 0;) {
        size_t length = left < READ_BYTES ? (size_t)left : READ_BYTES;

        if (fd_read_exact(fd, chunk, length, why) != 0)
            return (int)why->code;
        envelope_add(hash, chunk, length);
        left -= length;
    }
    return 0;
}

static int check_seal(int fd, struct envelope_writer *hash,
                      struct envelope *out, struct error *why)
{
    uint8_t right[ENVELOPE_SEAL_BYTES];
    uint8_t found[ENVELOPE_SEAL_BYTES];

    envelope_end(hash, right);
    if (fd_read_exact(fd, found, sizeof found, why) != 0)
        return (int)why->code;
    if (memcmp(found, right, LENGTH_BYTES) != 0)
        return error_set(why, ERROR_DATA_LOSS,
                         "it is not whole: its %" PRIu64 " bytes do not end as "
                         "they should",
                         hash->length - LENGTH_BYTES + ENVELOPE_SEAL_BYTES);
    if (memcmp(found, right, sizeof found) != 0)
        return error_set(why, ERROR_DATA_LOSS,
                         "it is damaged: its checksum is wrong");
    memcpy(out->sha256, right + LENGTH_BYTES, sizeof out->sha256);
    return 0;
}

static int check(int fd, const char *kind, struct envelope_writer *hash,
                 struct envelope *out, struct error *why)
{
    uint8_t head[ENVELOPE_HEAD_BYTES];
    struct stat info;
    uint64_t content;

    if (fstat(fd, &info) != 0 || lseek(fd, 0, SEEK_SET) != 0)
        return error_errno(why, "read");
    if (info.st_size < ENVELOPE_HEAD_BYTES + ENVELOPE_SEAL_BYTES)
        return error_set(why, ERROR_DATA_LOSS, "it has only %lld bytes",
                         (long long)info.st_size);
    content = (uint64_t)info.st_size - ENVELOPE_SEAL_BYTES;
    if (fd_read_exact(fd, head, sizeof head, why) != 0 ||
        check_head(head, kind, content, out, why) != 0)
        return (int)why->code;
    envelope_add(hash, head, sizeof head);
    out->header = memory_new(out->header_length + 1);
    if (hash_content(fd, content - sizeof head, hash, out, why) != 0)
        return (int)why->code;
    return check_seal(fd, hash, out, why);
}

int envelope_check(int fd, const char *kind, struct envelope *out,
                   struct error *why)
{
    CLEANUP(envelope_fini) struct envelope_writer hash;
    struct envelope found = {0};

    start(&hash);
    if (check(fd, kind, &hash, &found, why) != 0) {
        free(found.header);
        return (int)why->code;
    }
    *out = found;
    return 0;
}
