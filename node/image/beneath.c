#include "node/image/beneath.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OPEN_TRIES_MAX = 100 };

void beneath_init(struct beneath *at, int root)
{
    memset(at, 0, sizeof *at);
    at->root = root;
    at->parent = -1;
}

void beneath_fini(struct beneath *at)
{
    fd_reset(&at->parent);
}

void beneath_forget(struct beneath *at)
{
    fd_reset(&at->parent);
}

/* Copy the components of `path` to `out` with one slash between them. */
int beneath_clean(const char *path, char out[BENEATH_PATH_MAX],
                  struct error *why)
{
    size_t used = 0;
    int depth = 0;

    out[0] = '\0';
    if (strlen(path) >= BENEATH_PATH_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "path is longer than %d bytes", BENEATH_PATH_MAX - 1);
    for (;;) {
        size_t length;

        path += strspn(path, "/");
        length = strcspn(path, "/");
        if (length == 0)
            break;
        if (length == 2 && memcmp(path, "..", 2) == 0)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "path has \"..\": it could leave the layer");
        if (length >= BENEATH_NAME_MAX)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "a name is longer than %d bytes",
                             BENEATH_NAME_MAX - 1);
        if (length != 1 || path[0] != '.') {
            if (++depth > BENEATH_DEPTH_MAX)
                return error_set(why, ERROR_INVALID_ARGUMENT,
                                 "path is more than %d levels deep",
                                 BENEATH_DEPTH_MAX);
            if (used > 0)
                out[used++] = '/';
            memcpy(out + used, path, length);
            used += length;
        }
        path += length;
    }
    out[used] = '\0';
    return 0;
}

/* EAGAIN: a rename elsewhere made the kernel unsure that ".." of a link
 * stays beneath; it asks to be asked again. */
static int open_beneath(int root, const char *folder)
{
    struct open_how how = {
        .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
    };
    long fd = -1;

    for (int i = 0; i < OPEN_TRIES_MAX; i++) {
        fd = syscall(SYS_openat2, root, folder[0] ? folder : ".", &how,
                     sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}

static int refuse(const char *folder, struct error *why)
{
    if (errno == EXDEV || errno == ELOOP)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%.200s\" leads out of the layer through a "
                         "symbolic link",
                         folder);
    return error_errno(why, "open folder \"%.200s\"", folder);
}

/* Make every folder on the way to `folder`, from the root down. */
static int make_folders(struct beneath *at, const char *folder,
                        struct error *why)
{
    char there[BENEATH_PATH_MAX];
    size_t used = 0;

    for (const char *rest = folder; *rest;) {
        size_t length = strcspn(rest, "/");
        CLEANUP(fd_close) int parent = -1;

        there[used] = '\0';
        parent = open_beneath(at->root, there);
        if (parent < 0)
            return refuse(there, why);
        memcpy(there + used, rest, length);
        there[used + length] = '\0';
        if (at->make(at->data, parent, there, why) != 0)
            return (int)why->code;
        there[used + length] = '/';
        used += length + 1;
        rest += length + (rest[length] == '/');
    }
    return 0;
}

int beneath_go(struct beneath *at, const char *path, bool make,
               struct error *why)
{
    char folder[BENEATH_PATH_MAX];
    char *slash;
    const char *name;

    if (beneath_clean(path, folder, why) != 0)
        return (int)why->code;
    slash = strrchr(folder, '/');
    name = slash ? slash + 1 : folder;
    memcpy(at->name, name[0] ? name : ".", strlen(name[0] ? name : ".") + 1);
    if (slash)
        *slash = '\0';
    else
        folder[0] = '\0';
    if (at->parent >= 0 && strcmp(folder, at->folder) == 0)
        return 0;
    fd_reset(&at->parent);
    at->parent = open_beneath(at->root, folder);
    if (at->parent < 0 && make && (errno == ENOENT || errno == ENOTDIR)) {
        if (make_folders(at, folder, why) != 0)
            return (int)why->code;
        at->parent = open_beneath(at->root, folder);
    }
    if (at->parent < 0)
        return refuse(folder, why);
    memcpy(at->folder, folder, strlen(folder) + 1);
    return 0;
}
