#include "node/supervisor/root_path.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TRIES_MAX = 100 };

/* EAGAIN: a rename elsewhere made the kernel unsure about a "..". */
static int open_in_root(int root, const char *path, uint64_t flags)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;

    for (int i = 0; i < TRIES_MAX; i++) {
        fd = syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}

int root_path_open(int root, const char *path, int flags)
{
    return open_in_root(root, path, (uint64_t)flags | O_PATH);
}

/* The folder that holds the last name of `path`, and that name. */
static int open_parent(int root, const char *path, const char **name)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');

    *name = slash ? slash + 1 : path;
    if (!slash || slash == path)
        return open_in_root(root, "/", O_PATH | O_DIRECTORY);
    memcpy(parent, path, (size_t)(slash - path));
    parent[slash - path] = '\0';
    return open_in_root(root, parent, O_PATH | O_DIRECTORY);
}

static int make_folder(int root, const char *path)
{
    const char *name;
    CLEANUP(fd_close) int parent = open_parent(root, path, &name);

    if (parent < 0)
        return -1;
    return *name == '\0' || mkdirat(parent, name, 0755) == 0 || errno == EEXIST
               ? 0
               : -1;
}

int root_path_folder(int root, const char *path, struct error *why)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    int fd = open_in_root(root, path, O_PATH | O_DIRECTORY);

    if (fd >= 0)
        return fd;
    if (length >= sizeof part) {
        errno = ENAMETOOLONG;
        error_errno(why, "make folder %.64s...", path);
        return -1;
    }
    for (size_t i = 1; i <= length && errno == ENOENT; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        errno = ENOENT;
        if (make_folder(root, part) != 0)
            break;
        errno = ENOENT;
    }
    fd = open_in_root(root, path, O_PATH | O_DIRECTORY);
    if (fd < 0)
        error_errno(why, "make folder %s", path);
    return fd;
}

int root_path_file(int root, const char *path, struct error *why)
{
    const char *name;
    CLEANUP(fd_close) int parent = -1;
    int fd = open_in_root(root, path, O_PATH);

    if (fd >= 0)
        return fd;
    parent = open_parent(root, path, &name);
    if (parent >= 0) {
        unlinkat(parent, name, 0); /* a link that leads nowhere */
        fd = openat(parent, name,
                    O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    }
    if (fd < 0)
        error_errno(why, "make file %s", path);
    return fd;
}
