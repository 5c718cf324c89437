/* container_mounts.c - what every container finds beside its image: /proc,
 * /sys, /dev, and its name and addresses in /etc.
 *
 * Every file system is made detached and then put on a descriptor that was
 * resolved inside the container's root, never on a path: an image whose /dev
 * is a link gets its devices where the link leads in there. The lists of
 * hidden and read-only paths are Docker's.
 *
 * No mount opens a device, the root not either, but the six nodes that are
 * bound into /dev one by one, and terminals: whoever may make devices in a
 * container cannot open them, in whatever folder. Who may mount gets a file
 * system without nodev; the pod's control group refuses it then. */
#include "node/supervisor/container_root.h"

#include "base/fd.h"
#include "base/memory.h"
#include "node/cgroup/devices.h"
#include "node/supervisor/root_path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
    NO_PROGRAMS = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
    PARAMETERS_MAX = 4,
    TTY_GROUP = 5,
};

struct file_system {
    const char *type;
    const char *target;
    unsigned attributes;
    struct {
        const char *key;
        const char *value;
    } parameters[PARAMETERS_MAX]; /* ends with a NULL key */
};

static const struct file_system proc = {"proc", "/proc", NO_PROGRAMS, {{0}}};

static const struct file_system sys = {
    "sysfs", "/sys", NO_PROGRAMS | MOUNT_ATTR_RDONLY, {{0}}};

static const struct file_system dev = {
    "tmpfs", "/dev", NO_PROGRAMS, {{"mode", "0755"}, {"size", "64k"}}};

static const struct file_system mqueue = {
    "mqueue", "/dev/mqueue", NO_PROGRAMS, {{0}}};

/* Shown with a mount that hides what was there. */
static const struct file_system nothing = {
    "tmpfs", "", NO_PROGRAMS | MOUNT_ATTR_RDONLY, {{"size", "4k"}}};

static const struct {
    const char *name;
    const char *target;
} links[] = {{"fd", "/proc/self/fd"},
             {"stdin", "/proc/self/fd/0"},
             {"stdout", "/proc/self/fd/1"},
             {"stderr", "/proc/self/fd/2"},
             {"ptmx", "pts/ptmx"}};

static const char *const hidden[] = {
    "/proc/acpi",        "/proc/asound",  "/proc/interrupts",
    "/proc/kcore",       "/proc/keys",    "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi",    "/proc/timer_list",
    "/proc/timer_stats", "/sys/firmware", "/sys/devices/virtual/powercap",
};

static const char *const read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq",
                                        "/proc/sys", "/proc/sysrq-trigger"};

/* A new mount that is nowhere yet; or -1 and `why`. */
static int make(const struct file_system *what, struct error *why)
{
    CLEANUP(fd_close) int context = fsopen(what->type, FSOPEN_CLOEXEC);
    int mounted = -1;

    if (context < 0) {
        error_errno(why, "open file system %s", what->type);
        return -1;
    }
    for (int i = 0; i < PARAMETERS_MAX && what->parameters[i].key; i++)
        if (fsconfig(context, FSCONFIG_SET_STRING, what->parameters[i].key,
                     what->parameters[i].value, 0) != 0) {
            error_errno(why, "set %s=%s of %s", what->parameters[i].key,
                        what->parameters[i].value, what->type);
            return -1;
        }
    if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        mounted = fsmount(context, FSMOUNT_CLOEXEC, what->attributes);
    if (mounted < 0)
        error_errno(why, "make file system %s", what->type);
    return mounted;
}

static int put(int mounted, int target, const char *path, struct error *why)
{
    if (move_mount(mounted, "", target, "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
        return error_errno(why, "mount on %s", path);
    return 0;
}

static int make_and_put(const struct file_system *what, int root,
                        struct error *why)
{
    CLEANUP(fd_close) int target = root_path_folder(root, what->target, why);
    CLEANUP(fd_close) int mounted = target < 0 ? -1 : make(what, why);

    if (mounted < 0)
        return (int)why->code;
    return put(mounted, target, what->target, why);
}

/* One that the container writes to: /dev/shm, or one that was asked for. */
static int put_tmpfs(int root, const char *path, uint64_t size_bytes,
                     struct error *why)
{
    CLEANUP(free_pointer)
    char *size = memory_format(
        "%" PRIu64, size_bytes ? size_bytes : CONTAINER_SHM_DEFAULT_BYTES);
    const struct file_system what = {
        "tmpfs", path, NO_PROGRAMS, {{"mode", "1777"}, {"size", size}}};

    return make_and_put(&what, root, why);
}

/* ---- /dev -----------------------------------------------------------------
 */

static int fill_dev(int dir, struct error *why)
{
    static const char *const folders[] = {"pts", "shm", "mqueue"};

    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        if (symlinkat(links[i].target, dir, links[i].name) != 0)
            return error_errno(why, "make /dev/%s", links[i].name);
    for (size_t i = 0; i < ARRAY_LEN(folders); i++)
        if (mkdirat(dir, folders[i], 0755) != 0)
            return error_errno(why, "make /dev/%s", folders[i]);
    return 0;
}

/* The nodes lie in `files`, where no container can make another one; they are
 * not the host's, so their owner and mode are the container's to change. */
static int bind_devices(int dir, int files, struct error *why)
{
    for (size_t i = 0; i < POD_DEVICES; i++) {
        const char *name = pod_devices[i].name;
        CLEANUP(fd_close) int node = -1;

        if (mknodat(files, name, S_IFCHR | 0666,
                    makedev(pod_devices[i].major, pod_devices[i].minor)) != 0 ||
            mknodat(dir, name, S_IFREG, 0) != 0)
            return error_errno(why, "make /dev/%s", name);
        node = open_tree(files, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (node < 0 ||
            move_mount(node, "", dir, name, MOVE_MOUNT_F_EMPTY_PATH) != 0)
            return error_errno(why, "bind /dev/%s", name);
    }
    return 0;
}

static int put_shm(const struct container_root *root, int root_fd,
                   struct error *why)
{
    CLEANUP(fd_close) int target = -1;

    if (root->shm < 0)
        return put_tmpfs(root_fd, "/dev/shm", root->shm_bytes, why);
    target = root_path_folder(root_fd, "/dev/shm", why);
    return target < 0 ? (int)why->code
                      : put(root->shm, target, "/dev/shm", why);
}

/* Terminals belong to the group tty, as the pod has it. */
static int put_pts(const struct users *users, int root, struct error *why)
{
    CLEANUP(free_pointer)
    char *tty = memory_format("%" PRIu32, users->first_id + TTY_GROUP);
    const struct file_system pts = {
        "devpts",
        "/dev/pts",
        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
        {{"ptmxmode", "0666"}, {"mode", "0620"}, {"gid", tty}}};

    return make_and_put(&pts, root, why);
}

static int make_dev(const struct container_root *container, int root, int files,
                    struct error *why)
{
    CLEANUP(fd_close) int target = root_path_folder(root, dev.target, why);
    CLEANUP(fd_close) int mounted = target < 0 ? -1 : make(&dev, why);

    if (mounted < 0 || fill_dev(mounted, why) != 0 ||
        put(mounted, target, dev.target, why) != 0 ||
        bind_devices(mounted, files, why) != 0 ||
        put_pts(container->users, root, why) != 0 ||
        make_and_put(&mqueue, root, why) != 0)
        return (int)why->code;
    return put_shm(container, root, why);
}

/* ---- hiding ---------------------------------------------------------------
 */

static int bind_on(int source, int target, const char *path, unsigned set,
                   struct error *why)
{
    struct mount_attr attributes = {.attr_set = set};
    CLEANUP(fd_close)
    int mounted = open_tree(source, "",
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                                AT_EMPTY_PATH | AT_RECURSIVE);

    if (mounted < 0)
        return error_errno(why, "bind on %s", path);
    if (set && mount_setattr(mounted, "", AT_EMPTY_PATH | AT_RECURSIVE,
                             &attributes, sizeof attributes) != 0)
        return error_errno(why, "restrict %s", path);
    return put(mounted, target, path, why);
}

static int hide(int root, const char *path, struct error *why)
{
    CLEANUP(fd_close) int target = root_path_open(root, path, 0);
    CLEANUP(fd_close) int cover = -1;
    struct stat info;

    if (target < 0 && errno == ENOENT)
        return 0; /* this kernel has no such thing */
    if (target < 0 || fstat(target, &info) != 0)
        return error_errno(why, "hide %s", path);
    if (S_ISDIR(info.st_mode)) {
        cover = make(&nothing, why);
        return cover < 0 ? (int)why->code : put(cover, target, path, why);
    }
    cover = root_path_open(root, "/dev/null", 0);
    if (cover < 0)
        return error_errno(why, "open /dev/null");
    return bind_on(cover, target, path, 0, why);
}

static int protect(int root, const char *path, struct error *why)
{
    CLEANUP(fd_close) int target = root_path_open(root, path, 0);

    if (target < 0 && errno == ENOENT)
        return 0;
    if (target < 0)
        return error_errno(why, "protect %s", path);
    return bind_on(target, target, path, NO_PROGRAMS | MOUNT_ATTR_RDONLY, why);
}

/* ---- /etc -----------------------------------------------------------------
 */

/* Write `content` beside the root and bind it on `path`. The container may
 * change it; it is on a tmpfs of a megabyte. */
static int bind_file(int root, int files, const char *path, const char *content,
                     struct error *why)
{
    CLEANUP(fd_close) int target = root_path_file(root, path, why);
    const char *name = strrchr(path, '/') + 1;
    CLEANUP(fd_close) int file = -1;

    if (target < 0)
        return (int)why->code;
    file = openat(files, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file < 0 || fchmod(file, 0644) != 0)
        return error_errno(why, "create %s", path);
    if (fd_write_all(file, content, strlen(content), why) != 0)
        return error_wrap(why, "%s", path);
    fd_reset(&file);
    file = openat(files, name, O_PATH | O_CLOEXEC);
    if (file < 0)
        return error_errno(why, "open %s", path);
    return bind_on(file, target, path, MOUNT_ATTR_NODEV, why);
}

static int bind_files(const struct container_root *root, int root_fd, int files,
                      struct error *why)
{
    CLEANUP(free_pointer)
    char *hosts = memory_format("127.0.0.1\tlocalhost\n"
                                "::1\tlocalhost ip6-localhost ip6-loopback\n"
                                "%s\t%s\n",
                                root->address, root->hostname);
    CLEANUP(free_pointer)
    char *hostname = memory_format("%s\n", root->hostname);
    CLEANUP(fd_close) int etc = root_path_folder(root_fd, "/etc", why);

    if (etc < 0 ||
        bind_file(root_fd, files, "/etc/hostname", hostname, why) != 0 ||
        bind_file(root_fd, files, "/etc/hosts", hosts, why) != 0)
        return (int)why->code;
    return bind_file(root_fd, files, "/etc/resolv.conf", root->resolv_conf,
                     why);
}

int container_mounts_make(const struct container_root *root, int root_fd,
                          int files, struct error *why)
{
    if (make_and_put(&proc, root_fd, why) != 0 ||
        make_and_put(&sys, root_fd, why) != 0 ||
        make_dev(root, root_fd, files, why) != 0)
        return (int)why->code;
    for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
        if (hide(root_fd, hidden[i], why) != 0)
            return (int)why->code;
    for (size_t i = 0; i < ARRAY_LEN(read_only); i++)
        if (protect(root_fd, read_only[i], why) != 0)
            return (int)why->code;
    if (bind_files(root, root_fd, files, why) != 0)
        return (int)why->code;
    for (size_t i = 0; i < root->tmpfs_count; i++)
        if (put_tmpfs(root_fd, root->tmpfs[i]->path, root->tmpfs[i]->size_bytes,
                      why) != 0)
            return error_wrap(why, "tmpfs");
    return 0;
}
