/* container_root.c - overlayfs from any number of layers.
 *
 * mount(2) takes a page of options, and a layer's folder is some 100 bytes.
 * So the layers get short names: links "0", "1" ... in a small tmpfs that is
 * the current folder while they are mounted. It also keeps the host's paths
 * out of what the container sees in /proc/self/mountinfo, and carries the
 * files that are bound into /etc, and the devices that are into /dev. It goes
 * when the old root is detached.
 *
 * https://docs.kernel.org/filesystems/overlayfs.html */
#include "node/supervisor/container_root.h"

#include "base/fd.h"
#include "base/memory.h"
#include "node/supervisor/container_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NAME_BYTES = 4, OPTIONS_MAX = 4096 };

_Static_assert(CONTAINER_LAYERS_MAX < 1000, "a layer's name has 3 digits");
_Static_assert(CONTAINER_LAYERS_MAX *NAME_BYTES + 64 < OPTIONS_MAX,
               "the options fit in a page");

static int link_folder(const struct container_root *root, const char *kind,
                       const char *name, struct error *why)
{
    CLEANUP(free_pointer)
    char *path =
        memory_format("%s/%s/%s", root->layer_folder, kind, root->container);

    if (symlink(path, name) != 0)
        return error_errno(why, "link %s", path);
    return 0;
}

/* What is at `path`, on the folder `name`, with the pod's ids. */
static int map_layer(const struct users *users, const char *path,
                     const char *name, struct error *why)
{
    CLEANUP(fd_close)
    int mounted =
        open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (mounted < 0)
        return error_errno(why, "open it");
    if (users_map(users, mounted, why) != 0)
        return (int)why->code;
    if (move_mount(mounted, "", AT_FDCWD, name, MOVE_MOUNT_F_EMPTY_PATH) != 0)
        return error_errno(why, "mount it");
    return 0;
}

/* A layer by a short name: its folder, or what is in its file. */
static int name_layer(const struct users *users, const char *layer,
                      const char *name, struct error *why)
{
    struct stat info;
    bool file = stat(layer, &info) == 0 && S_ISREG(info.st_mode);

    if (file && container_file_mount(layer, name, why) != 0)
        return (int)why->code;
    if (users->fd >= 0) {
        if (!file && mkdir(name, 0755) != 0)
            return error_errno(why, "make a folder to mount %s on", layer);
        if (map_layer(users, file ? name : layer, name, why) != 0)
            return error_wrap(why, "layer %s", layer);
        return 0;
    }
    if (!file && symlink(layer, name) != 0)
        return error_errno(why, "link layer %s", layer);
    return 0;
}

/* Links to all that goes into the mount; `options` says in which order. */
static int link_layers(const struct container_root *root,
                       char options[OPTIONS_MAX], struct error *why)
{
    size_t used = (size_t)snprintf(options, OPTIONS_MAX, "lowerdir=");
    char name[NAME_BYTES];

    for (size_t i = root->layer_count; i-- > 0;) {
        snprintf(name, sizeof name, "%zu", i % 1000);
        if (name_layer(root->users, root->layers[i], name, why) != 0)
            return (int)why->code;
        used += (size_t)snprintf(options + used, OPTIONS_MAX - used, "%s%s",
                                 name, i > 0 ? ":" : "");
    }
    snprintf(options + used, OPTIONS_MAX - used,
             ",upperdir=upper,workdir=work");
    if (link_folder(root, "upper", "upper", why) != 0)
        return (int)why->code;
    return link_folder(root, "work", "work", why);
}

/* The kernel's own message does not say which folder it missed, nor that it
 * takes no layers whose ids are mapped: Linux 5.19 does. */
static int name_missing(const struct container_root *root, struct error *why)
{
    int number = errno;

    for (size_t i = 0; i < root->layer_count; i++)
        if (access(root->layers[i], F_OK) != 0)
            return error_errno(why, "mount the image: layer %s",
                               root->layers[i]);
    if (root->users->fd >= 0 && number == EINVAL)
        return error_set(why, ERROR_UNIMPLEMENTED,
                         "overlayfs of this kernel takes no layers with mapped "
                         "ids, which a user namespace needs");
    errno = number;
    return error_errno(why, "mount the image's %zu layers", root->layer_count);
}

static int mount_layers(const struct container_root *root, struct error *why)
{
    char options[OPTIONS_MAX];

    if (root->layer_count == 0 || root->layer_count > CONTAINER_LAYERS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "the image has %zu layers, from 1 to %d can be "
                         "mounted",
                         root->layer_count, CONTAINER_LAYERS_MAX);
    if (link_layers(root, options, why) != 0)
        return (int)why->code;
    if (mkdir("root", 0755) != 0)
        return error_errno(why, "make a folder to mount on");
    if (mount("overlay", "root", "overlay", MS_NODEV, options) != 0)
        return name_missing(root, why);
    return 0;
}

/* The small tmpfs becomes the current folder. */
static int enter_scratch(const struct container_root *root, struct error *why)
{
    CLEANUP(free_pointer)
    char *path = memory_format("%s/root/%s", root->pod_folder, root->container);

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return error_errno(why, "make the mounts private");
    if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NOEXEC,
              "size=1m,mode=0755") != 0)
        return error_errno(why, "mount a tmpfs on %s", path);
    if (chdir(path) != 0)
        return error_errno(why, "enter %s", path);
    return 0;
}

/* With both names the same folder, the old root ends up mounted on top of
 * the new one, and detaching "." takes it away: pivot_root(2). */
static int pivot(int root_fd, struct error *why)
{
    if (fchdir(root_fd) != 0)
        return error_errno(why, "enter the new root");
    if (syscall(SYS_pivot_root, ".", ".") != 0)
        return error_errno(why, "change the root");
    if (umount2(".", MNT_DETACH) != 0)
        return error_errno(why, "detach the old root");
    if (chdir("/") != 0)
        return error_errno(why, "enter /");
    return 0;
}

int container_root_enter(const struct container_root *root, struct error *why)
{
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    CLEANUP(fd_close) int root_fd = -1;
    CLEANUP(fd_close) int files = -1;

    if (enter_scratch(root, why) != 0 || mount_layers(root, why) != 0)
        return (int)why->code;
    files = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    root_fd = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0 || files < 0)
        return error_errno(why, "open the new root");
    if (users_own(root->users, why) != 0)
        return (int)why->code;
    if (container_mounts_make(root, root_fd, files, why) != 0)
        return (int)why->code;
    if (root->read_only && mount_setattr(root_fd, "", AT_EMPTY_PATH, &read_only,
                                         sizeof read_only) != 0)
        return error_errno(why, "make the root read-only");
    return pivot(root_fd, why);
}
