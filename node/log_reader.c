#include "node/log_reader.h"

#include "base/fd.h"
#include "base/map.h"
#include "base/memory.h"
#include "node/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOG_IN_MAX_BYTES = 2 * LOG_RECORD_MAX_BYTES,
    LOG_PIECE_MAX_BYTES = 32768 + LOG_RECORD_MAX_BYTES,
    LOG_PIECE_FULL_BYTES = 32768, /* enough for one message */
};

void log_reader_init(struct log_reader *reader, const char *folder)
{
    *reader = (struct log_reader){.folder = memory_string(folder),
                                  .fd = -1,
                                  .filter = {.container = -1, .run = -1}};
    buffer_init(&reader->in, LOG_IN_MAX_BYTES);
    buffer_init(&reader->out, LOG_PIECE_MAX_BYTES);
}

void log_reader_fini(struct log_reader *reader)
{
    fd_reset(&reader->fd);
    buffer_fini(&reader->in);
    buffer_fini(&reader->out);
    free(reader->folder);
}

/* ---- files --------------------------------------------------------------- */

/* A file by its name and, as another process renames them, by what had that
 * name: `inode` is 0 when nothing had. */
struct log_name {
    const char *file;
    ino_t inode;
};

static int look_up(const struct log_reader *reader, struct log_name *name,
                   struct error *why)
{
    CLEANUP(free_pointer)
    char *path = memory_format("%s/%s", reader->folder, name->file);
    struct stat info;

    if (stat(path, &info) == 0)
        name->inode = info.st_ino;
    else if (errno != ENOENT)
        return error_errno(why, "stat %s", path);
    return 0;
}

/* Nothing changes when the file is not there, or is another by now than the
 * one that was looked up (inode 0: any will do). */
static int open_file(struct log_reader *reader, const struct log_name *name,
                     struct error *why)
{
    CLEANUP(free_pointer)
    char *path = memory_format("%s/%s", reader->folder, name->file);
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat info;

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &info) != 0)
        return error_errno(why, "open %s", path);
    if (name->inode && name->inode != info.st_ino)
        return 0;
    fd_reset(&reader->fd);
    reader->fd = fd_take(&fd);
    reader->inode = info.st_ino;
    reader->file = 0;
    reader->offset = 0;
    buffer_consume(&reader->in, buffer_length(&reader->in));
    return 0;
}

/* Tell the present file from all before it: inodes are used again, but not
 * with the same first record. 0 while it has none. */
static int identify(struct log_reader *reader, struct error *why)
{
    struct {
        uint64_t inode;
        struct log_record first;
    } key = {.inode = reader->inode};
    ssize_t length;

    if (reader->file != 0 || reader->fd < 0)
        return 0;
    length = pread(reader->fd, &key.first, sizeof key.first, 0);
    if (length < 0)
        return error_errno(why, "read the log in %s", reader->folder);
    if (length == sizeof key.first)
        reader->file = map_hash_bytes(&key, sizeof key) | 1;
    return 0;
}

/* The file after the present one; its inode is 0 when there is none: after
 * `log`. After `log.1` comes `log`, after one that has no name any more the
 * oldest there is.
 *
 * `log` is looked up first: was the present file still `log.1` afterwards,
 * then what was found as `log` before is the very next one. */
static int following_file(const struct log_reader *reader,
                          struct log_name *next, struct error *why)
{
    struct log_name log = {.file = SUPERVISOR_LOG};
    struct log_name old = {.file = SUPERVISOR_LOG_OLD};

    if (look_up(reader, &log, why) != 0 || look_up(reader, &old, why) != 0)
        return (int)why->code;
    if (reader->fd >= 0 && reader->inode == log.inode)
        *next = (struct log_name){0};
    else if (old.inode == 0 || (reader->fd >= 0 && reader->inode == old.inode))
        *next = log;
    else
        *next = old;
    return 0;
}

/* ---- records ------------------------------------------------------------- */

static int check_record(const struct log_record *record, struct error *why)
{
    if (record->length > LOG_RECORD_MAX_BYTES ||
        (record->stream != LOG_STREAM_STDOUT &&
         record->stream != LOG_STREAM_STDERR))
        return error_set(why, ERROR_DATA_LOSS,
                         "the pod's log is damaged: a record of stream %u and "
                         "%u bytes",
                         record->stream, record->length);
    return 0;
}

static bool is_wanted(const struct log_filter *filter,
                      const struct log_record *record)
{
    return (filter->container < 0 || record->container == filter->container) &&
           (filter->run < 0 || record->run == (filter->run & UINT16_MAX)) &&
           record->wall_ms >= filter->since_wall_ms;
}

static bool whole_record(const struct buffer *in, struct log_record *record)
{
    if (buffer_length(in) < sizeof *record)
        return false;
    memcpy(record, buffer_data(in), sizeof *record);
    return true;
}

/* Move records of one stream from `in` to `out`, until it is full. */
static int take_records(struct log_reader *reader, struct error *why)
{
    struct log_record record;

    while (whole_record(&reader->in, &record)) {
        bool is_stderr = record.stream == LOG_STREAM_STDERR;
        size_t taken = buffer_length(&reader->out);
        size_t drop;

        if (check_record(&record, why) != 0)
            return (int)why->code;
        if (buffer_length(&reader->in) - sizeof record < record.length)
            return 0;
        if (!is_wanted(&reader->filter, &record)) {
            buffer_consume(&reader->in, sizeof record + record.length);
            continue;
        }
        if (taken > 0 &&
            (is_stderr != reader->is_stderr || taken >= LOG_PIECE_FULL_BYTES))
            return 0;
        reader->is_stderr = is_stderr;
        buffer_consume(&reader->in, sizeof record);
        drop =
            record.length < reader->skip ? record.length : (size_t)reader->skip;
        reader->skip -= drop;
        if (buffer_append(&reader->out, buffer_data(&reader->in) + drop,
                          record.length - drop, why) != 0)
            return (int)why->code;
        buffer_consume(&reader->in, record.length);
    }
    return 0;
}

/* More bytes of the present file: *got is 0 at its end. */
static int fill(struct log_reader *reader, size_t *got, struct error *why)
{
    size_t room = LOG_IN_MAX_BYTES - buffer_length(&reader->in);
    ssize_t length;

    *got = 0;
    if (reader->fd < 0)
        return 0;
    do
        length = pread(reader->fd, buffer_reserve(&reader->in, room), room,
                       (off_t)reader->offset);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return error_errno(why, "read the log in %s", reader->folder);
    buffer_extend(&reader->in, (size_t)length);
    reader->offset += (uint64_t)length;
    *got = (size_t)length;
    return 0;
}

int log_reader_next(struct log_reader *reader, size_t *length,
                    struct error *why)
{
    buffer_consume(&reader->out, buffer_length(&reader->out));
    for (;;) {
        struct log_name next = {0};
        size_t got;

        if (take_records(reader, why) != 0)
            return (int)why->code;
        *length = buffer_length(&reader->out);
        if (*length > 0)
            return 0;
        /* Looked at before reading: a file that is no longer the last one
         * gets no more, so its end is really its end. */
        if (following_file(reader, &next, why) != 0 ||
            fill(reader, &got, why) != 0)
            return (int)why->code;
        if (got > 0)
            continue;
        if (next.inode == 0)
            return 0;
        if (open_file(reader, &next, why) != 0)
            return (int)why->code;
    }
}

/* ---- positions ----------------------------------------------------------- */

int log_reader_position(struct log_reader *reader, struct log_position *out,
                        struct error *why)
{
    if (identify(reader, why) != 0)
        return (int)why->code;
    out->file = reader->file;
    out->offset = reader->offset - buffer_length(&reader->in);
    return 0;
}

int log_reader_resume(struct log_reader *reader,
                      const struct log_position *after, struct error *why)
{
    /* A file that becomes the old one meanwhile is found there. */
    static const struct log_name files[] = {{.file = SUPERVISOR_LOG},
                                            {.file = SUPERVISOR_LOG_OLD}};

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        if (open_file(reader, &files[i], why) != 0 ||
            identify(reader, why) != 0)
            return (int)why->code;
        if (reader->file != 0 && reader->file == after->file) {
            reader->offset = after->offset;
            return 0;
        }
    }
    reader->file = 0;
    fd_reset(&reader->fd);
    return 0;
}

/* ---- the tail ------------------------------------------------------------ */

static uint64_t count_lines(const uint8_t *bytes, size_t length)
{
    uint64_t count = 0;

    for (size_t i = 0; i < length; i++)
        count += bytes[i] == '\n';
    return count;
}

/* The bytes up to the end of that line, which is there. */
static size_t length_of_lines(const uint8_t *bytes, uint64_t lines)
{
    size_t length = 0;

    while (lines > 0)
        lines -= bytes[length++] == '\n';
    return length;
}

/* What a walk over one file saw of its output. */
struct walked {
    uint64_t lines; /* that ended */
    bool open;      /* after the last of them there was more */
};

/* A whole record, at the beginning of `in`. True: line `until` ends in it, and
 * what follows that line is to be read next. */
static bool walk_record(struct log_reader *reader,
                        const struct log_record *record, uint64_t until,
                        struct walked *walked)
{
    const uint8_t *bytes = buffer_data(&reader->in) + sizeof *record;
    uint64_t lines;

    if (!is_wanted(&reader->filter, record) || record->length == 0)
        return false;
    lines = count_lines(bytes, record->length);
    if (walked->lines + lines >= until) {
        reader->skip = length_of_lines(bytes, until - walked->lines);
        return true;
    }
    walked->lines += lines;
    walked->open = bytes[record->length - 1] != '\n';
    return false;
}

/* Walk the present file's records from its beginning, and stop before the one
 * in which line `until` ends. */
static int walk(struct log_reader *reader, uint64_t until,
                struct walked *walked, struct error *why)
{
    struct log_record record;
    uint64_t at = 0;
    bool found = false;
    size_t got = 1;

    reader->offset = 0;
    while (got > 0 && !found) {
        while (whole_record(&reader->in, &record)) {
            if (check_record(&record, why) != 0)
                return (int)why->code;
            if (buffer_length(&reader->in) - sizeof record < record.length)
                break;
            found = walk_record(reader, &record, until, walked);
            if (found)
                break;
            buffer_consume(&reader->in, sizeof record + record.length);
            at += sizeof record + record.length;
        }
        if (!found && fill(reader, &got, why) != 0)
            return (int)why->code;
    }
    buffer_consume(&reader->in, buffer_length(&reader->in));
    reader->offset = at;
    return 0;
}

int log_reader_seek(struct log_reader *reader, uint64_t tail_lines,
                    struct error *why)
{
    static const struct log_name files[] = {{.file = SUPERVISOR_LOG_OLD},
                                            {.file = SUPERVISOR_LOG}};
    uint64_t ends[ARRAY_LEN(files)]; /* lines that ended by the file's end */
    struct walked walked = {0};
    uint64_t lines;

    if (tail_lines == 0)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        fd_reset(&reader->fd);
        if (open_file(reader, &files[i], why) != 0 ||
            (reader->fd >= 0 && walk(reader, UINT64_MAX, &walked, why) != 0))
            return (int)why->code;
        ends[i] = walked.lines;
    }
    fd_reset(&reader->fd);
    lines = walked.lines + walked.open;
    if (lines <= tail_lines)
        return 0;
    walked = (struct walked){0};
    lines -= tail_lines; /* to be left out */
    if (lines > ends[0])
        walked.lines = ends[0];
    if (open_file(reader, &files[lines > ends[0]], why) != 0)
        return (int)why->code;
    return reader->fd >= 0 ? walk(reader, lines, &walked, why) : 0;
}
