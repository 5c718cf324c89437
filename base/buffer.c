#include "base/buffer.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

enum { CAPACITY_MIN = 256 };

void buffer_init(struct buffer *buffer, size_t limit_bytes)
{
    *buffer = (struct buffer){.limit = limit_bytes};
}

void buffer_fini(struct buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct buffer){0};
}

/* Move the content to the front, growing where that is not enough. */
static void make_room(struct buffer *buffer, size_t length)
{
    size_t used = buffer_length(buffer);
    size_t capacity = buffer->capacity ? buffer->capacity : CAPACITY_MIN;

    if (buffer->start > 0) {
        memmove(buffer->bytes, buffer_data(buffer), used);
        buffer->start = 0;
        buffer->end = used;
    }
    while (capacity - used < length)
        capacity *= 2;
    if (capacity != buffer->capacity) {
        buffer->bytes = memory_resize(buffer->bytes, capacity);
        buffer->capacity = capacity;
    }
}

uint8_t *buffer_reserve(struct buffer *buffer, size_t length)
{
    if (length > buffer->limit - buffer_length(buffer))
        return NULL;
    if (buffer->capacity - buffer->end < length)
        make_room(buffer, length);
    return buffer->bytes + buffer->end;
}

void buffer_extend(struct buffer *buffer, size_t length)
{
    assert(length <= buffer->capacity - buffer->end);
    buffer->end += length;
}

int buffer_append(struct buffer *buffer, const void *bytes, size_t length,
                  struct error *why)
{
    uint8_t *room;

    if (length == 0)
        return 0;
    room = buffer_reserve(buffer, length);
    if (!room)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "buffer holds %zu bytes, %zu more exceed its %zu",
                         buffer_length(buffer), length, buffer->limit);
    memcpy(room, bytes, length);
    buffer_extend(buffer, length);
    return 0;
}

void buffer_consume(struct buffer *buffer, size_t length)
{
    assert(length <= buffer_length(buffer));
    buffer->start += length;
    if (buffer->start == buffer->end) {
        buffer->start = 0;
        buffer->end = 0;
    }
}

void buffer_rest(struct buffer *buffer)
{
    if (buffer_length(buffer) > 0)
        return;
    free(buffer->bytes);
    *buffer = (struct buffer){.limit = buffer->limit};
}
