#include "node/supervisor/container_file.h"

#include "base/fd.h"
#include "base/superblock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES_MAX = 64, DEVICE_PATH_MAX = 32 };

/* The device that is free may be somebody else's by the time it is opened. */
static int attach(int file, char device[DEVICE_PATH_MAX], int *out,
                  struct error *why)
{
    const struct loop_config config = {
        .fd = (uint32_t)file,
        .info = {.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR},
    };
    CLEANUP(fd_close)
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

    if (control < 0)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "open /dev/loop-control: %s", strerror(errno));
    for (int i = 0; i < TRIES_MAX; i++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        CLEANUP(fd_close) int fd = -1;

        if (number < 0)
            break;
        snprintf(device, DEVICE_PATH_MAX, "/dev/loop%d", number);
        fd = open(device, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            break;
        if (ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
            *out = fd_take(&fd);
            return 0;
        }
        if (errno != EBUSY)
            break;
    }
    return error_set(why, ERROR_FAILED_PRECONDITION, "get a loop device: %s",
                     strerror(errno));
}

int container_file_mount(const char *path, const char *name, struct error *why)
{
    CLEANUP(fd_close) int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    CLEANUP(fd_close) int loop = -1;
    char device[DEVICE_PATH_MAX];
    const char *type;

    if (file < 0)
        return error_errno(why, "open %s", path);
    type = superblock_type(file);
    if (!type)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s is no squashfs, erofs or ext4", path);
    if (attach(file, device, &loop, why) != 0)
        return error_wrap(why, "%s", path);
    if (mkdir(name, 0755) != 0)
        return error_errno(why, "make a folder to mount %s on", path);
    if (mount(device, name, type, MS_RDONLY | MS_NODEV, NULL) != 0)
        return error_errno(why, "mount the %s in %s", type, path);
    return 0;
}
