#include "node/supervisor/container_file.h"

#include "base/fd.h"
#include "base/superblock.h"
#include "node/disk/loop.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

int container_file_mount(const char *path, const char *name, struct error *why)
{
    CLEANUP(fd_close) int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    CLEANUP(fd_close) int loop = -1;
    char device[LOOP_PATH_MAX];
    const char *type;

    if (file < 0)
        return error_errno(why, "open %s", path);
    type = superblock_type(file);
    if (!type)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s is no squashfs, erofs or ext4", path);
    if (loop_attach(file, LO_FLAGS_READ_ONLY, device, &loop, why) != 0)
        return error_wrap(why, "%s", path);
    if (mkdir(name, 0755) != 0)
        return error_errno(why, "make a folder to mount %s on", path);
    if (mount(device, name, type, MS_RDONLY | MS_NODEV, NULL) != 0)
        return error_errno(why, "mount the %s in %s", type, path);
    return 0;
}
