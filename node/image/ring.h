/* ring.h - bytes from one process to another through memory that both see.
 *
 *   writer   memory, to read and write   --lengths-->   reader   memory, to
 *                                        <--credits--            read alone
 *
 * The memory is blocks that are used in turn. When one is full, or is not
 * waited for any longer, its length goes through one pipe; when it has been
 * read, a byte comes back through the other. The bytes themselves are copied
 * by nobody, where a pipe would copy them twice.
 *
 * Invariants:
 * 1. The reader cannot write to the memory, whatever becomes of it: its
 *    descriptor is open for reading. What a writer hashes there is what it
 *    put there.
 * 2. The writer touches no block that the reader has. A reader that lies
 *    about what it has read harms itself alone.
 * 3. A writer whose reader has ended goes on with nobody to read it. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    /* Small enough for all blocks of a layer to stay in the caches. */
    RING_BLOCK_BYTES = 128 << 10,
    RING_BLOCKS = 8,
    RING_BYTES = RING_BLOCKS * RING_BLOCK_BYTES,
    RING_FDS = 3,
};

/* The descriptors of one side: the memory and the two pipes. */
struct ring_end {
    int memory;
    int lengths;
    int credits;
};

#define RING_END_NONE \
    {                 \
        -1, -1, -1    \
    }

/* Make both ends, close-on-exec. What was made until a failure is in them. */
int ring_make(struct ring_end *writer, struct ring_end *reader,
              struct error *why);
void ring_end_close(struct ring_end *end);

/* ---- the writer ---------------------------------------------------------- */

struct ring_writer {
    struct ring_end end; /* owned */
    uint8_t *memory;     /* NULL: closed */
    unsigned block;      /* the one that is filled now */
    size_t filled;       /* of it */
    unsigned lent;       /* blocks that the reader has */
    bool broken;         /* the reader has ended */
};

/* Takes `end`. It waits for the reader unless `end->credits` is O_NONBLOCK. */
int ring_writer_open(struct ring_writer *writer, struct ring_end *end,
                     struct error *why);
/* What was filled and not passed on is lost. Closing twice is fine. */
void ring_writer_close(struct ring_writer *writer);

/* Where the next bytes go, and how many at most; 0 when the reader has all
 * blocks and it does not wait. */
size_t ring_room(struct ring_writer *writer, uint8_t **at);

/* Whether `length` bytes have room now. */
bool ring_fits(struct ring_writer *writer, size_t length);

/* So many bytes were put there. A full block is passed on. */
void ring_fill(struct ring_writer *writer, size_t length);

/* Pass on what was filled; or only if the reader has next to nothing. */
void ring_flush(struct ring_writer *writer);
void ring_hurry(struct ring_writer *writer);

/* The descriptor that can be read when it has more room; -1: it has ended. */
int ring_wait_fd(const struct ring_writer *writer);

/* ---- the reader ---------------------------------------------------------- */

struct ring_reader {
    struct ring_end end; /* owned */
    const uint8_t *memory;
    unsigned block;
    bool held; /* the last one that was read */
};

/* Takes `end`. */
int ring_reader_open(struct ring_reader *reader, struct ring_end *end,
                     struct error *why);

/* Wait for the next bytes, at *at until the next call. Returns how many, 0
 * at the end, -1 and errno when that fails. */
ssize_t ring_read(struct ring_reader *reader, const uint8_t **at);
