/* store_wal.c - format: https://www.sqlite.org/fileformat2.html#walformat
 *
 *   header (32)  magic, version, page size, sequence, salt (8), checksum (8)
 *   frame*       page number, database size if this ends a transaction,
 *                salt (8), checksum (8); then the page
 *
 * A frame belongs to the log when its salt is the header's, and is whole when
 * the checksum over all before it and itself is right. Frames with another
 * salt are left over from before the log was last started again. */
#include "raft/store_wal.h"

#include "base/fd.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEADER_BYTES = 32,
    HEADER_SUMMED_BYTES = 24,
    FRAME_HEADER_BYTES = 24,
    FRAME_SUMMED_BYTES = 8,
    PAGE_MIN_BYTES = 512,
    PAGE_MAX_BYTES = 65536,
    ZERO_CHUNK_BYTES = 64 << 10,
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

/* Read the frames that follow the header. Once one is damaged, count those
 * that end a transaction, it included: a crash leaves one at most. */
static int check_frames(int fd, const uint8_t header[HEADER_BYTES],
                        struct sum sum, uint64_t frame_count, struct error *why)
{
    uint32_t page_bytes = big_endian(header + 8);
    size_t frame_bytes = FRAME_HEADER_BYTES + page_bytes;
    CLEANUP(free_pointer) uint8_t *frame = memory_new(frame_bytes);
    uint64_t damaged = 0; /* counted from 1 */
    uint64_t commits = 0;

    for (uint64_t i = 1; i <= frame_count; i++) {
        bool ours;

        if (fd_read_exact(fd, frame, frame_bytes, why) != 0)
            return why->code;
        ours = memcmp(frame + 8, header + 16, 8) == 0;
        if (!damaged) {
            sum_add(&sum, frame, FRAME_SUMMED_BYTES);
            sum_add(&sum, frame + FRAME_HEADER_BYTES, page_bytes);
            if (ours && sum_is(&sum, frame + 16))
                continue;
            damaged = i;
        }
        if (ours && big_endian(frame + 4) != 0)
            commits++;
    }
    if (commits < 2)
        return 0;
    return error_set(why, ERROR_DATA_LOSS,
                     "frame %llu of %llu is damaged and %llu transactions "
                     "stand after it",
                     (unsigned long long)damaged,
                     (unsigned long long)frame_count,
                     (unsigned long long)commits);
}

/* Nothing but zeros: prepared, or cut short by a crash, and not yet used;
 * SQLite syncs the header before the first frame. */
static int check_unused(int fd, uint64_t length, struct error *why)
{
    CLEANUP(free_pointer) uint8_t *chunk = memory_new(ZERO_CHUNK_BYTES);

    while (length > 0) {
        size_t part =
            length < ZERO_CHUNK_BYTES ? (size_t)length : ZERO_CHUNK_BYTES;

        if (fd_read_exact(fd, chunk, part, why) != 0)
            return why->code;
        if (!all_zero(chunk, part))
            return error_set(why, ERROR_DATA_LOSS, "its header is damaged");
        length -= part;
    }
    return 0;
}

static int check(int fd, uint64_t length, struct error *why)
{
    uint8_t header[HEADER_BYTES];
    struct sum sum;

    if (length < HEADER_BYTES)
        return 0; /* SQLite was creating it */
    if (fd_read_exact(fd, header, sizeof header, why) != 0)
        return why->code;
    if (header_valid(header, &sum))
        return check_frames(fd, header, sum,
                            (length - HEADER_BYTES) /
                                (FRAME_HEADER_BYTES + big_endian(header + 8)),
                            why);
    if (all_zero(header, sizeof header))
        return check_unused(fd, length - HEADER_BYTES, why);
    return error_set(why, ERROR_DATA_LOSS, "its header is damaged");
}

int store_wal_check(const char *path, struct error *why)
{
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return error_errno(why, "open %s", path);
    if (fstat(fd, &info) != 0)
        return error_errno(why, "stat %s", path);
    if (check(fd, (uint64_t)info.st_size, why) != 0)
        return error_wrap(why, "%s", path);
    return 0;
}

static int append_zeros(int fd, size_t length, struct error *why)
{
    CLEANUP(free_pointer) uint8_t *zeros = memory_new(length);

    if (lseek(fd, 0, SEEK_END) < 0)
        return error_errno(why, "seek");
    if (fd_write_all(fd, zeros, length, why) != 0)
        return why->code;
    return fsync(fd) == 0 ? 0 : error_errno(why, "sync");
}

int store_wal_prepare(const char *path, size_t length, struct error *why)
{
    CLEANUP(fd_close)
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat info;

    if (fd < 0)
        return error_errno(why, "open %s", path);
    if (fstat(fd, &info) != 0)
        return error_errno(why, "stat %s", path);
    if ((uint64_t)info.st_size >= length)
        return 0;
    if (append_zeros(fd, length - (size_t)info.st_size, why) != 0)
        return error_wrap(why, "%s", path);
    return 0;
}
