/* posix.c - the calls that the store makes beside SQLite, on the model. The
 * program is linked with --wrap for each of them (see Makefile); what is not
 * beneath a watched folder goes to the C library, and so does what the model
 * itself does, by its own descriptors. */
#include "test/sim/disk/disk_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int __real_open(const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *bytes, size_t length);
ssize_t __real_pwrite(int fd, const void *bytes, size_t length, off_t at);
int __real_ftruncate(int fd, off_t length);
int __real_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);

int __wrap_open(const char *path, int flags, ...);
ssize_t __wrap_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t length, off_t at);
int __wrap_ftruncate(int fd, off_t length);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);

/* The disk of any path to a file whose folder exists, and its name there. */
static struct disk *find_disk(const char *path, const char **name)
{
    static char real[PATH_MAX];
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1,
             slash ? path : ".");
    if (!disk_newest() || !realpath(folder, real))
        return NULL;
    snprintf(real + strlen(real), sizeof real - strlen(real), "/%s",
             slash ? slash + 1 : path);
    return disk_of(real, name);
}

static int result_of(int error)
{
    errno = error;
    return error ? -1 : 0;
}

int __wrap_open(const char *path, int flags, ...)
{
    const char *name = NULL;
    struct disk *disk = flags & O_CREAT ? find_disk(path, &name) : NULL;
    unsigned mode = 0;
    va_list args;

    if (flags & O_CREAT) {
        va_start(args, flags);
        mode = va_arg(args, unsigned);
        va_end(args);
    }
    if (disk && !disk_find(disk, name)) {
        int error = disk_create(disk, name);

        if (error)
            return result_of(error);
    }
    return __real_open(path, flags, mode);
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t length, off_t at)
{
    struct disk_node *node = disk_find_fd(fd);

    if (!node || node->fd == fd)
        return __real_pwrite(fd, bytes, length, at);
    if (result_of(disk_write(node, bytes, length, (uint64_t)at)) != 0)
        return -1;
    return (ssize_t)length;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t length)
{
    struct disk_node *node = disk_find_fd(fd);

    if (!node)
        return __real_write(fd, bytes, length);
    if (__wrap_pwrite(fd, bytes, length, lseek(fd, 0, SEEK_CUR)) < 0)
        return -1;
    lseek(fd, (off_t)length, SEEK_CUR);
    return (ssize_t)length;
}

int __wrap_ftruncate(int fd, off_t length)
{
    struct disk_node *node = disk_find_fd(fd);

    if (!node || node->fd == fd)
        return __real_ftruncate(fd, length);
    return result_of(disk_truncate(node, (uint64_t)length));
}

int __wrap_fsync(int fd)
{
    struct disk_node *node = disk_find_fd(fd);
    struct disk *disk = node ? NULL : disk_find_folder_fd(fd);

    if (node)
        return result_of(disk_sync(node));
    if (disk)
        return result_of(disk_sync_folder(disk));
    return __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
    const char *name = NULL;
    struct disk *disk = find_disk(from, &name);
    struct disk_node *node = disk ? disk_find(disk, name) : NULL;

    if (!node || !find_disk(to, &name))
        return __real_rename(from, to);
    return result_of(disk_rename(node, name));
}

int __wrap_unlink(const char *path)
{
    const char *name = NULL;
    struct disk *disk = find_disk(path, &name);
    struct disk_node *node = disk ? disk_find(disk, name) : NULL;

    return node ? result_of(disk_remove(node)) : __real_unlink(path);
}
