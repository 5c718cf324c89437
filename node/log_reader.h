/* log_reader.h - read a pod's log while it is being written and rotated.
 *
 * kpod writes records to `log`; when that is full it becomes `log.1` and a
 * new `log` begins. A reader that keeps up misses nothing; one that is two
 * rotations behind goes on with the oldest there is. */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Which records count; the others are as if they were not there. */
struct log_filter {
    int container; /* -1: of all */
    int run;       /* its low 16 bits; -1: of all */
    uint64_t since_wall_ms;
};

/* Between two records of a log. */
struct log_position {
    uint64_t file; /* which of all that the log ever had; 0: none */
    uint64_t offset;
};

struct log_reader {
    char *folder; /* owned */
    int fd;       /* of the present file; -1: none yet */
    ino_t inode;
    uint64_t file;   /* as in a position; 0: not asked for yet */
    uint64_t offset; /* of the first byte that is not in `in` */
    uint64_t skip;   /* bytes of output to leave out still */
    struct log_filter filter;
    struct buffer in;  /* bytes of records */
    struct buffer out; /* one piece */
    bool is_stderr;    /* what `out` is */
};

/* All records count until `filter` is set. */
void log_reader_init(struct log_reader *reader, const char *folder);
void log_reader_fini(struct log_reader *reader);

/* Go to where the last lines of output begin (0: all there is). Reads the log
 * once or twice, so it belongs on a worker. What has no newline at the log's
 * end is a line, too. */
int log_reader_seek(struct log_reader *reader, uint64_t tail_lines,
                    struct error *why);

/* Go on behind what was read before, perhaps by another reader; at the oldest
 * there is when that is gone. */
int log_reader_resume(struct log_reader *reader,
                      const struct log_position *after, struct error *why);

/* Behind what log_reader_next() gave last; it gave something. */
int log_reader_position(struct log_reader *reader, struct log_position *out,
                        struct error *why);

/* The next piece of output, of one stream, is in reader->out until the next
 * call; *length is its size, 0 when there is nothing more now. DATA_LOSS for
 * what is no record. */
int log_reader_next(struct log_reader *reader, size_t *length,
                    struct error *why);
