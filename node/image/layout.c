#include "node/image/layout.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LAYOUT_FILE_MAX_BYTES = 4096 };

/* A fifo in its place would never open. */
int layout_file_open(int folder, const char *path, int *out, uint64_t *size,
                     struct error *why)
{
    struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    CLEANUP(fd_close)
    int fd = (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
    struct stat info;

    if (fd < 0 && errno == EXDEV)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%.200s leads out of its folder", path);
    if (fd < 0 || fstat(fd, &info) != 0)
        return error_errno(why, "open %.200s", path);
    if (!S_ISREG(info.st_mode))
        return error_set(why, ERROR_FAILED_PRECONDITION, "%s is no file", path);
    *size = (uint64_t)info.st_size;
    *out = fd_take(&fd);
    return 0;
}

/* All of it into the empty `out`. */
static int read_file(int fd, uint64_t size, struct buffer *out,
                     struct error *why)
{
    if (size > out->limit)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED, "larger than %zu bytes",
                         out->limit);
    if (fd_read_exact(fd, buffer_reserve(out, size), size, why) != 0)
        return (int)why->code;
    buffer_extend(out, size);
    return 0;
}

int layout_file_read(int folder, const char *name, struct buffer *out,
                     struct error *why)
{
    CLEANUP(fd_close) int fd = -1;
    uint64_t size = 0;

    if (layout_file_open(folder, name, &fd, &size, why) != 0)
        return (int)why->code;
    if (read_file(fd, size, out, why) != 0)
        return error_wrap(why, "%s", name);
    return 0;
}

static int check_version(int folder, struct error *why)
{
    CLEANUP(buffer_fini) struct buffer text = {.limit = LAYOUT_FILE_MAX_BYTES};
    json_t *root;
    const char *version;
    bool known;

    if (layout_file_read(folder, "oci-layout", &text, why) != 0)
        return (int)why->code;
    root = json_loadb((const char *)buffer_data(&text), buffer_length(&text), 0,
                      NULL);
    version = json_string_value(json_object_get(root, "imageLayoutVersion"));
    known = version && strncmp(version, "1.", 2) == 0;
    json_decref(root);
    return known ? 0
                 : error_set(why, ERROR_FAILED_PRECONDITION,
                             "oci-layout is not of version 1");
}

int layout_open(struct layout *layout, int dir, const char *folder,
                struct error *why)
{
    CLEANUP(fd_close)
    int fd = openat(dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return error_errno(why, "OCI layout %s", folder);
    if (check_version(fd, why) != 0)
        return error_wrap(why, "OCI layout %s", folder);
    layout->fd = fd_take(&fd);
    return 0;
}

void layout_close(struct layout *layout)
{
    fd_reset(&layout->fd);
}

int layout_find(const struct layout *layout, const char *tag,
                struct descriptor *out, struct error *why)
{
    CLEANUP(buffer_fini) struct buffer text = {.limit = MANIFEST_MAX_BYTES};
    struct platform platform = platform_here();

    if (layout_file_read(layout->fd, "index.json", &text, why) != 0)
        return (int)why->code;
    return index_choose(buffer_data(&text), buffer_length(&text), &platform,
                        tag, out, why);
}

int layout_resolve(struct reference *reference, struct error *why)
{
    CLEANUP(layout_close) struct layout layout = {-1};
    struct descriptor found;

    if (layout_open(&layout, AT_FDCWD, reference->path, why) != 0 ||
        layout_find(&layout, reference->tag, &found, why) != 0)
        return (int)why->code;
    reference->digest = found.digest;
    return 0;
}

int layout_blob_open(const struct layout *layout, const struct descriptor *blob,
                     int *out, struct error *why)
{
    char path[DIGEST_TEXT_MAX + 16];
    CLEANUP(fd_close) int fd = -1;
    uint64_t size = 0;

    snprintf(path, sizeof path, "blobs/sha256/%s", digest_hex(&blob->digest));
    if (layout_file_open(layout->fd, path, &fd, &size, why) != 0)
        return error_wrap(why, "blob %s", blob->digest.text);
    if (size != blob->size_bytes)
        return error_set(why, ERROR_DATA_LOSS,
                         "blob %s: its file has %llu bytes instead of %llu",
                         blob->digest.text, (unsigned long long)size,
                         (unsigned long long)blob->size_bytes);
    *out = fd_take(&fd);
    return 0;
}

int layout_blob(const struct layout *layout, const struct descriptor *blob,
                struct buffer *out, struct error *why)
{
    CLEANUP(fd_close) int fd = -1;
    struct digest actual;

    if (layout_blob_open(layout, blob, &fd, why) != 0)
        return (int)why->code;
    if (read_file(fd, blob->size_bytes, out, why) != 0)
        return error_wrap(why, "blob %s", blob->digest.text);
    digest_of(buffer_data(out), buffer_length(out), &actual);
    if (!digest_equal(&actual, &blob->digest))
        return error_set(why, ERROR_DATA_LOSS,
                         "blob %s: its file has the digest %s",
                         blob->digest.text, actual.text);
    return 0;
}
