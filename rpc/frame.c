#include "rpc/frame.h"

#include <string.h>

void frame_reader_init(struct frame_reader *reader, size_t limit_bytes)
{
    *reader = (struct frame_reader){.limit_bytes = limit_bytes};
    buffer_init(&reader->body, limit_bytes);
}

void frame_reader_fini(struct frame_reader *reader)
{
    buffer_fini(&reader->body);
}

bool frame_reader_partial(const struct frame_reader *reader)
{
    return reader->have > 0;
}

size_t frame_reader_kept(const struct frame_reader *reader)
{
    return buffer_length(&reader->body);
}

void frame_reader_drop(struct frame_reader *reader)
{
    if (reader->have > 0)
        return;
    buffer_consume(&reader->body, buffer_length(&reader->body));
    buffer_rest(&reader->body);
}

static size_t header_length(const struct frame_reader *reader)
{
    const uint8_t *at = reader->header + 1;

    return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 |
           at[3];
}

static void advance(struct frame_bytes *bytes, size_t length)
{
    bytes->bytes += length;
    bytes->length -= length;
}

/* Fill the header; true when it is complete. */
static bool read_header(struct frame_reader *reader, struct frame_bytes *bytes)
{
    size_t wanted = (size_t)FRAME_HEADER_BYTES - reader->have;
    size_t take = bytes->length < wanted ? bytes->length : wanted;

    if (take > 0)
        memcpy(reader->header + reader->have, bytes->bytes, take);
    reader->have = (uint8_t)(reader->have + take);
    advance(bytes, take);
    return reader->have == FRAME_HEADER_BYTES;
}

static int check_header(const struct frame_reader *reader, struct error *why)
{
    size_t length = header_length(reader);

    if (length > reader->limit_bytes)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "a message of %zu bytes exceeds the limit of %zu",
                         length, reader->limit_bytes);
    if (reader->header[0] != 0)
        return error_set(why, ERROR_INTERNAL,
                         "a message is marked as compressed (%u) and no "
                         "compression was agreed on",
                         reader->header[0]);
    return 0;
}

bool frame_read(struct frame_reader *reader, struct frame_bytes *bytes,
                struct frame_bytes *message, struct error *why)
{
    size_t length;
    size_t kept;
    size_t take;

    error_clear(why);
    frame_reader_drop(reader);
    if (!read_header(reader, bytes))
        return false;
    if (check_header(reader, why) != 0)
        return false;
    length = header_length(reader);
    kept = buffer_length(&reader->body);
    if (kept == 0 && bytes->length >= length) {
        *message = (struct frame_bytes){bytes->bytes, length};
        advance(bytes, length);
        reader->have = 0;
        return true;
    }
    take = bytes->length < length - kept ? bytes->length : length - kept;
    if (buffer_append(&reader->body, bytes->bytes, take, why) != 0)
        return false;
    advance(bytes, take);
    if (kept + take < length)
        return false;
    *message = (struct frame_bytes){buffer_data(&reader->body), length};
    reader->have = 0;
    return true;
}

int frame_write(struct buffer *out, const ProtobufCMessage *message,
                size_t limit_bytes, struct error *why)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    uint8_t *room;

    if (length > limit_bytes)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "a message of %zu bytes exceeds the limit of %zu",
                         length, limit_bytes);
    room = buffer_reserve(out, FRAME_HEADER_BYTES + length);
    if (!room)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "%zu bytes wait to be sent, %zu more exceed %zu",
                         buffer_length(out), length, out->limit);
    room[0] = 0;
    room[1] = (uint8_t)(length >> 24);
    room[2] = (uint8_t)(length >> 16);
    room[3] = (uint8_t)(length >> 8);
    room[4] = (uint8_t)length;
    protobuf_c_message_pack(message, room + FRAME_HEADER_BYTES);
    buffer_extend(out, FRAME_HEADER_BYTES + length);
    return 0;
}
