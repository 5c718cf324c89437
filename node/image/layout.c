#include "node/image/layout.h"

#include "base/fd.h"

#include <fcntl.h>
#include <jansson.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LAYOUT_FILE_MAX_BYTES = 4096 };

static int check_version(int folder, struct error *why)
{
    CLEANUP(buffer_fini) struct buffer text = {.limit = LAYOUT_FILE_MAX_BYTES};
    json_t *root;
    const char *version;
    bool known;

    if (file_read(folder, "oci-layout", &text, why) != 0)
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

int layout_open(struct layout *layout, const char *folder, struct error *why)
{
    CLEANUP(fd_close)
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

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

    if (file_read(layout->fd, "index.json", &text, why) != 0)
        return (int)why->code;
    return index_choose(buffer_data(&text), buffer_length(&text), &platform,
                        tag, out, why);
}

int layout_blob_open(const struct layout *layout, const struct descriptor *blob,
                     int *out, struct error *why)
{
    struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, /* were it a fifo */
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    char path[DIGEST_TEXT_MAX + 16];
    CLEANUP(fd_close) int fd = -1;
    struct stat info;

    snprintf(path, sizeof path, "blobs/sha256/%s", digest_hex(&blob->digest));
    fd = (int)syscall(SYS_openat2, layout->fd, path, &how, sizeof how);
    if (fd < 0)
        return error_errno(why, "blob %s", blob->digest.text);
    if (fstat(fd, &info) != 0)
        return error_errno(why, "blob %s", blob->digest.text);
    if (!S_ISREG(info.st_mode) || (uint64_t)info.st_size != blob->size_bytes)
        return error_set(why, ERROR_DATA_LOSS,
                         "blob %s: its file has %lld bytes instead of %llu",
                         blob->digest.text, (long long)info.st_size,
                         (unsigned long long)blob->size_bytes);
    *out = fd_take(&fd);
    return 0;
}

int layout_blob(const struct layout *layout, const struct descriptor *blob,
                struct buffer *out, struct error *why)
{
    CLEANUP(fd_close) int fd = -1;
    struct digest actual;
    uint8_t *room;

    if (layout_blob_open(layout, blob, &fd, why) != 0)
        return (int)why->code;
    room = buffer_reserve(out, blob->size_bytes);
    if (!room)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "blob %s is larger than %zu bytes", blob->digest.text,
                         out->limit);
    if (fd_read_exact(fd, room, blob->size_bytes, why) != 0)
        return error_wrap(why, "blob %s", blob->digest.text);
    digest_of(room, blob->size_bytes, &actual);
    if (!digest_equal(&actual, &blob->digest))
        return error_set(why, ERROR_DATA_LOSS,
                         "blob %s: its file has the digest %s",
                         blob->digest.text, actual.text);
    buffer_extend(out, blob->size_bytes);
    return 0;
}
