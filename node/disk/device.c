/* device.c - which disk it is whose io can be limited. */
#include "node/disk/disk.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* The kernel limits whole disks: of a partition sysfs(5) has the disk's folder
 * around its own. */
int disk_whole(dev_t device, dev_t *out, struct error *why)
{
    unsigned numbers[2] = {major(device), minor(device)};
    char path[64];
    char text[32] = "";
    ssize_t got;

    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/partition", numbers[0],
             numbers[1]);
    if (access(path, F_OK) != 0) {
        *out = device;
        return 0;
    }
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/../dev", numbers[0],
             numbers[1]);
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (got < 0 || sscanf(text, "%u:%u", &numbers[0], &numbers[1]) != 2)
        return error_errno(why, "read %s", path);
    *out = makedev(numbers[0], numbers[1]);
    return 0;
}

int disk_device(const char *path, dev_t *out, struct error *why)
{
    struct stat info;

    if (stat(path, &info) != 0)
        return error_errno(why, "look at %s", path);
    /* tmpfs, btrfs, ZFS, NFS: a device that is no more than a number. */
    if (major(info.st_dev) == 0)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "%s: its file system is on no block device of its own",
                         path);
    return disk_whole(info.st_dev, out, why);
}
