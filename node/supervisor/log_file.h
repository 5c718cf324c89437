/* log_file.h - the pod's output on disk: records appended, rotated, and
 * repaired when a machine's stop tore the last one. */
#pragma once

#include "base/error.h"
#include "node/supervisor/supervisor.h"

struct log_file {
    int fd;
    uint64_t size;
    uint64_t limit; /* bytes of one file */
    /* Output that the disk did not take since the last that it took. */
    uint64_t lost_bytes;
};

enum {
    LOG_FILE_LIMIT_DEFAULT = 10 << 20,
    LOG_FILE_LIMIT_MIN = 2 * LOG_RECORD_MAX_BYTES,
};

/* Open or create `log` in the current folder and cut off what follows the
 * last whole record. */
int log_file_open(struct log_file *log, uint64_t limit_bytes,
                  struct error *why);
void log_file_close(struct log_file *log);

/* Where a piece of output came from. */
struct log_source {
    uint8_t container;
    uint8_t stream; /* enum log_stream */
    uint16_t run;   /* of the container */
};

/* Append one record of at most LOG_RECORD_MAX_BYTES. A disk that is full or
 * broken costs the record, never the pod: how much was lost is said in the
 * log as soon as it takes something again. */
void log_file_append(struct log_file *log, struct log_source source,
                     const void *bytes, size_t length);
