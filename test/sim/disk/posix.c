/* posix.c - the calls that the program makes beside SQLite, on the model. It is
 * linked with --wrap for each of them (see Makefile); what is beneath no disk's
 * folder goes to the C library. */
#include "test/sim/disk/disk_parts.h"

#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The number of the first of our descriptors: the kernel's are smaller. */
enum { FIRST_FD = 1 << 28 };

struct descriptor {
    struct disk *disk;      /* NULL: closed */
    struct disk_node *node; /* NULL: the folder; gone when it is dead */
    uint64_t generation;    /* of the process that opened it */
    off_t at;
};

static struct descriptor *descriptors; /* owned, as long as the program */
static unsigned descriptor_count;

/* An open folder: what was in it. */
struct listing {
    struct listing *next;
    int fd;
    char **names; /* owned */
    size_t count;
    size_t read;
    struct dirent entry;
};

static struct listing *listings;

int __real_open(const char *path, int flags, ...);
int __real_close(int fd);
ssize_t __real_read(int fd, void *bytes, size_t length);
ssize_t __real_pread(int fd, void *bytes, size_t length, off_t at);
ssize_t __real_write(int fd, const void *bytes, size_t length);
ssize_t __real_pwrite(int fd, const void *bytes, size_t length, off_t at);
off_t __real_lseek(int fd, off_t at, int whence);
int __real_ftruncate(int fd, off_t length);
int __real_fstat(int fd, struct stat *info);
int __real_stat(const char *path, struct stat *info);
int __real_access(const char *path, int mode);
int __real_fsync(int fd);
int __real_fcntl(int fd, int operation, ...);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __real_unlinkat(int fd, const char *path, int flags);
int __real_mkdir(const char *path, mode_t mode);
DIR *__real_opendir(const char *path);
struct dirent *__real_readdir(DIR *stream);
int __real_closedir(DIR *stream);
int __real_dirfd(DIR *stream);

int __wrap_open(const char *path, int flags, ...);
int __wrap_close(int fd);
ssize_t __wrap_read(int fd, void *bytes, size_t length);
ssize_t __wrap_pread(int fd, void *bytes, size_t length, off_t at);
ssize_t __wrap_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t length, off_t at);
off_t __wrap_lseek(int fd, off_t at, int whence);
int __wrap_ftruncate(int fd, off_t length);
int __wrap_fstat(int fd, struct stat *info);
int __wrap_stat(const char *path, struct stat *info);
int __wrap_access(const char *path, int mode);
int __wrap_fsync(int fd);
int __wrap_fcntl(int fd, int operation, ...);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);
int __wrap_unlinkat(int fd, const char *path, int flags);
int __wrap_mkdir(const char *path, mode_t mode);
DIR *__wrap_opendir(const char *path);
struct dirent *__wrap_readdir(DIR *stream);
int __wrap_closedir(DIR *stream);
int __wrap_dirfd(DIR *stream);

static int result_of(int error)
{
    errno = error;
    return error ? -1 : 0;
}

/* ---- descriptors ---- */

/* NULL: the kernel's. */
static struct descriptor *find(int fd)
{
    return fd >= FIRST_FD ? &descriptors[fd - FIRST_FD] : NULL;
}

static bool is_dead(const struct descriptor *open)
{
    return open->generation != open->disk->generation ||
           disk_is_off(open->disk);
}

static int add(struct disk *disk, struct disk_node *node)
{
    unsigned i = 0;

    while (i < descriptor_count && descriptors[i].disk)
        i++;
    if (i == descriptor_count) {
        descriptor_count = 2 * descriptor_count + 16;
        descriptors =
            memory_resize(descriptors, descriptor_count * sizeof *descriptors);
        memset(descriptors + i, 0,
               (descriptor_count - i) * sizeof *descriptors);
    }
    descriptors[i] = (struct descriptor){
        .disk = disk, .node = node, .generation = disk->generation};
    if (node)
        node->users++;
    return FIRST_FD + (int)i;
}

static int open_node(struct disk *disk, const char *name, int flags)
{
    struct disk_node *node = disk_find(disk, name);
    int error = 0;

    if (disk_is_off(disk))
        error = EIO;
    else if (!node && !(flags & O_CREAT))
        error = ENOENT;
    else if (!node)
        error = disk_create(disk, name);
    else if ((flags & O_TRUNC) && node->now.length > 0)
        error = disk_truncate(node, 0);
    return error ? result_of(error) : add(disk, disk_find(disk, name));
}

int __wrap_open(const char *path, int flags, ...)
{
    const char *name = NULL;
    struct disk *disk = disk_of(path, &name);
    unsigned mode = 0;
    va_list args;

    if (disk)
        return open_node(disk, name, flags);
    disk = disk_of_folder(path);
    if (disk)
        return disk_is_off(disk) ? result_of(EIO) : add(disk, NULL);
    if (flags & O_CREAT) {
        va_start(args, flags);
        mode = va_arg(args, unsigned);
        va_end(args);
    }
    return __real_open(path, flags, mode);
}

int __wrap_close(int fd)
{
    struct descriptor *open = find(fd);

    if (!open)
        return __real_close(fd);
    if (open->node && open->generation == open->disk->generation)
        open->node->users--;
    open->disk = NULL;
    return 0;
}

/* Locks: one process at a time has a disk. */
int __wrap_fcntl(int fd, int operation, ...)
{
    va_list args;
    void *argument;

    va_start(args, operation);
    argument = va_arg(args, void *);
    va_end(args);
    return find(fd) ? 0 : __real_fcntl(fd, operation, argument);
}

/* ---- content ---- */

ssize_t __wrap_pread(int fd, void *bytes, size_t length, off_t at)
{
    const struct descriptor *open = find(fd);

    if (!open)
        return __real_pread(fd, bytes, length, at);
    if (is_dead(open))
        return result_of(EIO);
    return (ssize_t)disk_read(open->node, bytes, length, (uint64_t)at);
}

ssize_t __wrap_read(int fd, void *bytes, size_t length)
{
    struct descriptor *open = find(fd);
    ssize_t got;

    if (!open)
        return __real_read(fd, bytes, length);
    got = __wrap_pread(fd, bytes, length, open->at);
    if (got > 0)
        open->at += got;
    return got;
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t length, off_t at)
{
    const struct descriptor *open = find(fd);

    if (!open)
        return __real_pwrite(fd, bytes, length, at);
    if (result_of(is_dead(open) ? EIO
                                : disk_write(open->node, bytes, length,
                                             (uint64_t)at)) != 0)
        return -1;
    return (ssize_t)length;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t length)
{
    struct descriptor *open = find(fd);
    ssize_t put;

    if (!open)
        return __real_write(fd, bytes, length);
    put = __wrap_pwrite(fd, bytes, length, open->at);
    if (put > 0)
        open->at += put;
    return put;
}

off_t __wrap_lseek(int fd, off_t at, int whence)
{
    struct descriptor *open = find(fd);

    if (!open)
        return __real_lseek(fd, at, whence);
    if (is_dead(open))
        return result_of(EIO);
    if (whence == SEEK_CUR)
        at += open->at;
    else if (whence == SEEK_END)
        at += (off_t)open->node->now.length;
    open->at = at;
    return at;
}

int __wrap_ftruncate(int fd, off_t length)
{
    const struct descriptor *open = find(fd);

    if (!open)
        return __real_ftruncate(fd, length);
    return result_of(
        is_dead(open) ? EIO : disk_truncate(open->node, (uint64_t)length));
}

int __wrap_fsync(int fd)
{
    const struct descriptor *open = find(fd);

    if (!open)
        return __real_fsync(fd);
    if (is_dead(open))
        return result_of(EIO);
    return result_of(open->node ? disk_sync(open->node)
                                : disk_sync_folder(open->disk));
}

/* ---- names ---- */

static int describe(const struct disk_node *node, struct stat *info)
{
    *info = (struct stat){
        .st_mode = node ? S_IFREG | 0600 : S_IFDIR | 0700,
        .st_size = node ? (off_t)node->now.length : 0,
    };
    return 0;
}

int __wrap_fstat(int fd, struct stat *info)
{
    const struct descriptor *open = find(fd);

    if (!open)
        return __real_fstat(fd, info);
    return is_dead(open) ? result_of(EIO) : describe(open->node, info);
}

int __wrap_stat(const char *path, struct stat *info)
{
    const char *name = NULL;
    struct disk *disk = disk_of(path, &name);
    const struct disk_node *node = disk ? disk_find(disk, name) : NULL;

    if (disk_is_folder(path))
        return describe(NULL, info);
    if (!disk)
        return __real_stat(path, info);
    return node ? describe(node, info) : result_of(ENOENT);
}

int __wrap_access(const char *path, int mode)
{
    const char *name = NULL;
    struct disk *disk = disk_of(path, &name);

    if (!disk)
        return __real_access(path, mode);
    return result_of(disk_find(disk, name) ? 0 : ENOENT);
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    return disk_is_folder(path) ? result_of(EEXIST) : __real_mkdir(path, mode);
}

int __wrap_rename(const char *from, const char *to)
{
    const char *name = NULL;
    struct disk *disk = disk_of(from, &name);
    struct disk_node *node = disk ? disk_find(disk, name) : NULL;

    if (!disk)
        return __real_rename(from, to);
    if (!node || disk_of(to, &name) != disk)
        return result_of(ENOENT);
    return result_of(disk_rename(node, name));
}

static int remove_name(const struct disk *disk, const char *name)
{
    struct disk_node *node = disk_find(disk, name);

    return result_of(node ? disk_remove(node) : ENOENT);
}

int __wrap_unlink(const char *path)
{
    const char *name = NULL;
    const struct disk *disk = disk_of(path, &name);

    return disk ? remove_name(disk, name) : __real_unlink(path);
}

int __wrap_unlinkat(int fd, const char *path, int flags)
{
    const struct descriptor *open = find(fd);

    return open ? remove_name(open->disk, path)
                : __real_unlinkat(fd, path, flags);
}

/* ---- folders ---- */

/* NULL: the C library's. */
static struct listing *find_listing(DIR *stream)
{
    struct listing *listing = listings;

    while (listing && listing != (void *)stream)
        listing = listing->next;
    return listing;
}

DIR *__wrap_opendir(const char *path)
{
    struct disk *disk = disk_of_folder(path);
    struct listing *listing;
    size_t count = 0;

    if (!disk)
        return __real_opendir(path);
    listing = memory_new(sizeof *listing);
    for (const struct disk_node *node = disk->nodes; node; node = node->next)
        count += node->name != NULL;
    listing->names = memory_array(count + 1, sizeof *listing->names);
    for (const struct disk_node *node = disk->nodes; node; node = node->next)
        if (node->name)
            listing->names[listing->count++] = memory_string(node->name);
    listing->fd = add(disk, NULL);
    listing->next = listings;
    listings = listing;
    return (void *)listing;
}

struct dirent *__wrap_readdir(DIR *stream)
{
    struct listing *listing = find_listing(stream);

    if (!listing)
        return __real_readdir(stream);
    if (listing->read == listing->count)
        return NULL;
    snprintf(listing->entry.d_name, sizeof listing->entry.d_name, "%s",
             listing->names[listing->read++]);
    return &listing->entry;
}

int __wrap_dirfd(DIR *stream)
{
    const struct listing *listing = find_listing(stream);

    return listing ? listing->fd : __real_dirfd(stream);
}

int __wrap_closedir(DIR *stream)
{
    struct listing *listing = find_listing(stream);
    struct listing **at = &listings;

    if (!listing)
        return __real_closedir(stream);
    while (*at != listing)
        at = &(*at)->next;
    *at = listing->next;
    for (size_t i = 0; i < listing->count; i++)
        free(listing->names[i]);
    free(listing->names);
    __wrap_close(listing->fd);
    free(listing);
    return 0;
}
