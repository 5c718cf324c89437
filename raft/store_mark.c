/* store_mark.c - one record: salt (8), frames (8), CRC-32 of both (4). */
#include "raft/store_mark.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <string.h>
#include <unistd.h>

enum { SUMMED_BYTES = STORE_SALT_BYTES + 8, RECORD_BYTES = SUMMED_BYTES + 4 };

static void put_number(uint8_t *at, uint64_t number, unsigned length)
{
    for (unsigned i = 0; i < length; i++)
        at[i] = (uint8_t)(number >> (8 * i));
}

static void encode(const struct store_mark *mark, uint8_t record[RECORD_BYTES])
{
    memcpy(record, mark->salt, STORE_SALT_BYTES);
    put_number(record + STORE_SALT_BYTES, mark->frames, 8);
    put_number(record + SUMMED_BYTES, crc32_gzip_refl(0, record, SUMMED_BYTES),
               4);
}

static void decode(struct store_mark *mark, const uint8_t record[RECORD_BYTES])
{
    struct store_mark read = {.fd = mark->fd, .known = true};
    uint8_t same[RECORD_BYTES];

    memcpy(read.salt, record, STORE_SALT_BYTES);
    for (unsigned i = 0; i < 8; i++)
        read.frames |= (uint64_t)record[STORE_SALT_BYTES + i] << (8 * i);
    encode(&read, same);
    if (memcmp(record, same, RECORD_BYTES) == 0)
        *mark = read;
}

int store_mark_open(struct store_mark *mark, const char *path,
                    struct error *why)
{
    uint8_t record[RECORD_BYTES];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    ssize_t got;

    *mark = (struct store_mark){
        .fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    if (mark->fd < 0)
        return error_errno(why, "open %s", path);
    if (fcntl(mark->fd, F_SETLK, &lock) != 0)
        return errno == EAGAIN || errno == EACCES
                   ? error_set(why, ERROR_FAILED_PRECONDITION,
                               "%s: another process has it open", path)
                   : error_errno(why, "lock %s", path);
    got = pread(mark->fd, record, sizeof record, 0);
    if (got < 0)
        return error_errno(why, "read %s", path);
    if (got == RECORD_BYTES)
        decode(mark, record);
    return 0;
}

void store_mark_close(struct store_mark *mark)
{
    fd_reset(&mark->fd);
}

int store_mark_set(struct store_mark *mark, uint64_t frames, struct error *why)
{
    uint8_t record[RECORD_BYTES];

    mark->frames = frames;
    mark->known = true;
    mark->unsynced = true;
    encode(mark, record);
    if (pwrite(mark->fd, record, sizeof record, 0) != RECORD_BYTES)
        return error_errno(why, "write the mark");
    return 0;
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
