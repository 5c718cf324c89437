#include "node/image/digest.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

static const char prefix[] = "sha256:";

enum { PREFIX_LENGTH = sizeof prefix - 1, RAW_BYTES = 32 };

int digest_parse(const char *text, struct digest *out, struct error *why)
{
    const char *digits = text + PREFIX_LENGTH;

    if (strncmp(text, prefix, PREFIX_LENGTH) != 0 ||
        strlen(digits) != DIGEST_HEX_LENGTH ||
        strspn(digits, "0123456789abcdef") != DIGEST_HEX_LENGTH)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%.100s\" is no digest (sha256: and 64 lower-case "
                         "hex digits)",
                         text);
    memcpy(out->text, text, PREFIX_LENGTH + DIGEST_HEX_LENGTH + 1);
    return 0;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return strcmp(a->text, b->text) == 0;
}

const char *digest_hex(const struct digest *digest)
{
    return digest->text + PREFIX_LENGTH;
}

void digest_of(const void *bytes, size_t length, struct digest *out)
{
    struct digest_stream stream;

    digest_stream_init(&stream);
    digest_stream_add(&stream, bytes, length);
    digest_stream_end(&stream, out);
    digest_stream_fini(&stream);
}

/* OpenSSL fails here only when it has no memory or no SHA-256. */
static void demand(int done)
{
    if (done != 1) {
        fputs("SHA-256 is not available\n", stderr);
        abort();
    }
}

void digest_stream_init(struct digest_stream *stream)
{
    stream->context = EVP_MD_CTX_new();
    demand(stream->context != NULL);
    demand(EVP_DigestInit_ex(stream->context, EVP_sha256(), NULL));
}

void digest_stream_fini(struct digest_stream *stream)
{
    EVP_MD_CTX_free(stream->context);
    stream->context = NULL;
}

void digest_stream_add(struct digest_stream *stream, const void *bytes,
                       size_t length)
{
    demand(EVP_DigestUpdate(stream->context, bytes, length));
}

void digest_stream_end(struct digest_stream *stream, struct digest *out)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t raw[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    char *next = out->text + PREFIX_LENGTH;

    demand(EVP_DigestFinal_ex(stream->context, raw, &length));
    assert(length == RAW_BYTES);
    memcpy(out->text, prefix, PREFIX_LENGTH);
    for (unsigned i = 0; i < length; i++) {
        *next++ = hex[raw[i] >> 4];
        *next++ = hex[raw[i] & 15];
    }
    *next = '\0';
}
