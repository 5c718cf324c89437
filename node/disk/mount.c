#include "node/disk/disk.h"

#include "base/fd.h"
#include "node/disk/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_PATH_MAX = 256 };

/* Mounts of the host's still come in, as layers may; none goes out. */
static int mount_image(struct error *why)
{
    CLEANUP(fd_close) int image = open(DISK_IMAGE, O_RDWR | O_CLOEXEC);
    CLEANUP(fd_close) int loop = -1;
    char device[LOOP_PATH_MAX];

    if (image < 0)
        return error_errno(why, "open %s", DISK_IMAGE);
    if (flock(image, LOCK_EX | LOCK_NB) != 0)
        return error_errno(why, "%s is in use", DISK_IMAGE);
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
        return error_errno(why, "make mounts of its own for the pod");
    /* Its pages are cached once, above the device: beneath it stands direct
     * I/O where that can be. */
    if (loop_attach(image, LO_FLAGS_DIRECT_IO, device, &loop, why) != 0)
        return error_wrap(why, "the pod's disk");
    if (mount(device, DISK_FOLDER, "ext4", MS_NODEV | MS_NOSUID | MS_NOATIME,
              "noinit_itable,discard,errors=remount-ro") != 0)
        return error_errno(why, "mount the pod's disk");
    return 0;
}

static int make_folder(const char *path, struct error *why)
{
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return error_errno(why, "create folder %s", path);
    return 0;
}

int disk_mount(const char *const *names, size_t count, uid_t owner,
               struct error *why)
{
    char path[NAME_PATH_MAX];

    if (mount_image(why) != 0 || make_folder(DISK_FOLDER "/upper", why) != 0 ||
        make_folder(DISK_FOLDER "/work", why) != 0)
        return (int)why->code;
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, DISK_FOLDER "/work/%s", names[i]);
        if (make_folder(path, why) != 0)
            return (int)why->code;
        snprintf(path, sizeof path, DISK_FOLDER "/upper/%s", names[i]);
        if (make_folder(path, why) != 0 ||
            disk_give(AT_FDCWD, path, owner, why) != 0)
            return (int)why->code;
    }
    return 0;
}
