#include "node/disk/loop.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { TRIES_MAX = 64 };

/* errno is EBUSY when the device that was free is somebody else's by now. */
static int attach(int control, const struct loop_config *config,
                  char path[LOOP_PATH_MAX])
{
    int number = ioctl(control, LOOP_CTL_GET_FREE);
    CLEANUP(fd_close) int fd = -1;
    int failed;

    if (number < 0)
        return -1;
    snprintf(path, LOOP_PATH_MAX, "/dev/loop%d", number);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (ioctl(fd, LOOP_CONFIGURE, config) == 0)
        return fd_take(&fd);
    failed = errno;
    fd_reset(&fd);
    errno = failed;
    return -1;
}

int loop_attach(int file, unsigned flags, char path[LOOP_PATH_MAX], int *out,
                struct error *why)
{
    const struct loop_config config = {
        .fd = (unsigned)file,
        .info = {.lo_flags = flags | LO_FLAGS_AUTOCLEAR},
    };
    CLEANUP(fd_close)
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int fd = -1;

    if (control < 0)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "open /dev/loop-control: %s", strerror(errno));
    for (int i = 0; fd < 0 && i < TRIES_MAX; i++) {
        fd = attach(control, &config, path);
        if (fd < 0 && errno != EBUSY)
            break;
    }
    if (fd < 0)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "get a loop device: %s", strerror(errno));
    *out = fd;
    return 0;
}
