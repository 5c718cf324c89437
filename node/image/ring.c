#include "node/image/ring.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- ends ---------------------------------------------------------------- */

static int make_memory(int *writable, int *readable, struct error *why)
{
    char path[32];

    *writable = memfd_create("ring", MFD_CLOEXEC);
    if (*writable < 0 || ftruncate(*writable, RING_BYTES) != 0)
        return error_errno(why, "make shared memory");
    /* Opened anew, for reading: no right to write can be had from it. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", *writable);
    *readable = open(path, O_RDONLY | O_CLOEXEC);
    if (*readable < 0)
        return error_errno(why, "open shared memory");
    return 0;
}

static int make_pipe(int *from, int *to, struct error *why)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_errno(why, "make a pipe");
    *from = ends[0];
    *to = ends[1];
    return 0;
}

int ring_make(struct ring_end *writer, struct ring_end *reader,
              struct error *why)
{
    if (make_memory(&writer->memory, &reader->memory, why) != 0 ||
        make_pipe(&reader->lengths, &writer->lengths, why) != 0)
        return (int)why->code;
    return make_pipe(&writer->credits, &reader->credits, why);
}

void ring_end_close(struct ring_end *end)
{
    fd_reset(&end->memory);
    fd_reset(&end->lengths);
    fd_reset(&end->credits);
}

static void *map(const struct ring_end *end, int protection, struct error *why)
{
    void *memory = mmap(NULL, RING_BYTES, protection, MAP_SHARED | MAP_POPULATE,
                        end->memory, 0);

    if (memory != MAP_FAILED)
        return memory;
    error_errno(why, "map shared memory");
    return NULL;
}

static struct ring_end take_end(struct ring_end *end)
{
    return (struct ring_end){fd_take(&end->memory), fd_take(&end->lengths),
                             fd_take(&end->credits)};
}

/* ---- the writer ---------------------------------------------------------- */

int ring_writer_open(struct ring_writer *writer, struct ring_end *end,
                     struct error *why)
{
    uint8_t *memory = map(end, PROT_READ | PROT_WRITE, why);

    if (!memory)
        return (int)why->code;
    *writer = (struct ring_writer){.end = take_end(end), .memory = memory};
    return 0;
}

void ring_writer_close(struct ring_writer *writer)
{
    if (!writer->memory)
        return;
    munmap(writer->memory, RING_BYTES);
    writer->memory = NULL;
    ring_end_close(&writer->end);
}

static void take_credits(struct ring_writer *writer)
{
    uint8_t credits[RING_BLOCKS];
    ssize_t got;

    do {
        got = read(writer->end.credits, credits, sizeof credits);
    } while (got < 0 && errno == EINTR);
    if (got > 0 && (size_t)got <= writer->lent)
        writer->lent -= (unsigned)got;
    else if (got >= 0 || errno != EAGAIN)
        writer->broken = true;
}

size_t ring_room(struct ring_writer *writer, uint8_t **at)
{
    if (writer->lent == RING_BLOCKS && !writer->broken)
        take_credits(writer);
    if (writer->lent == RING_BLOCKS && !writer->broken)
        return 0;
    *at = writer->memory + (size_t)writer->block * RING_BLOCK_BYTES +
          writer->filled;
    return RING_BLOCK_BYTES - writer->filled;
}

static size_t free_bytes(const struct ring_writer *writer)
{
    return (size_t)(RING_BLOCKS - writer->lent) * RING_BLOCK_BYTES -
           writer->filled;
}

bool ring_fits(struct ring_writer *writer, size_t length)
{
    if (length > free_bytes(writer) && !writer->broken)
        take_credits(writer);
    return writer->broken || length <= free_bytes(writer);
}

void ring_fill(struct ring_writer *writer, size_t length)
{
    writer->filled += length;
    if (writer->filled == RING_BLOCK_BYTES)
        ring_flush(writer);
}

void ring_flush(struct ring_writer *writer)
{
    uint32_t length = (uint32_t)writer->filled;
    ssize_t put;

    writer->filled = 0;
    if (length == 0 || writer->broken)
        return;
    do {
        put = write(writer->end.lengths, &length, sizeof length);
    } while (put < 0 && errno == EINTR);
    if (put != sizeof length)
        writer->broken = true; /* EPIPE */
    writer->block = (writer->block + 1) % RING_BLOCKS;
    writer->lent++;
}

void ring_hurry(struct ring_writer *writer)
{
    if (writer->filled == 0)
        return;
    if (writer->lent > 1 && !writer->broken)
        take_credits(writer);
    if (writer->lent <= 1)
        ring_flush(writer);
}

int ring_wait_fd(const struct ring_writer *writer)
{
    return writer->broken ? -1 : writer->end.credits;
}

/* ---- the reader ---------------------------------------------------------- */

int ring_reader_open(struct ring_reader *reader, struct ring_end *end,
                     struct error *why)
{
    const uint8_t *memory = map(end, PROT_READ, why);

    if (!memory)
        return (int)why->code;
    *reader = (struct ring_reader){.end = take_end(end), .memory = memory};
    return 0;
}

static void give_back(struct ring_reader *reader)
{
    ssize_t put;

    do {
        put = write(reader->end.credits, "", 1);
    } while (put < 0 && errno == EINTR);
    /* A writer that has ended, having written all, waits for no credits. */
    reader->held = false;
    reader->block = (reader->block + 1) % RING_BLOCKS;
}

ssize_t ring_read(struct ring_reader *reader, const uint8_t **at)
{
    uint32_t length;
    ssize_t got;

    if (reader->held)
        give_back(reader);
    do {
        got = read(reader->end.lengths, &length, sizeof length);
    } while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got;
    if (got != sizeof length || length == 0 || length > RING_BLOCK_BYTES) {
        errno = EPROTO;
        return -1;
    }
    reader->held = true;
    *at = reader->memory + (size_t)reader->block * RING_BLOCK_BYTES;
    return (ssize_t)length;
}
