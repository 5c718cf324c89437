#include "base/fd.h"

#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_CHUNK_BYTES = 16384 };

void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

void fd_reset(int *fd)
{
    fd_close(fd);
    *fd = -1;
}

int fd_read_exact(int fd, void *bytes, size_t length, struct error *why)
{
    uint8_t *next = bytes;

    while (length > 0) {
        ssize_t got = read(fd, next, length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(why, "read");
        if (got == 0)
            return error_set(why, ERROR_OUT_OF_RANGE,
                             "read: ends %zu bytes early", length);
        next += got;
        length -= (size_t)got;
    }
    return 0;
}

int fd_write_all(int fd, const void *bytes, size_t length, struct error *why)
{
    const uint8_t *next = bytes;

    while (length > 0) {
        ssize_t put = write(fd, next, length);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return error_errno(why, "write");
        next += put;
        length -= (size_t)put;
    }
    return 0;
}

int file_read(int dir, const char *path, struct buffer *out, struct error *why)
{
    CLEANUP(fd_close) int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return error_errno(why, "open %s", path);
    for (;;) {
        size_t room = out->limit - buffer_length(out);
        size_t chunk = room < READ_CHUNK_BYTES ? room : READ_CHUNK_BYTES;
        uint8_t past_limit;
        ssize_t got;

        if (chunk == 0)
            got = read(fd, &past_limit, 1);
        else
            got = read(fd, buffer_reserve(out, chunk), chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(why, "read %s", path);
        if (got == 0)
            return 0;
        if (chunk == 0)
            return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                             "read %s: larger than %zu bytes", path,
                             out->limit);
        buffer_extend(out, (size_t)got);
    }
}

/* Make the rename itself durable: sync the folder that holds `path`. */
static int sync_parent(int dir, const char *path, struct error *why)
{
    const char *slash = strrchr(path, '/');
    CLEANUP(free_pointer)
    char *parent = slash ? memory_format("%.*s/", (int)(slash - path), path)
                         : memory_string(".");
    CLEANUP(fd_close)
    int fd = openat(dir, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return error_errno(why, "open folder %s", parent);
    if (fsync(fd) != 0)
        return error_errno(why, "sync folder %s", parent);
    return 0;
}

/* What file_replace() and file_exchange() share. */
struct replacement {
    int dir;
    const char *path;
    unsigned mode;
    bool sync;
};

static int replace(const struct replacement *file, const void *bytes,
                   size_t length, struct error *why)
{
    CLEANUP(free_pointer) char *fresh = memory_format("%s.new", file->path);
    CLEANUP(fd_close)
    int fd = openat(file->dir, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                    file->mode);

    if (fd < 0)
        return error_errno(why, "create %s", fresh);
    if (fchmod(fd, file->mode) != 0)
        return error_errno(why, "set the mode of %s", fresh);
    if (fd_write_all(fd, bytes, length, why) != 0)
        return error_wrap(why, "%s", fresh);
    if (file->sync && fsync(fd) != 0)
        return error_errno(why, "sync %s", fresh);
    if (renameat(file->dir, fresh, file->dir, file->path) != 0)
        return error_errno(why, "rename %s to %s", fresh, file->path);
    return file->sync ? sync_parent(file->dir, file->path, why) : 0;
}

int file_replace(int dir, const char *path, const void *bytes, size_t length,
                 unsigned mode, struct error *why)
{
    struct replacement file = {dir, path, mode, .sync = true};

    return replace(&file, bytes, length, why);
}

int file_exchange(int dir, const char *path, const void *bytes, size_t length,
                  unsigned mode, struct error *why)
{
    struct replacement file = {dir, path, mode, .sync = false};

    return replace(&file, bytes, length, why);
}

int folder_make(const char *path, unsigned mode, struct error *why)
{
    CLEANUP(free_pointer) char *copy = memory_string(path);

    for (char *at = copy + 1;; at++) {
        char kept = *at;

        if (kept != '/' && kept != '\0')
            continue;
        *at = '\0';
        if (mkdir(copy, mode) != 0 && errno != EEXIST)
            return error_errno(why, "create folder %s", copy);
        *at = kept;
        if (kept == '\0')
            return 0;
    }
}

static int remove_below(int dir, const char *path, dev_t device,
                        struct error *why);

static int remove_entry(int dir, const struct dirent *entry, dev_t device,
                        struct error *why)
{
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
        return 0;
    if (unlinkat(dir, entry->d_name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR)
        return error_errno(why, "remove %s", entry->d_name);
    return remove_below(dir, entry->d_name, device, why);
}

static void close_dir(DIR **stream)
{
    if (*stream)
        closedir(*stream);
}

static int remove_below(int dir, const char *path, dev_t device,
                        struct error *why)
{
    int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP(close_dir) DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct stat info;

    if (!stream)
        return error_errno(why, "open folder %s", path);
    if (fstat(fd, &info) != 0)
        return error_errno(why, "stat folder %s", path);
    if (info.st_dev != device)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "remove %s: something is mounted there", path);
    while ((entry = readdir(stream)))
        if (remove_entry(fd, entry, device, why) != 0)
            return error_wrap(why, "in %s", path);
    if (unlinkat(dir, path, AT_REMOVEDIR) != 0 && errno != ENOENT)
        return error_errno(why, "remove folder %s", path);
    return 0;
}

int folder_remove(int dir, const char *path, struct error *why)
{
    struct stat info;

    if (fstatat(dir, path, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT)
            return 0;
        return error_errno(why, "stat %s", path);
    }
    if (S_ISDIR(info.st_mode))
        return remove_below(dir, path, info.st_dev, why);
    if (unlinkat(dir, path, 0) != 0 && errno != ENOENT)
        return error_errno(why, "remove %s", path);
    return 0;
}
