#include "node/image/record.h"

#include "base/fd.h"

#include <endian.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

int record_send(int fd, enum record_type type, const void *bytes, size_t length,
                struct error *why)
{
    uint8_t header[RECORD_HEADER_BYTES] = {(uint8_t)type};
    uint32_t wire = htole32((uint32_t)length);

    if (length > RECORD_MAX_BYTES)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED, "a record of %zu bytes",
                         length);
    memcpy(header + 1, &wire, sizeof wire);
    if (fd_write_all(fd, header, sizeof header, why) != 0)
        return (int)why->code;
    return fd_write_all(fd, bytes, length, why);
}

int record_send_progress(int fd, uint64_t done_bytes, uint64_t total_bytes,
                         struct error *why)
{
    uint64_t wire[2] = {htole64(done_bytes), htole64(total_bytes)};

    return record_send(fd, RECORD_PROGRESS, wire, sizeof wire, why);
}

int record_send_error(int fd, const struct error *what, struct error *why)
{
    uint8_t bytes[sizeof(uint32_t) + ERROR_MESSAGE_MAX];
    uint32_t code = htole32((uint32_t)what->code);
    size_t length = strlen(what->message);

    memcpy(bytes, &code, sizeof code);
    memcpy(bytes + sizeof code, what->message, length);
    return record_send(fd, RECORD_ERROR, bytes, sizeof code + length, why);
}

ssize_t record_next(const struct buffer *in, struct record *out,
                    struct error *why)
{
    static const char types[] = {RECORD_LAYERS, RECORD_PROGRESS, RECORD_IMAGE,
                                 RECORD_ERROR};
    const uint8_t *bytes = buffer_data(in);
    uint32_t length;

    if (buffer_length(in) < RECORD_HEADER_BYTES)
        return 0;
    memcpy(&length, bytes + 1, sizeof length);
    length = le32toh(length);
    if (!memchr(types, bytes[0], sizeof types) || length > RECORD_MAX_BYTES) {
        error_set(why, ERROR_DATA_LOSS, "the puller sent no record");
        return -1;
    }
    if (buffer_length(in) - RECORD_HEADER_BYTES < length)
        return 0;
    *out = (struct record){bytes[0], bytes + RECORD_HEADER_BYTES, length};
    return RECORD_HEADER_BYTES + (ssize_t)length;
}

int record_progress(const struct record *record, uint64_t *done_bytes,
                    uint64_t *total_bytes, struct error *why)
{
    uint64_t wire[2];

    if (record->length != sizeof wire)
        return error_set(why, ERROR_DATA_LOSS, "the puller's progress");
    memcpy(wire, record->bytes, sizeof wire);
    *done_bytes = le64toh(wire[0]);
    *total_bytes = le64toh(wire[1]);
    return 0;
}

/* A message quotes what registries and archives say. In knode it becomes a
 * status, which has to be UTF-8, and is printed on terminals. */
static void escape(const uint8_t *bytes, size_t length,
                   char out[ERROR_MESSAGE_MAX])
{
    enum { ESCAPED_BYTES = 4 }; /* "\xff" */
    size_t used = 0;

    for (size_t i = 0; i < length && used + ESCAPED_BYTES < ERROR_MESSAGE_MAX;
         i++) {
        bool plain = bytes[i] >= ' ' && bytes[i] <= '~';

        used += (size_t)snprintf(out + used, ERROR_MESSAGE_MAX - used,
                                 plain ? "%c" : "\\x%02x", bytes[i]);
    }
    out[used] = '\0';
}

void record_error(const struct record *record, struct error *out)
{
    char message[ERROR_MESSAGE_MAX] = "";
    uint32_t code = 0;

    if (record->length >= sizeof code) {
        memcpy(&code, record->bytes, sizeof code);
        escape(record->bytes + sizeof code, record->length - sizeof code,
               message);
    }
    code = le32toh(code);
    if (code == ERROR_OK || code > ERROR_UNAUTHENTICATED)
        code = ERROR_UNKNOWN;
    error_set(out, (enum error_code)code, "%s", message);
}
