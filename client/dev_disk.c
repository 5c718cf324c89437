#include "client/dev_disk.h"

#include "base/fd.h"
#include "base/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mount.h>

/* A master keeps 16 MiB in reserve. */
enum { DISK_MIN_BYTES = 32 << 20 };

int dev_disk_check(uint64_t bytes, struct error *why)
{
    if (bytes == 0 || bytes >= DISK_MIN_BYTES)
        return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "--master-disk: a master needs %dM at least",
                     DISK_MIN_BYTES >> 20);
}

char *dev_disk_folder(const struct dev *dev, unsigned i)
{
    return memory_format("%s/%s", dev->folder, dev->masters[i].name);
}

int dev_disk_make(const struct dev *dev, struct error *why)
{
    CLEANUP(free_pointer)
    char *size = memory_format("size=%" PRIu64, dev->master_disk_bytes);

    if (dev->master_disk_bytes == 0)
        return 0;
    for (unsigned i = 0; i < dev->master_count; i++) {
        CLEANUP(free_pointer) char *folder = dev_disk_folder(dev, i);

        if (folder_make(folder, 0700, why) != 0)
            return (int)why->code;
        if (mount("kontor-dev", folder, "tmpfs", MS_NOSUID | MS_NODEV, size) !=
            0)
            return error_errno(why, "mount a disk on %s", folder);
    }
    return 0;
}

int dev_disk_remove(const struct dev *dev, struct error *why)
{
    if (dev->master_disk_bytes == 0)
        return 0;
    for (unsigned i = 0; i < dev->master_count; i++) {
        CLEANUP(free_pointer) char *folder = dev_disk_folder(dev, i);

        /* EINVAL: nothing is mounted there. */
        if (umount2(folder, UMOUNT_NOFOLLOW) != 0 && errno != EINVAL &&
            errno != ENOENT)
            return error_errno(why, "unmount %s", folder);
    }
    return 0;
}
