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
    struct stat info;

    for (char *at = copy;; at++) {
        char kept = *at;

        if ((kept != '/' || at == copy) && kept != '\0')
            continue;
        *at = '\0';
        if (mkdir(copy, mode) != 0 && errno != EEXIST)
            return error_errno(why, "create folder %s", copy);
        *at = kept;
        if (kept == '\0')
            break;
    }
    if (stat(path, &info) != 0)
        return error_errno(why, "stat folder %s", path);
    if (!S_ISDIR(info.st_mode))
        return error_set(why, ERROR_INVALID_ARGUMENT, "%s is no folder", path);
    return 0;
}

/* ---- removing ----------------------------------------------------------- */

/* Remove what is no folder, or an empty one. A folder that is not empty is
 * left, and *full set. */
static int remove_simple(int dir, const char *path, bool *full,
                         struct error *why)
{
    *full = false;
    if (unlinkat(dir, path, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno == EISDIR &&
        (unlinkat(dir, path, AT_REMOVEDIR) == 0 || errno == ENOENT))
        return 0;
    if (errno == EBUSY)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "remove %s: something is mounted there", path);
    if (errno != ENOTEMPTY && errno != EEXIST)
        return error_errno(why, "remove %s", path);
    *full = true;
    return 0;
}

static void close_dir(DIR **stream)
{
    if (*stream)
        closedir(*stream);
}

static DIR *open_dir(int dir, const char *path, struct error *why)
{
    int fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);

    if (stream)
        return stream;
    error_errno(why, "open folder %s", path);
    fd_close(&fd);
    return NULL;
}

/* The next entry that is neither . nor .., or NULL. */
static const char *next_name(DIR *stream)
{
    const struct dirent *entry;

    while ((entry = readdir(stream)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return entry->d_name;
    return NULL;
}

/* Move a folder to a free name in `top`. `lifted` counts the names taken. */
static int lift(int from, const char *name, int top, unsigned *lifted,
                struct error *why)
{
    char fresh[32];

    for (;;) {
        snprintf(fresh, sizeof fresh, ".%u", (*lifted)++);
        if (renameat(from, name, top, fresh) == 0)
            return 0;
        if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
            return error_errno(why, "move %s", name);
    }
}

/* Remove the folder `name` of `top`; its folders are lifted up into `top`. */
static int remove_level(int top, const char *name, unsigned *lifted,
                        struct error *why)
{
    CLEANUP(close_dir) DIR *stream = open_dir(top, name, why);
    const char *entry;
    bool full;

    if (!stream)
        return (int)why->code;
    while ((entry = next_name(stream)))
        if (remove_simple(dirfd(stream), entry, &full, why) != 0 ||
            (full && lift(dirfd(stream), entry, top, lifted, why) != 0))
            return error_wrap(why, "in %s", name);
    if (unlinkat(top, name, AT_REMOVEDIR) != 0)
        return error_errno(why, "remove folder %s", name);
    return 0;
}

/* Level by level, as a tree that somebody else has made may be deeper than
 * the stack and the number of open files allow. */
int folder_remove(int dir, const char *path, struct error *why)
{
    CLEANUP(close_dir) DIR *top = NULL;
    unsigned lifted = 0;
    unsigned before;
    bool full;

    if (remove_simple(dir, path, &full, why) != 0)
        return (int)why->code;
    if (!full)
        return 0;
    top = open_dir(dir, path, why);
    if (!top)
        return (int)why->code;
    do {
        const char *entry;

        before = lifted;
        rewinddir(top);
        while ((entry = next_name(top)))
            if (remove_simple(dirfd(top), entry, &full, why) != 0 ||
                (full && remove_level(dirfd(top), entry, &lifted, why) != 0))
                return error_wrap(why, "in %s", path);
    } while (lifted != before);
    if (unlinkat(dir, path, AT_REMOVEDIR) != 0)
        return error_errno(why, "remove folder %s", path);
    return 0;
}
