#include "node/disk/disk.h"

#include "base/fd.h"
#include "base/memory.h"
#include "base/quantity.h"
#include "node/supervisor/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    LOG_SHARE = 256, /* of the disk, for each of the two files */
    LOG_MIN_BYTES = 128 << 10,
    SMALL_BYTES = 256 << 20,
    /* As what mkfs inherits the image; its own are moved out of the way. */
    IMAGE_FD = 3,
    FD_ASIDE_MIN = 16,
    /* A device goes when the last mount does: within a tick or two. */
    UNUSED_TRIES = 9,
    UNUSED_FIRST_NS = 1000000, /* doubling: half a second in all */
};

uint64_t disk_log_limit(uint64_t disk_bytes, uint64_t most)
{
    uint64_t share = disk_bytes / LOG_SHARE;

    if (disk_bytes == 0)
        return most;
    share = share < LOG_MIN_BYTES ? LOG_MIN_BYTES : share;
    return share < most ? share : most;
}

/* ---- the file system -----------------------------------------------------
 */

/* mke2fs(8). Nothing is written but what says that all is free: tables and
 * journal are read as zeros where the file has holes. Of small disks a
 * journal and blocks of the usual size would be a good part. */
static int start_mkfs(int image, uint64_t bytes, pid_t *pid)
{
    static const char *const small[] = {"-b1024", "-Jsize=1"};
    static const char *const large[] = {"-b4096", "-Jsize=4"};
    const char *const *size = bytes < SMALL_BYTES ? small : large;
    const char *const argv[] = {
        "mkfs.ext4",
        "-qF",
        "-m0",
        "-i24576",
        "-I256",
        size[0],
        size[1],
        "-Elazy_itable_init=1,lazy_journal_init=1,nodiscard",
        "-O^resize_inode",
        "/proc/self/fd/3",
        NULL};
    char *const env[] = {NULL};
    posix_spawn_file_actions_t files;
    int failed;

    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null",
                                     O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null",
                                     O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&files, image, IMAGE_FD);
    failed = posix_spawn(pid, "/usr/sbin/mkfs.ext4", &files, NULL,
                         without_const(argv), env);
    if (failed == ENOENT)
        failed = posix_spawn(pid, "/sbin/mkfs.ext4", &files, NULL,
                             without_const(argv), env);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

static int make_file_system(int image, uint64_t bytes, struct error *why)
{
    pid_t pid;
    int status;
    int failed = start_mkfs(image, bytes, &pid);

    if (failed == ENOENT)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "a disk limit needs mkfs.ext4 on the node: install "
                         "e2fsprogs");
    if (failed) {
        errno = failed;
        return error_errno(why, "start mkfs.ext4");
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_errno(why, "wait for mkfs.ext4");
    if (status != 0)
        return error_set(why, ERROR_INTERNAL,
                         "mkfs.ext4 of the pod's disk: wait status %x", status);
    return 0;
}

/* Without a name until it is whole: a knode killed half way leaves nothing,
 * and a mkfs that outlives it writes where nobody looks. */
static int make_image(int dir, uint64_t bytes, struct error *why)
{
    CLEANUP(fd_close)
    int made = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    CLEANUP(fd_close) int image = -1;
    char path[32];

    if (made >= 0)
        image = fcntl(made, F_DUPFD_CLOEXEC, FD_ASIDE_MIN);
    if (image < 0 || ftruncate(image, (off_t)bytes) != 0)
        return error_errno(why, "make the pod's disk");
    if (make_file_system(image, bytes, why) != 0)
        return (int)why->code;
    snprintf(path, sizeof path, "/proc/self/fd/%d", image);
    if (fdatasync(image) != 0 ||
        linkat(AT_FDCWD, path, dir, DISK_IMAGE, AT_SYMLINK_FOLLOW) != 0)
        return error_errno(why, "keep the pod's disk");
    return 0;
}

/* ---- from outside --------------------------------------------------------
 */

/* Is the image in use? -1: there is none. */
static int in_use(int dir)
{
    CLEANUP(fd_close) int image = openat(dir, DISK_IMAGE, O_RDWR | O_CLOEXEC);

    if (image < 0)
        return -1;
    return flock(image, LOCK_EX | LOCK_NB) != 0;
}

int disk_make(const char *folder, uint64_t bytes, uint64_t log_limit_bytes,
              struct error *why)
{
    CLEANUP(fd_close)
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char asked[QUANTITY_TEXT_MAX];
    int used;

    if (dir < 0)
        return error_errno(why, "open folder %s", folder);
    if (bytes < DISK_MIN_BYTES)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "disk %s: a pod's disk has at least 4Mi",
                         quantity_format_bytes(asked, bytes));
    if (mkdirat(dir, DISK_FOLDER, 0755) != 0 && errno != EEXIST)
        return error_errno(why, "create folder %s/%s", folder, DISK_FOLDER);
    used = in_use(dir);
    if (used > 0)
        return error_set(why, ERROR_UNAVAILABLE,
                         "the pod's disk is still in use by its last run");
    if (used == 0)
        return 0;
    if (make_image(dir, bytes - 2 * log_limit_bytes, why) != 0)
        return error_wrap(why, "in %s", folder);
    return 0;
}

int disk_give(int dir, const char *path, uid_t owner, struct error *why)
{
    struct stat info;

    if (owner == 0)
        return 0;
    if (fstatat(dir, path, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return error_errno(why, "look at %s", path);
    if (info.st_uid == 0 &&
        fchownat(dir, path, owner, owner, AT_SYMLINK_NOFOLLOW) != 0)
        return error_errno(why, "give %s to user %u", path, owner);
    /* Ranges begin at a multiple of their size. */
    if (info.st_uid != 0 &&
        info.st_uid / SUPERVISOR_IDS != owner / SUPERVISOR_IDS)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "%s belongs to user %u, the pod's ids begin at %u",
                         path, info.st_uid, owner);
    return 0;
}

int disk_await_unused(int dir, struct error *why)
{
    struct timespec pause = {.tv_nsec = UNUSED_FIRST_NS};

    for (int i = 0; in_use(dir) > 0; i++) {
        if (i == UNUSED_TRIES)
            return error_set(why, ERROR_FAILED_PRECONDITION,
                             "the pod's disk is still in use");
        nanosleep(&pause, NULL);
        pause.tv_nsec *= 2;
    }
    return 0;
}
