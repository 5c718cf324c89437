#include "master/record.h"

#include "base/fd.h"

#include <errno.h>
#include <unistd.h>

enum { VARINT_MAX = 5, FLUSH_BYTES = 64 << 10, READ_BYTES = 64 << 10 };

void record_writer_init(struct record_writer *writer, int fd)
{
    writer->fd = fd;
    buffer_init(&writer->buffer, FLUSH_BYTES + RECORD_MAX_BYTES + VARINT_MAX);
}

void record_writer_fini(struct record_writer *writer)
{
    buffer_fini(&writer->buffer);
}

int record_flush(struct record_writer *writer, struct error *why)
{
    size_t length = buffer_length(&writer->buffer);

    if (length == 0)
        return 0;
    if (fd_write_all(writer->fd, buffer_data(&writer->buffer), length, why))
        return error_wrap(why, "write snapshot");
    buffer_consume(&writer->buffer, length);
    return 0;
}

static size_t put_varint(uint8_t *out, size_t value)
{
    size_t used = 0;

    for (; value >= 0x80; value >>= 7)
        out[used++] = (uint8_t)(value | 0x80);
    out[used++] = (uint8_t)value;
    return used;
}

int record_write(struct record_writer *writer,
                 const Kontor__V1__SnapshotRecord *record, struct error *why)
{
    size_t length = kontor__v1__snapshot_record__get_packed_size(record);
    uint8_t *room;
    size_t head;

    if (length > RECORD_MAX_BYTES)
        return error_set(why, ERROR_INTERNAL,
                         "snapshot record of %zu bytes, %d are allowed", length,
                         RECORD_MAX_BYTES);
    if (buffer_length(&writer->buffer) >= FLUSH_BYTES &&
        record_flush(writer, why) != 0)
        return why->code;
    room = buffer_reserve(&writer->buffer, length + VARINT_MAX);
    if (!room)
        return error_set(why, ERROR_INTERNAL, "snapshot buffer is full");
    head = put_varint(room, length);
    kontor__v1__snapshot_record__pack(record, room + head);
    buffer_extend(&writer->buffer, head + length);
    return 0;
}

void record_reader_init(struct record_reader *reader, int fd)
{
    reader->fd = fd;
    buffer_init(&reader->buffer, RECORD_MAX_BYTES + READ_BYTES + VARINT_MAX);
}

void record_reader_fini(struct record_reader *reader)
{
    buffer_fini(&reader->buffer);
}

/* Read until `length` bytes are buffered or the file ends. */
static int fill(struct record_reader *reader, size_t length, struct error *why)
{
    while (buffer_length(&reader->buffer) < length) {
        uint8_t *room = buffer_reserve(&reader->buffer, READ_BYTES);
        ssize_t got;

        if (!room)
            return error_set(why, ERROR_INTERNAL, "snapshot buffer is full");
        got = read(reader->fd, room, READ_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(why, "read snapshot");
        if (got == 0)
            return 0;
        buffer_extend(&reader->buffer, (size_t)got);
    }
    return 0;
}

/* Take a varint off the front. */
static int take_length(struct record_reader *reader, size_t *out,
                       struct error *why)
{
    size_t value = 0;
    size_t used = 0;
    uint8_t byte = 0x80;

    if (fill(reader, VARINT_MAX, why) != 0)
        return why->code;
    while (used < VARINT_MAX && used < buffer_length(&reader->buffer) &&
           byte & 0x80) {
        byte = buffer_data(&reader->buffer)[used];
        value |= (size_t)(byte & 0x7f) << (7 * used);
        used++;
    }
    if (byte & 0x80)
        return error_set(why, ERROR_DATA_LOSS,
                         "snapshot ends before its last record");
    if (value > RECORD_MAX_BYTES)
        return error_set(why, ERROR_DATA_LOSS,
                         "snapshot record of %zu bytes, %d are allowed", value,
                         RECORD_MAX_BYTES);
    buffer_consume(&reader->buffer, used);
    *out = value;
    return 0;
}

int record_read(struct record_reader *reader, Kontor__V1__SnapshotRecord **out,
                struct error *why)
{
    Kontor__V1__SnapshotRecord *record;
    size_t length = 0;

    if (take_length(reader, &length, why) != 0 ||
        fill(reader, length, why) != 0)
        return why->code;
    if (buffer_length(&reader->buffer) < length)
        return error_set(why, ERROR_DATA_LOSS, "snapshot ends within a record");
    record = kontor__v1__snapshot_record__unpack(
        NULL, length, length ? buffer_data(&reader->buffer) : NULL);
    if (!record)
        return error_set(why, ERROR_DATA_LOSS,
                         "snapshot record of %zu bytes is not readable",
                         length);
    buffer_consume(&reader->buffer, length);
    *out = record;
    return 0;
}

int record_read_end(struct record_reader *reader, struct error *why)
{
    if (fill(reader, 1, why) != 0)
        return why->code;
    if (buffer_length(&reader->buffer) > 0)
        return error_set(why, ERROR_DATA_LOSS,
                         "snapshot goes on after its last record");
    return 0;
}
