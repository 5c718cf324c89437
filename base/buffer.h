/* buffer.h - a growing run of bytes with a cap.
 *
 * Invariant: start <= end <= capacity <= limit; bytes [start, end) are the
 * content. Consumed space at the front is reused before the buffer grows. */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct buffer {
    uint8_t *bytes; /* owned */
    size_t start;
    size_t end;
    size_t capacity;
    size_t limit; /* bytes; content never exceeds it */
};

void buffer_init(struct buffer *buffer, size_t limit_bytes);
void buffer_fini(struct buffer *buffer);

static inline size_t buffer_length(const struct buffer *buffer)
{
    return buffer->end - buffer->start;
}

/* The content. Borrowed until the next change. */
static inline uint8_t *buffer_data(const struct buffer *buffer)
{
    return buffer->bytes + buffer->start;
}

/* Room for `length` more bytes, to be filled and then claimed with
 * buffer_extend(). NULL when that would exceed the limit. */
uint8_t *buffer_reserve(struct buffer *buffer, size_t length);
void buffer_extend(struct buffer *buffer, size_t length);

/* RESOURCE_EXHAUSTED when that would exceed the limit; nothing is added. */
int buffer_append(struct buffer *buffer, const void *bytes, size_t length,
                  struct error *why);

/* Drop `length` bytes from the front. */
void buffer_consume(struct buffer *buffer, size_t length);

/* Give the memory back when there is nothing in it: for what is one of
 * thousands, and rests most of the time. */
void buffer_rest(struct buffer *buffer);
