#include "base/superblock.h"

#include "base/lang.h"

#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* Linux: Documentation/filesystems/{squashfs,erofs,ext4/super}.rst. */
static const struct {
    const char *type;
    off_t offset;
    uint8_t magic[4];
    size_t length;
} known[] = {
    {"squashfs", 0, {'h', 's', 'q', 's'}, 4},
    {"erofs", 1024, {0xe2, 0xe1, 0xf5, 0xe0}, 4},
    {"ext4", 1024 + 0x38, {0x53, 0xef}, 2},
};

const char *superblock_type(int fd)
{
    uint8_t found[sizeof known[0].magic];

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (pread(fd, found, known[i].length, known[i].offset) ==
                (ssize_t)known[i].length &&
            memcmp(found, known[i].magic, known[i].length) == 0)
            return known[i].type;
    return NULL;
}
