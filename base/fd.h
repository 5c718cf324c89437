/* fd.h - whole reads and writes on file descriptors, and files replaced so
 * that a reader or a crash sees the old content or the new, never a mixture. */
#pragma once

#include "base/buffer.h"

/* For CLEANUP: close *fd unless it is -1. */
void fd_close(int *fd);

/* Close *fd and set it to -1. */
void fd_reset(int *fd);

/* What *fd is; it becomes -1, so that a CLEANUP leaves it open. */
static inline int fd_take(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

/* OUT_OF_RANGE when the file ends before `length` bytes. */
int fd_read_exact(int fd, void *bytes, size_t length, struct error *why);
int fd_write_all(int fd, const void *bytes, size_t length, struct error *why);

/* Append all of a file to `out`, whose limit bounds it. `dir` as openat(2). */
int file_read(int dir, const char *path, struct buffer *out, struct error *why);

/* Write `path`.new with `mode`, sync it, rename it over `path`, sync the
 * folder. `dir` as openat(2). */
int file_replace(int dir, const char *path, const void *bytes, size_t length,
                 unsigned mode, struct error *why);

/* file_replace() without the syncs: whole for every reader and whatever
 * happens to this process, but not if the machine stops. */
int file_exchange(int dir, const char *path, const void *bytes, size_t length,
                  unsigned mode, struct error *why);

/* mkdir -p: every missing folder of `path` with `mode`. INVALID_ARGUMENT when
 * it is there and no folder. */
int folder_make(const char *path, unsigned mode, struct error *why);

/* rm -r of `path` beneath `dir`, however deep, never following a symbolic
 * link. Not there is success; FAILED_PRECONDITION where something is mounted,
 * of which nothing is removed. */
int folder_remove(int dir, const char *path, struct error *why);
