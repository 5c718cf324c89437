/* store_wal.c - format: https://www.sqlite.org/fileformat2.html#walformat
 *
 *   header (32)  magic, version, page size, sequence, salt (8), checksum (8)
 *   frame*       page number, database size if this ends a transaction,
 *                salt (8), checksum (8); then the page
 *
 * A frame belongs to the log when its salt is the header's, and is whole when
 * the checksum over all before it and itself is right. Frames with another
 * salt are left over from before the log was last started again.
 *
 * Invariants:
 * 1. A mark names the log whose header is on the disk, or the one before it
 *    with no frames: it is retired, and that synced, before a header is
 *    written; SQLite syncs the header before the first frame.
 * 2. A log that is marked as retired is never recovered.
 * 3. Transactions that no synced mark has are told apart by their ends alone;
 *    one whose end could not be told has a mark that is synced (is_split). */
#include "raft/store_wal.h"

#include "base/fd.h"
#include "base/memory.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEADER_BYTES = 32,
    HEADER_SALT = 16, /* where it begins */
    FRAME_SIZE = 4,   /* of the database; 0: more frames follow */
    FRAME_SALT = 8,
    FRAME_SUM = 16,
    SECTOR_BYTES = 512, /* what a disk writes whole, at least */
    HEADER_SUMMED_BYTES = 24,
    FRAME_HEADER_BYTES = 24,
    FRAME_SUMMED_BYTES = 8,
    PAGE_MIN_BYTES = 512,
    PAGE_MAX_BYTES = 65536,
    CHUNK_BYTES = 64 << 10,
    ZEROS_BYTES = 4096,
};

static const uint32_t MAGIC = 0x377f0682; /* + 1: sums of big-endian words */

struct sum {
    bool big_endian;
    uint32_t a;
    uint32_t b;
};

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
           (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint32_t little_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[1] << 8 | bytes[0];
}

/* `length` is a multiple of 8. */
static void sum_add(struct sum *sum, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i += 8) {
        uint32_t first =
            sum->big_endian ? big_endian(bytes + i) : little_endian(bytes + i);
        uint32_t second = sum->big_endian ? big_endian(bytes + i + 4)
                                          : little_endian(bytes + i + 4);

        sum->a += first + sum->b;
        sum->b += second + sum->a;
    }
}

static bool sum_is(const struct sum *sum, const uint8_t stored[8])
{
    return sum->a == big_endian(stored) && sum->b == big_endian(stored + 4);
}

static bool all_zero(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i])
            return false;
    return true;
}

/* Start `sum` from the header. */
static bool header_valid(const uint8_t header[HEADER_BYTES], struct sum *sum)
{
    uint32_t magic = big_endian(header);
    uint32_t page_bytes = big_endian(header + 8);

    if ((magic & ~1U) != MAGIC)
        return false;
    if (page_bytes < PAGE_MIN_BYTES || page_bytes > PAGE_MAX_BYTES ||
        (page_bytes & (page_bytes - 1)))
        return false;
    *sum = (struct sum){.big_endian = magic & 1};
    sum_add(sum, header, HEADER_SUMMED_BYTES);
    return sum_is(sum, header + HEADER_SUMMED_BYTES);
}

/* Of the two halves of a salt a restart changes both, rot one. */
static bool salt_is_ours(const uint8_t *salt, const uint8_t *ours)
{
    return memcmp(salt, ours, 4) == 0 || memcmp(salt + 4, ours + 4, 4) == 0;
}

/* Is the size in the `i`th frame's header in another sector than its salt? A
 * crash may lose one of them and not the other, and then the size is of another
 * log. Pages are whole sectors, headers shift them. */
static bool is_split(uint64_t i)
{
    uint64_t at = HEADER_BYTES + (i - 1) * FRAME_HEADER_BYTES;

    return (at + FRAME_SIZE) / SECTOR_BYTES !=
           (at + FRAME_SALT + STORE_SALT_BYTES - 1) / SECTOR_BYTES;
}

/* Does the `i`th frame, of this log though damaged, end a transaction? Those
 * that cannot be told are marked (store_wal_note). */
static bool ends_ours(const uint8_t *frame, const uint8_t *header, uint64_t i)
{
    return big_endian(frame + FRAME_SIZE) != 0 &&
           salt_is_ours(frame + FRAME_SALT, header + HEADER_SALT) &&
           !is_split(i);
}

static void sum_frame(struct sum *sum, const uint8_t *frame, size_t frame_bytes)
{
    sum_add(sum, frame, FRAME_SUMMED_BYTES);
    sum_add(sum, frame + FRAME_HEADER_BYTES, frame_bytes - FRAME_HEADER_BYTES);
}

/* If what has rotted is the one bit that was set in a frame's size, set it
 * again: it ended a transaction. `before` is the sum of all before the frame.
 */
static void mend_size(uint8_t *frame, size_t frame_bytes,
                      const struct sum *before)
{
    uint8_t *size = frame + FRAME_SIZE;

    if (big_endian(size) != 0)
        return;
    for (unsigned bit = 0; bit < 32; bit++) {
        struct sum sum = *before;

        memset(size, 0, 4);
        size[bit / 8] = (uint8_t)(1U << bit % 8);
        sum_frame(&sum, frame, frame_bytes);
        if (sum_is(&sum, frame + FRAME_SUM))
            return;
    }
    memset(size, 0, 4);
}

/* What stands in the log. */
struct survey {
    uint64_t frames;      /* that the file has room for */
    uint64_t whole;       /* of them up to the last whole transaction */
    uint64_t damaged;     /* the first that is not whole, from 1; 0: none */
    uint64_t cut_commits; /* transactions that end from there on */
};

/* `sum` is the header's. */
static int survey_frames(const struct store_wal *wal,
                         const uint8_t header[HEADER_BYTES], struct sum sum,
                         struct survey *survey, struct error *why)
{
    size_t frame_bytes = FRAME_HEADER_BYTES + big_endian(header + 8);
    CLEANUP(free_pointer) uint8_t *frame = memory_new(frame_bytes);

    for (uint64_t i = 1; i <= survey->frames; i++) {
        if (fd_read_exact(wal->fd, frame, frame_bytes, why) != 0)
            return why->code;
        if (!survey->damaged) {
            struct sum before = sum;

            sum_frame(&sum, frame, frame_bytes);
            if (memcmp(frame + FRAME_SALT, header + HEADER_SALT,
                       STORE_SALT_BYTES) == 0 &&
                sum_is(&sum, frame + FRAME_SUM)) {
                if (big_endian(frame + FRAME_SIZE) != 0)
                    survey->whole = i;
                continue;
            }
            survey->damaged = i;
            mend_size(frame, frame_bytes, &before);
        }
        if (ends_ours(frame, header, i))
            survey->cut_commits++;
    }
    return 0;
}

/* A crash cuts one transaction at most. */
static int judge_frames(const struct store_mark *mark,
                        const uint8_t header[HEADER_BYTES],
                        const struct survey *survey, struct error *why)
{
    bool marked = mark->known && mark->frames > 0;

    if (marked &&
        memcmp(mark->salt, header + HEADER_SALT, STORE_SALT_BYTES) != 0)
        return error_set(why, ERROR_DATA_LOSS,
                         "it is not the one of which %llu frames were reported "
                         "durable",
                         (unsigned long long)mark->frames);
    if (marked && survey->whole < mark->frames)
        return error_set(why, ERROR_DATA_LOSS,
                         "frame %llu of %llu that were reported durable is "
                         "damaged",
                         (unsigned long long)(survey->damaged
                                                  ? survey->damaged
                                                  : survey->frames + 1),
                         (unsigned long long)mark->frames);
    if (survey->cut_commits < 2)
        return 0;
    return error_set(why, ERROR_DATA_LOSS,
                     "frame %llu of %llu is damaged and %llu transactions "
                     "stand after it",
                     (unsigned long long)survey->damaged,
                     (unsigned long long)survey->frames,
                     (unsigned long long)survey->cut_commits);
}

static bool is_retired(const struct store_mark *mark, const uint8_t *salt)
{
    return mark->known && mark->frames == 0 &&
           memcmp(mark->salt, salt, STORE_SALT_BYTES) == 0;
}

/* Without a valid header. A crash may tear one while it is written over a
 * retired log, whose salt the frames still have, or half of it where a write
 * failed, or cleared; then no frame has its salt. */
static int
judge_headless(const struct store_mark *mark,
               const uint8_t start[HEADER_BYTES + FRAME_HEADER_BYTES],
               struct error *why)
{
    const uint8_t *salt = start + HEADER_BYTES + FRAME_SALT;

    if (!mark->known && all_zero(start, HEADER_BYTES + FRAME_HEADER_BYTES))
        return 0;
    if (mark->known && mark->frames == 0 &&
        (all_zero(start, HEADER_BYTES) || all_zero(salt, STORE_SALT_BYTES) ||
         salt_is_ours(salt, mark->salt) ||
         !salt_is_ours(salt, start + HEADER_SALT)))
        return 0;
    return error_set(why, ERROR_DATA_LOSS,
                     "its header is damaged; %llu frames were reported durable",
                     (unsigned long long)mark->frames);
}

/* Write the file's first bytes again, as they are, and sync them: after a
 * failed sync the kernel takes pages for written that are not. */
static int rewrite(const struct store_wal *wal, uint64_t length,
                   struct error *why)
{
    CLEANUP(free_pointer) uint8_t *chunk = memory_new(CHUNK_BYTES);

    for (uint64_t at = 0; at < length;) {
        size_t part =
            length - at < CHUNK_BYTES ? (size_t)(length - at) : CHUNK_BYTES;
        ssize_t got = pread(wal->fd, chunk, part, (off_t)at);

        if (got <= 0 || pwrite(wal->fd, chunk, (size_t)got, (off_t)at) != got)
            return error_errno(why, "write again");
        at += (uint64_t)got;
    }
    return fsync(wal->fd) == 0 ? 0 : error_errno(why, "sync");
}

/* Judge it; sync what SQLite is to recover, and mark that; the header in any
 * case, as the mark will name it. */
static int examine(struct store_wal *wal, struct error *why)
{
    uint8_t start[HEADER_BYTES + FRAME_HEADER_BYTES] = {0};
    struct survey survey = {0};
    struct stat info;
    struct sum sum;
    uint64_t frame_bytes;

    if (fstat(wal->fd, &info) != 0)
        return error_errno(why, "stat");
    if (pread(wal->fd, start, sizeof start, 0) < 0)
        return error_errno(why, "read");
    if (!header_valid(start, &sum))
        return judge_headless(&wal->mark, start, why);
    if (is_retired(&wal->mark, start + HEADER_SALT))
        return 0;
    frame_bytes = FRAME_HEADER_BYTES + big_endian(start + 8);
    survey.frames = ((uint64_t)info.st_size - HEADER_BYTES) / frame_bytes;
    if (lseek(wal->fd, HEADER_BYTES, SEEK_SET) < 0)
        return error_errno(why, "seek");
    if (survey_frames(wal, start, sum, &survey, why) != 0 ||
        judge_frames(&wal->mark, start, &survey, why) != 0)
        return why->code;
    memcpy(wal->mark.salt, start + HEADER_SALT, STORE_SALT_BYTES);
    wal->needed = survey.whole > 0;
    if (rewrite(wal, HEADER_BYTES + survey.whole * frame_bytes, why) != 0)
        return why->code;
    return store_wal_note(wal, survey.whole, why);
}

/* A page at a time: ext4 walks all blocks of a folio of the page cache at each
 * write to it, and a folio is as large as the write that made it. */
static int write_zeros(const struct store_wal *wal, uint64_t from, uint64_t to,
                       struct error *why)
{
    static const uint8_t zeros[ZEROS_BYTES];

    if (lseek(wal->fd, (off_t)from, SEEK_SET) < 0)
        return error_errno(why, "seek");
    for (uint64_t at = from; at < to;) {
        size_t part = to - at < sizeof zeros ? to - at : sizeof zeros;

        if (fd_write_all(wal->fd, zeros, part, why) != 0)
            return why->code;
        at += part;
    }
    return 0;
}

/* Overwrite a retired log with zeros, which SQLite ignores, and make it
 * `length` at least. A full disk can do without the length. The first frame's
 * header goes before the log's: where a write ends half way, the log is still
 * told by its mark, or no frame has a salt. */
static int clear(struct store_wal *wal, uint64_t length, struct error *why)
{
    struct stat info;
    uint64_t size, header, start;

    if (fstat(wal->fd, &info) != 0)
        return error_errno(why, "stat %s", wal->path);
    size = (uint64_t)info.st_size;
    header = size < HEADER_BYTES ? size : HEADER_BYTES;
    start =
        size < header + FRAME_HEADER_BYTES ? size : header + FRAME_HEADER_BYTES;
    if (size > length)
        length = size;
    if (write_zeros(wal, header, start, why) != 0 ||
        write_zeros(wal, 0, header, why) != 0 ||
        (write_zeros(wal, start, length, why) != 0 &&
         why->code != ERROR_RESOURCE_EXHAUSTED))
        return error_wrap(why, "%s", wal->path);
    return fsync(wal->fd) == 0 ? 0 : error_errno(why, "sync %s", wal->path);
}

int store_wal_open(struct store_wal *wal, const char *path,
                   size_t prepared_bytes, struct error *why)
{
    CLEANUP(free_pointer) char *mark = memory_format("%s-mark", path);

    *wal = (struct store_wal){.fd = -1, .path = memory_format("%s-wal", path)};
    if (store_mark_open(&wal->mark, mark, why) != 0)
        return why->code;
    wal->fd = open(wal->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (wal->fd < 0)
        return error_errno(why, "open %s", wal->path);
    if (examine(wal, why) != 0)
        return error_wrap(why, "%s", wal->path);
    if (wal->needed)
        return 0;
    if (store_wal_retire(wal, why) != 0)
        return why->code;
    return clear(wal, prepared_bytes, why);
}

void store_wal_close(struct store_wal *wal)
{
    store_mark_close(&wal->mark);
    fd_reset(&wal->fd);
    free(wal->path);
}

int store_wal_note(struct store_wal *wal, uint64_t frames, struct error *why)
{
    struct store_mark *mark = &wal->mark;

    if (frames == mark->frames)
        return 0;
    if (mark->frames == 0 && pread(wal->fd, mark->salt, STORE_SALT_BYTES,
                                   HEADER_SALT) != STORE_SALT_BYTES)
        return error_errno(why, "read %s", wal->path);
    wal->needed = true;
    if (store_mark_set(mark, frames, why) != 0)
        return why->code;
    return is_split(frames) ? store_mark_sync(mark, why) : 0;
}

int store_wal_settle(struct store_wal *wal, struct error *why)
{
    return store_mark_sync(&wal->mark, why);
}

int store_wal_retire(struct store_wal *wal, struct error *why)
{
    wal->needed = false;
    if (store_mark_set(&wal->mark, 0, why) != 0)
        return why->code;
    return store_mark_sync(&wal->mark, why);
}
