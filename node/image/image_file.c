#include "node/image/image_file.h"

#include "base/fd.h"

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

/* Linux: Documentation/filesystems/{squashfs,erofs,ext4/super}.rst. */
static const struct {
    enum reference_kind kind;
    off_t offset;
    uint8_t bytes[4];
    size_t length;
} magics[] = {
    {REFERENCE_SQUASHFS, 0, {'h', 's', 'q', 's'}, 4},
    {REFERENCE_EROFS, 1024, {0xe2, 0xe1, 0xf5, 0xe0}, 4},
    {REFERENCE_EXT4, 1024 + 0x38, {0x53, 0xef}, 2},
};

int image_file_check(const struct reference *reference, int fd,
                     struct error *why)
{
    uint8_t found[4];

    for (size_t i = 0; i < ARRAY_LEN(magics); i++)
        if (magics[i].kind == reference->kind &&
            pread(fd, found, magics[i].length, magics[i].offset) ==
                (ssize_t)magics[i].length &&
            memcmp(found, magics[i].bytes, magics[i].length) == 0)
            return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT, "%s holds no %s",
                     reference->path, reference_file_system(reference));
}
