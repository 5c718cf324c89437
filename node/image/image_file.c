#include "node/image/image_file.h"

#include "base/fd.h"
#include "base/superblock.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void identify(const struct stat *info, struct digest *out)
{
    char text[256];
    int length = snprintf(
        text, sizeof text, "file %llu:%llu %lld bytes, %lld.%09ld %lld.%09ld",
        (unsigned long long)info->st_dev, (unsigned long long)info->st_ino,
        (long long)info->st_size, (long long)info->st_mtim.tv_sec,
        info->st_mtim.tv_nsec, (long long)info->st_ctim.tv_sec,
        info->st_ctim.tv_nsec);

    digest_of(text, (size_t)length, out);
}

int image_file_open(struct reference *reference, int *out, struct error *why)
{
    /* A fifo in its place would never open. */
    CLEANUP(fd_close)
    int fd = open(reference->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0)
        return error_errno(why, "open %s", reference->path);
    if (!S_ISREG(info.st_mode))
        return error_set(why, ERROR_FAILED_PRECONDITION, "%s is no file",
                         reference->path);
    identify(&info, &reference->digest);
    *out = fd_take(&fd);
    return 0;
}

int image_file_resolve(struct reference *reference, struct error *why)
{
    CLEANUP(fd_close) int fd = -1;

    return image_file_open(reference, &fd, why);
}

int image_file_check(const struct reference *reference, int fd,
                     struct error *why)
{
    const char *type = superblock_type(fd);

    if (type && strcmp(type, reference_file_system(reference)) == 0)
        return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT, "%s holds no %s",
                     reference->path, reference_file_system(reference));
}
