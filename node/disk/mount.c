#include "node/disk/disk.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEVICE_PATH_MAX = 32, NAME_PATH_MAX = 256, ATTACH_TRIES = 64 };

/* The device goes by itself when nobody has it open or mounted. Its pages are
 * cached once, above it: beneath it stands direct I/O where that can be. */
static int attach(int image, int control, char device[DEVICE_PATH_MAX])
{
    struct loop_config config = {
        .fd = (unsigned)image,
        .info = {.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO},
    };
    int number = ioctl(control, LOOP_CTL_GET_FREE);
    int fd;

    if (number < 0)
        return -1;
    snprintf(device, DEVICE_PATH_MAX, "/dev/loop%d", number);
    fd = open(device, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (ioctl(fd, LOOP_CONFIGURE, &config) != 0) {
        int failed = errno;

        close(fd);
        errno = failed;
        return -1;
    }
    return fd;
}

/* A free device may be somebody else's by the time it is opened. */
static int attach_any(int image, char device[DEVICE_PATH_MAX],
                      struct error *why)
{
    CLEANUP(fd_close)
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int fd = -1;

    if (control < 0) {
        error_errno(why, "open /dev/loop-control for the pod's disk");
        return -1;
    }
    for (int i = 0; fd < 0 && i < ATTACH_TRIES; i++) {
        fd = attach(image, control, device);
        if (fd < 0 && errno != EBUSY)
            break;
    }
    if (fd < 0)
        error_errno(why, "attach the pod's disk to a loop device");
    return fd;
}

/* Mounts of the host's still come in, as layers may; none goes out. */
static int mount_image(struct error *why)
{
    CLEANUP(fd_close) int image = open(DISK_IMAGE, O_RDWR | O_CLOEXEC);
    CLEANUP(fd_close) int loop = -1;
    char device[DEVICE_PATH_MAX];

    if (image < 0)
        return error_errno(why, "open %s", DISK_IMAGE);
    if (flock(image, LOCK_EX | LOCK_NB) != 0)
        return error_errno(why, "%s is in use", DISK_IMAGE);
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
        return error_errno(why, "make mounts of its own for the pod");
    loop = attach_any(image, device, why);
    if (loop < 0)
        return (int)why->code;
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

int disk_mount(const char *const *names, size_t count, struct error *why)
{
    static const char *const kinds[] = {DISK_FOLDER "/upper",
                                        DISK_FOLDER "/work"};
    char path[NAME_PATH_MAX];

    if (mount_image(why) != 0)
        return (int)why->code;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        if (make_folder(kinds[k], why) != 0)
            return (int)why->code;
        for (size_t i = 0; i < count; i++) {
            snprintf(path, sizeof path, "%s/%s", kinds[k], names[i]);
            if (make_folder(path, why) != 0)
                return (int)why->code;
        }
    }
    return 0;
}
