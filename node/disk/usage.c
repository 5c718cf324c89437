#include "node/disk/disk.h"

#include "base/fd.h"
#include "base/memory.h"
#include "node/supervisor/supervisor.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* A layer that is deeper or larger is counted as far as this. */
enum { DEPTH_MAX = 64, ENTRIES_MAX = 1 << 20, BLOCK_BYTES = 512 };

struct walk {
    dev_t device;
    uint64_t bytes;
    unsigned entries;
};

static void close_dir(DIR **stream)
{
    if (*stream)
        closedir(*stream);
}

/* The pod changes what is walked through: nothing is followed. A file with
 * several names counts once in all. */
static void walk_folder(struct walk *walk, int dir, const char *name,
                        unsigned depth)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP(close_dir) DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct stat info;

    if (!stream)
        fd_close(&fd);
    while (stream && (entry = readdir(stream))) {
        bool parent = strcmp(entry->d_name, "..") == 0;

        if (parent || walk->entries++ > ENTRIES_MAX ||
            fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
            info.st_dev != walk->device)
            continue;
        if (!S_ISDIR(info.st_mode))
            walk->bytes += (uint64_t)info.st_blocks * BLOCK_BYTES /
                           (info.st_nlink ? info.st_nlink : 1);
        else if (strcmp(entry->d_name, ".") == 0)
            walk->bytes += (uint64_t)info.st_blocks * BLOCK_BYTES;
        else if (depth < DEPTH_MAX)
            walk_folder(walk, fd, entry->d_name, depth + 1);
    }
}

static uint64_t file_bytes(int dir, const char *name)
{
    struct stat info;

    return fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0
               ? (uint64_t)info.st_blocks * BLOCK_BYTES
               : 0;
}

/* As the pod's own file system has it, seen through its supervisor's mounts;
 * `device` is the one that the folder itself is on. */
static bool mounted_bytes(const char *folder, pid_t kpod, dev_t device,
                          uint64_t *bytes)
{
    CLEANUP(free_pointer)
    char *path =
        memory_format("/proc/%d/root%s/" DISK_FOLDER, (int)kpod, folder);
    CLEANUP(fd_close) int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct statvfs system;
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0 || info.st_dev == device ||
        fstatvfs(fd, &system) != 0)
        return false;
    *bytes = (uint64_t)(system.f_blocks - system.f_bfree) * system.f_frsize;
    return true;
}

uint64_t disk_usage(const char *folder, pid_t kpod)
{
    CLEANUP(fd_close)
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct walk walk = {0};
    struct stat info;
    uint64_t mounted;

    if (dir < 0 || fstat(dir, &info) != 0)
        return 0;
    walk.device = info.st_dev;
    walk.bytes =
        file_bytes(dir, SUPERVISOR_LOG) + file_bytes(dir, SUPERVISOR_LOG_OLD);
    if (faccessat(dir, DISK_IMAGE, F_OK, 0) != 0)
        walk_folder(&walk, dir, "upper", 0);
    else if (kpod > 0 && mounted_bytes(folder, kpod, info.st_dev, &mounted))
        walk.bytes += mounted;
    else
        walk.bytes += file_bytes(dir, DISK_IMAGE);
    return walk.bytes;
}
