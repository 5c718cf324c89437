#include "node/image/settle_links.h"

#include "base/fd.h"
#include "base/memory.h"
#include "node/image/beneath.h"
#include "node/image/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { NAMES_MAX_BYTES = 64 << 10, COPY_BYTES = 1 << 30 };

/* What a layer has to say of a path. */
enum say { SAY_NOTHING, SAY_THERE, SAY_HIDDEN };

static int open_path(int root, const char *path, int flags)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
        .resolve =
            RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };

    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

static bool is_opaque(int root, const char *path)
{
    CLEANUP(fd_close) int fd = open_path(root, path, O_RDONLY | O_DIRECTORY);
    char value = 0;

    return fd >= 0 && fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 &&
           value == 'y';
}

/* From the root down: what is no folder on the way hides what lies below, so
 * does an opaque one that has not got the path; *info is of SAY_THERE. */
static enum say ask(int root, const char *path, struct stat *info)
{
    enum say otherwise = SAY_NOTHING;
    char part[BENEATH_PATH_MAX];
    size_t length = 0;

    for (;;) {
        CLEANUP(fd_close) int fd = -1;

        length += strcspn(path + length, "/");
        memcpy(part, path, length);
        part[length] = '\0';
        fd = open_path(root, part, O_PATH);
        if (fd < 0 || fstat(fd, info) != 0)
            return otherwise;
        if (S_ISCHR(info->st_mode) && info->st_rdev == makedev(0, 0))
            return SAY_HIDDEN;
        if (path[length] == '\0')
            return SAY_THERE;
        if (!S_ISDIR(info->st_mode))
            return SAY_HIDDEN;
        if (is_opaque(root, part))
            otherwise = SAY_HIDDEN;
        length++;
    }
}

bool settle_link_hidden(const struct link_layers *layers, int layer,
                        const char *path)
{
    struct stat info;

    for (int i = layer + 1; i < layers->count; i++)
        if (ask(layers->folders[i], path, &info) != SAY_NOTHING)
            return true;
    return false;
}

/* ---- the copy ------------------------------------------------------------ */

static int copy_content(int from, int to, struct error *why)
{
    ssize_t got;

    do {
        got = copy_file_range(from, NULL, to, NULL, COPY_BYTES, 0);
    } while (got > 0 || (got < 0 && errno == EINTR));
    if (got < 0)
        return error_errno(why, "copy");
    return 0;
}

/* Only what layers are given: user.* and security.capability. */
static int copy_attributes(int from, int to, struct error *why)
{
    CLEANUP(free_pointer) char *names = memory_new(NAMES_MAX_BYTES);
    CLEANUP(free_pointer) char *value = memory_new(LAYER_XATTR_MAX_BYTES);
    ssize_t length = flistxattr(from, names, NAMES_MAX_BYTES);

    for (const char *name = names; length > 0 && name < names + length;
         name += strlen(name) + 1) {
        ssize_t size;

        if (strncmp(name, "user.", strlen("user.")) != 0 &&
            strcmp(name, "security.capability") != 0)
            continue;
        size = fgetxattr(from, name, value, LAYER_XATTR_MAX_BYTES);
        if (size < 0 || fsetxattr(to, name, value, (size_t)size, 0) != 0)
            return error_errno(why, "copy attribute %.100s", name);
    }
    return 0;
}

static int copy_file(int root, const char *target, int out, const char *path,
                     struct error *why)
{
    CLEANUP(fd_close) int from = open_path(root, target, O_RDONLY | O_NONBLOCK);
    CLEANUP(fd_close)
    int to = openat(out, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct timespec times[2];
    struct stat info;

    if (from < 0 || to < 0 || fstat(from, &info) != 0)
        return error_errno(why, "open");
    times[0] = times[1] = info.st_mtim;
    if (copy_content(from, to, why) != 0)
        return (int)why->code;
    if (fchown(to, info.st_uid, info.st_gid) != 0 ||
        fchmod(to, info.st_mode & 07777) != 0)
        return error_errno(why, "set owner and mode");
    if (copy_attributes(from, to, why) != 0)
        return (int)why->code;
    if (futimens(to, times) != 0)
        return error_errno(why, "set time");
    return 0;
}

static int copy_symlink(int root, const char *target, int out, const char *path,
                        struct error *why)
{
    CLEANUP(fd_close) int from = open_path(root, target, O_PATH);
    char text[BENEATH_PATH_MAX];
    ssize_t length = readlinkat(from, "", text, sizeof text - 1);

    if (length < 0)
        return error_errno(why, "read link");
    text[length] = '\0';
    if (symlinkat(text, out, path) != 0)
        return error_errno(why, "make link");
    return 0;
}

int settle_link_copy(const struct link_layers *layers, int layer,
                     const char *target, int out, const char *path,
                     struct error *why)
{
    struct stat info = {0};
    enum say say = SAY_NOTHING;
    int i = layer;

    while (i > 0 && say == SAY_NOTHING)
        say = ask(layers->folders[--i], target, &info);
    if (say == SAY_THERE && S_ISREG(info.st_mode))
        return copy_file(layers->folders[i], target, out, path, why);
    if (say == SAY_THERE && S_ISLNK(info.st_mode))
        return copy_symlink(layers->folders[i], target, out, path, why);
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "neither this layer nor one below has the file");
}
