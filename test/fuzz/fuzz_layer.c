/* Archives, plain or compressed, inflated and unpacked in a folder three
 * levels down in a temporary one. Whatever they say, the levels above hold
 * afterwards what they held before. Needs root, as unpacking does. */
#include "base/fd.h"
#include "node/image/inflate.h"
#include "node/image/layer.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARCHIVE_MAX_BYTES = 1 << 20 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static int top = -1;    /* TOP */
static int bottom = -1; /* TOP/a/b; the layer is TOP/a/b/layer */

static void on_exit_remove(void)
{
    char path[64];
    struct error why;

    snprintf(path, sizeof path, "/dev/shm/fuzz-layer-%d", getpid());
    folder_remove(AT_FDCWD, path, &why);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char path[64];

    (void)argc;
    (void)argv;
    umask(0);
    snprintf(path, sizeof path, "/dev/shm/fuzz-layer-%d", getpid());
    assert(mkdir(path, 0700) == 0);
    top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert(mkdirat(top, "a", 0700) == 0 && mkdirat(top, "a/b", 0700) == 0);
    bottom = openat(top, "a/b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    atexit(on_exit_remove);
    return 0;
}

static int entries_of(int dir, const char *path)
{
    DIR *stream =
        fdopendir(openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int count = -2; /* "." and ".." */

    while (readdir(stream))
        count++;
    closedir(stream);
    return count;
}

struct archive_bytes {
    size_t length;
    size_t read;
    uint8_t bytes[ARCHIVE_MAX_BYTES];
};

static size_t fuzz_on_room(void *data, uint8_t **at)
{
    static uint8_t block[4096];

    (void)data;
    *at = block;
    return sizeof block;
}

static int fuzz_on_inflated(void *data, const uint8_t *bytes, size_t length,
                            struct error *why)
{
    struct archive_bytes *archive = data;

    if (length > ARCHIVE_MAX_BYTES - archive->length)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED, "enough");
    memcpy(archive->bytes + archive->length, bytes, length);
    archive->length += length;
    return 0;
}

static ssize_t fuzz_on_read(void *data, const void **bytes)
{
    struct archive_bytes *archive = data;
    size_t left = archive->length - archive->read;
    size_t length = left < 4096 ? left : 4096;

    *bytes = archive->bytes + archive->read;
    archive->read += length;
    return (ssize_t)length;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct archive_bytes archive;
    const struct inflate_out out = {fuzz_on_room, fuzz_on_inflated, &archive};
    struct inflate *inflate = inflate_new(&out);
    struct buffer implied;
    struct error why;
    int root;

    archive.length = 0;
    archive.read = 0;
    if (inflate_add(inflate, bytes, length, &why) == 0)
        inflate_end(inflate, &why);
    inflate_free(inflate);
    assert(mkdirat(bottom, "layer", 0700) == 0);
    root = openat(bottom, "layer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    buffer_init(&implied, LAYER_IMPLIED_MAX_BYTES);
    layer_unpack(root, fuzz_on_read, &archive, &implied, &why);
    buffer_fini(&implied);
    close(root);
    assert(entries_of(top, ".") == 1 && entries_of(top, "a") == 1 &&
           entries_of(bottom, ".") == 1);
    assert(folder_remove(bottom, "layer", &why) == 0);
    return 0;
}
