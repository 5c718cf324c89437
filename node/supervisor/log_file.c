#include "node/supervisor/log_file.h"

#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SCAN_CHUNK_BYTES = 4096, LOST_TEXT_MAX = 96 };

_Static_assert(sizeof(struct log_record) == 16, "it has no padding");

static bool is_record(const struct log_record *record, uint64_t left)
{
    return record->length > 0 && record->length <= LOG_RECORD_MAX_BYTES &&
           record->stream >= LOG_STREAM_STDOUT &&
           record->stream <= LOG_STREAM_STDERR &&
           sizeof *record + record->length <= left;
}

/* Where the whole records from the start of the file end. */
static int find_end(int fd, uint64_t size, uint64_t *end, struct error *why)
{
    char bytes[SCAN_CHUNK_BYTES];
    struct log_record record;
    uint64_t start = 0; /* of what `bytes` holds */
    uint64_t at = 0;
    ssize_t got = 0;

    while (size - at >= sizeof record) {
        if (at + sizeof record > start + (uint64_t)got) {
            start = at;
            got = pread(fd, bytes, sizeof bytes, (off_t)at);
            if (got < 0)
                return error_errno(why, "read %s", SUPERVISOR_LOG);
            if ((size_t)got < sizeof record)
                break;
        }
        memcpy(&record, bytes + (at - start), sizeof record);
        if (!is_record(&record, size - at))
            break;
        at += sizeof record + record.length;
    }
    *end = at;
    return 0;
}

static int open_fresh(void)
{
    /* No link is followed, should one ever stand there (CVE-2026-53489). */
    return open(SUPERVISOR_LOG,
                O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
}

int log_file_open(struct log_file *log, uint64_t limit_bytes, struct error *why)
{
    struct stat info;
    uint64_t end = 0;
    int fd = open_fresh();

    if (fd < 0 || fstat(fd, &info) != 0) {
        error_errno(why, "open %s", SUPERVISOR_LOG);
        fd_close(&fd);
        return (int)why->code;
    }
    if (find_end(fd, (uint64_t)info.st_size, &end, why) != 0) {
        close(fd);
        return (int)why->code;
    }
    if (end < (uint64_t)info.st_size && ftruncate(fd, (off_t)end) != 0) {
        error_errno(why, "cut the torn end off %s", SUPERVISOR_LOG);
        close(fd);
        return (int)why->code;
    }
    if (limit_bytes == 0)
        limit_bytes = LOG_FILE_LIMIT_DEFAULT;
    *log = (struct log_file){
        .fd = fd,
        .size = end,
        .limit =
            limit_bytes < LOG_FILE_LIMIT_MIN ? LOG_FILE_LIMIT_MIN : limit_bytes,
    };
    return 0;
}

void log_file_close(struct log_file *log)
{
    fd_reset(&log->fd);
}

/* Begin a new file; the old one takes the place of the one before. When that
 * fails, the old one goes on growing rather than output being lost. */
static void rotate(struct log_file *log)
{
    int fd;

    if (rename(SUPERVISOR_LOG, SUPERVISOR_LOG_OLD) != 0)
        return;
    fd = open_fresh();
    if (fd < 0)
        return;
    close(log->fd);
    log->fd = fd;
    log->size = 0;
}

static bool put(struct log_file *log, struct log_source source,
                const void *bytes, size_t length)
{
    struct log_record record = {
        .wall_ms = clock_wall_ms(),
        .length = (uint32_t)length,
        .stream = source.stream,
        .container = source.container,
        .run = source.run,
    };
    struct iovec parts[] = {{&record, sizeof record}, {NULL, length}};
    size_t whole = sizeof record + length;
    ssize_t written;

    memcpy(&parts[1].iov_base, &bytes, sizeof bytes); /* it is only read */
    do
        written = writev(log->fd, parts, ARRAY_LEN(parts));
    while (written < 0 && errno == EINTR);
    if (written == (ssize_t)whole) {
        log->size += whole;
        return true;
    }
    /* A part of a record would hide all that follows it. */
    if (written > 0 && ftruncate(log->fd, (off_t)log->size) != 0)
        rotate(log);
    return false;
}

static bool put_loss(struct log_file *log, struct log_source source)
{
    char text[LOST_TEXT_MAX];
    int length = snprintf(text, sizeof text,
                          "kpod: %llu bytes of output are lost: the disk did "
                          "not take them\n",
                          (unsigned long long)log->lost_bytes);

    source.stream = LOG_STREAM_STDERR;
    return put(log, source, text, (size_t)length);
}

/* The record, and before it what was lost: both or none, or the last room
 * on a full disk would be filled with such lines. */
static bool put_after_loss(struct log_file *log, struct log_source source,
                           const void *bytes, size_t length)
{
    uint64_t before = log->size;

    if (!put_loss(log, source))
        return false;
    if (put(log, source, bytes, length)) {
        log->lost_bytes = 0;
        return true;
    }
    if (ftruncate(log->fd, (off_t)before) == 0)
        log->size = before;
    return false;
}

void log_file_append(struct log_file *log, struct log_source source,
                     const void *bytes, size_t length)
{
    bool written;

    if (log->size > 0 &&
        log->size + sizeof(struct log_record) + length > log->limit)
        rotate(log);
    if (log->lost_bytes > 0)
        written = put_after_loss(log, source, bytes, length);
    else /* room may be had by giving up the old file */
        written = put(log, source, bytes, length) ||
                  (unlink(SUPERVISOR_LOG_OLD) == 0 &&
                   put(log, source, bytes, length));
    if (!written)
        log->lost_bytes += length;
}
