/* store_mark.c - two records, each: salt (8), frames (8), its number (8),
 * CRC-32 of all that (4). Older programs write one, without a number, in the
 * place of even ones.
 *
 * Invariant: once one was synced, one is on the disk, and what is written goes
 * to the other, so that a crash that tears it leaves the one before. */
#include "raft/store_mark.h"

#include "base/fd.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <string.h>
#include <unistd.h>

enum {
    FRAMES = STORE_SALT_BYTES,
    NUMBER = FRAMES + 8,
    SUMMED_BYTES = NUMBER + 8,
    RECORD_BYTES = SUMMED_BYTES + 4,
    APART_BYTES = 4096, /* no disk has larger sectors */
};

static void put_number(uint8_t *at, uint64_t number, unsigned length)
{
    for (unsigned i = 0; i < length; i++)
        at[i] = (uint8_t)(number >> (8 * i));
}

static uint64_t get_number(const uint8_t *at)
{
    uint64_t number;

    memcpy(&number, at, sizeof number);
    return le64toh(number);
}

static off_t place(uint64_t number)
{
    return (off_t)(number % 2 * APART_BYTES);
}

static void encode(const struct store_mark *mark, uint8_t record[RECORD_BYTES])
{
    memcpy(record, mark->salt, STORE_SALT_BYTES);
    put_number(record + FRAMES, mark->frames, 8);
    put_number(record + NUMBER, mark->number, 8);
    put_number(record + SUMMED_BYTES, crc32_gzip_refl(0, record, SUMMED_BYTES),
               4);
}

static int write_record(const struct store_mark *mark, struct error *why)
{
    uint8_t record[RECORD_BYTES];

    encode(mark, record);
    if (lseek(mark->fd, place(mark->number), SEEK_SET) < 0)
        return error_errno(why, "seek in the mark");
    if (fd_write_all(mark->fd, record, sizeof record, why) != 0)
        return error_wrap(why, "the mark");
    return 0;
}

static bool has_sum(const uint8_t *record, size_t summed_bytes)
{
    uint8_t sum[4];

    put_number(sum, crc32_gzip_refl(0, record, summed_bytes), sizeof sum);
    return memcmp(record + summed_bytes, sum, sizeof sum) == 0;
}

/* The record of even numbers, or of odd ones, if it is whole and newer than
 * what `mark` is; also if the program that went before this was an older one.
 */
static int read_record(struct store_mark *mark, unsigned odd, struct error *why)
{
    uint8_t record[RECORD_BYTES] = {0};
    uint64_t number;

    if (pread(mark->fd, record, sizeof record, place(odd)) < 0)
        return error_errno(why, "read the mark");
    number = get_number(record + NUMBER);
    if (!odd && has_sum(record, NUMBER))
        number = (mark->number + 2) & ~UINT64_C(1);
    else if (!has_sum(record, SUMMED_BYTES) || number % 2 != odd)
        return 0;
    if (number <= mark->number)
        return 0;
    memcpy(mark->salt, record, STORE_SALT_BYTES);
    mark->frames = get_number(record + FRAMES);
    mark->number = number;
    mark->known = true;
    return 0;
}

/* What an earlier process could not sync is in the page cache alone. Written
 * over itself it changes nothing that is on the disk. */
static int recover(struct store_mark *mark, struct error *why)
{
    if (!mark->known)
        return 0;
    mark->unsynced = true;
    if (write_record(mark, why) != 0)
        return why->code;
    return store_mark_sync(mark, why);
}

int store_mark_open(struct store_mark *mark, const char *path,
                    struct error *why)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    *mark = (struct store_mark){
        .fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    if (mark->fd < 0)
        return error_errno(why, "open %s", path);
    if (fcntl(mark->fd, F_SETLK, &lock) != 0)
        return errno == EAGAIN || errno == EACCES
                   ? error_set(why, ERROR_FAILED_PRECONDITION,
                               "%s: another process has it open", path)
                   : error_errno(why, "lock %s", path);
    if (read_record(mark, 1, why) != 0 || read_record(mark, 0, why) != 0 ||
        recover(mark, why) != 0)
        return error_wrap(why, "%s", path);
    return 0;
}

void store_mark_close(struct store_mark *mark)
{
    fd_reset(&mark->fd);
}

int store_mark_set(struct store_mark *mark, uint64_t frames, struct error *why)
{
    if (!mark->unsynced)
        mark->number++;
    mark->frames = frames;
    mark->known = true;
    mark->unsynced = true;
    return write_record(mark, why);
}

int store_mark_sync(struct store_mark *mark, struct error *why)
{
    if (!mark->unsynced)
        return 0;
    if (fsync(mark->fd) != 0)
        return error_errno(why, "sync the mark");
    mark->unsynced = false;
    return 0;
}
