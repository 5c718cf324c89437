#include "node/image/layer.h"

#include "base/fd.h"
#include "base/memory.h"
#include "node/image/beneath.h"
#include "node/image/layer_attributes.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_META_PREFIX ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

/* A folder that was made or listed. When nothing more is put into it the
 * last that was said of a path counts: its time, or that it is implied. */
struct folder {
    struct folder *next;
    size_t number;
    bool listed;          /* by an entry; else an entry's path implied it */
    struct timespec time; /* when listed */
    char path[];
};

/* A hard link whose target was not there when it came. */
struct late_link {
    struct late_link *next;
    char *path;   /* owned */
    char *target; /* owned; clean */
};

struct layer {
    layer_read_cb *read;
    void *read_data;
    bool input_ended;
    struct archive *archive; /* owned */
    bool ended;              /* the archive, in its last file's padding */
    struct beneath at;
    struct beneath target; /* of a hard link */
    uint64_t entries;
    uint64_t files_bytes;
    struct folder *folders; /* owned; last first */
    size_t folder_count;
    size_t folders_bytes;
    struct late_link *links; /* owned; last first */
};

static int count_entry(struct layer *layer, struct error *why)
{
    if (++layer->entries > LAYER_ENTRIES_MAX)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED, "more than %d entries",
                         LAYER_ENTRIES_MAX);
    return 0;
}

static bool is_whiteout(const struct stat *info)
{
    return S_ISCHR(info->st_mode) && info->st_rdev == makedev(0, 0);
}

static int set_opaque(int folder, struct error *why)
{
    if (fsetxattr(folder, "trusted.overlay.opaque", "y", 1, 0) != 0)
        return error_errno(why, "mark opaque");
    return 0;
}

/* Whatever the lower layers have at `name` is hidden: it was removed there
 * before this layer put a folder in its place. */
static int make_opaque_folder(int parent, const char *name, struct error *why)
{
    CLEANUP(fd_close) int fd = -1;

    if (unlinkat(parent, name, 0) != 0 || mkdirat(parent, name, 0755) != 0)
        return error_errno(why, "put a folder in a whiteout's place");
    fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_errno(why, "open folder");
    return set_opaque(fd, why);
}

static int remember(struct layer *layer, const char *path,
                    const struct timespec *time, struct error *why)
{
    size_t length = strlen(path) + 1;
    struct folder *folder;

    layer->folders_bytes += sizeof *folder + length;
    if (layer->folders_bytes > LAYER_FOLDERS_MAX_BYTES)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "names of folders longer than %d MiB together",
                         LAYER_FOLDERS_MAX_BYTES >> 20);
    folder = memory_new(sizeof *folder + length);
    folder->number = layer->folder_count++;
    folder->listed = time != NULL;
    if (time)
        folder->time = *time;
    memcpy(folder->path, path, length);
    folder->next = layer->folders;
    layer->folders = folder;
    return 0;
}

/* beneath's make: a folder that entries need and the archive left out. */
static int layer_on_missing(void *data, int parent, const char *path,
                            struct error *why)
{
    struct layer *layer = data;
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    struct stat info;

    if (mkdirat(parent, name, 0755) != 0) {
        if (errno != EEXIST)
            return error_errno(why, "make folder \"%.200s\"", name);
        if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
            !is_whiteout(&info))
            return 0;
        if (make_opaque_folder(parent, name, why) != 0)
            return (int)why->code;
    }
    if (count_entry(layer, why) != 0)
        return (int)why->code;
    return remember(layer, path, NULL, why);
}

/* Make room for a new entry at layer->at: remove what is there. */
static int clear_place(struct layer *layer, struct error *why)
{
    struct beneath *at = &layer->at;

    if (strcmp(at->name, ".") == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "takes the place of the layer's root");
    if (unlinkat(at->parent, at->name, 0) != 0) {
        if (errno == ENOENT)
            return 0;
        if (errno != EISDIR)
            return error_errno(why, "replace");
        if (folder_remove(at->parent, at->name, why) != 0)
            return (int)why->code;
    }
    beneath_forget(&layer->target); /* its way may have led through there */
    return 0;
}

/* ---- folders ------------------------------------------------------------- */

/* Put a folder at layer->at where something else is. */
static int replace_by_folder(struct layer *layer, struct error *why)
{
    const struct beneath *at = &layer->at;
    struct stat info;

    if (fstatat(at->parent, at->name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return error_errno(why, "stat");
    if (S_ISDIR(info.st_mode))
        return 0;
    if (is_whiteout(&info))
        return make_opaque_folder(at->parent, at->name, why);
    if (clear_place(layer, why) != 0)
        return (int)why->code;
    if (mkdirat(at->parent, at->name, 0755) != 0)
        return error_errno(why, "make folder");
    return 0;
}

static int unpack_folder(struct layer *layer, struct archive_entry *entry,
                         struct error *why)
{
    const struct beneath *at = &layer->at;
    struct timespec time = layer_entry_time(entry);
    char path[BENEATH_PATH_MAX + BENEATH_NAME_MAX];
    CLEANUP(fd_close) int fd = -1;

    if (mkdirat(at->parent, at->name, 0755) != 0) {
        if (errno != EEXIST)
            return error_errno(why, "make folder");
        if (replace_by_folder(layer, why) != 0)
            return (int)why->code;
    }
    fd = openat(at->parent, at->name,
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_errno(why, "open folder");
    if (layer_set_attributes(fd, entry, why) != 0)
        return (int)why->code;
    snprintf(path, sizeof path, "%s%s%s", at->folder, at->folder[0] ? "/" : "",
             at->name);
    return remember(layer, path, &time, why);
}

/* A folder that was replaced by something else has lost its time with it. */
static int set_folder_time(struct layer *layer, const struct folder *folder,
                           struct error *why)
{
    const struct timespec times[] = {folder->time, folder->time};
    struct error gone;

    if (beneath_go(&layer->at, folder->path, false, &gone) == 0 &&
        utimensat(layer->at.parent, layer->at.name, times,
                  AT_SYMLINK_NOFOLLOW) != 0 &&
        errno != ENOENT)
        return error_errno(why, "set the time of \"%.200s\"", folder->path);
    return 0;
}

/* By path; what was said of one path in the order it was said. */
static int compare_folders(const void *a, const void *b)
{
    const struct folder *const *one = a;
    const struct folder *const *other = b;
    int order = strcmp((*one)->path, (*other)->path);

    if (order != 0)
        return order;
    return (*one)->number < (*other)->number ? -1 : 1;
}

/* To the caller, who knows the lower layers. */
static int tell(struct buffer *implied, const char *text, struct error *why)
{
    if (buffer_append(implied, text, strlen(text) + 1, why) != 0)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "names that lower layers may know longer than %zu MiB "
                         "together",
                         implied->limit >> 20);
    return 0;
}

static int finish_folders(struct layer *layer, struct buffer *implied,
                          struct error *why)
{
    size_t count = layer->folder_count;
    CLEANUP(free_pointer)
    const struct folder **all = memory_array(count, sizeof *all);

    for (const struct folder *folder = layer->folders; folder;
         folder = folder->next)
        all[folder->number] = folder;
    if (count > 0)
        qsort(all, count, sizeof *all, compare_folders);
    for (size_t i = 0; i < count; i++) {
        const char *path = all[i]->path;
        int failed;

        if (i + 1 < count && strcmp(all[i + 1]->path, path) == 0)
            continue;
        failed = all[i]->listed ? set_folder_time(layer, all[i], why)
                                : tell(implied, path, why);
        if (failed)
            return failed;
    }
    return 0;
}

/* ---- files --------------------------------------------------------------- */

static int write_at(int fd, const uint8_t *bytes, size_t length, off_t offset,
                    struct error *why)
{
    while (length > 0) {
        ssize_t put = pwrite(fd, bytes, length, offset);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return error_errno(why, "write");
        bytes += put;
        length -= (size_t)put;
        offset += put;
    }
    return 0;
}

static int archive_failed(struct archive *archive, struct error *why)
{
    const char *text = archive_error_string(archive);

    return error_set(why, ERROR_DATA_LOSS, "damaged archive: %s",
                     text ? text : "unreadable");
}

/* Blocks come in order; what lies between them is a hole. When the last of
 * them is here and the input ends without the padding to 512 bytes, as
 * `umoci insert` leaves it, the archive ends well; libarchive calls that
 * damaged, GNU tar and containerd do not. */
static int write_content(struct layer *layer, struct archive_entry *entry,
                         int fd, struct error *why)
{
    int64_t size = archive_entry_size(entry);
    int64_t end = 0;

    if (size < 0 || (uint64_t)size > LAYER_FILES_MAX_BYTES - layer->files_bytes)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "files larger than %llu GiB together",
                         (unsigned long long)(LAYER_FILES_MAX_BYTES >> 30));
    layer->files_bytes += (uint64_t)size;
    for (;;) {
        const void *bytes;
        size_t length;
        int64_t offset;
        int got =
            archive_read_data_block(layer->archive, &bytes, &length, &offset);

        if (got == ARCHIVE_EOF)
            break;
        if (got < ARCHIVE_WARN && end == size && layer->input_ended) {
            layer->ended = true;
            break;
        }
        if (got < ARCHIVE_WARN)
            return archive_failed(layer->archive, why);
        if (offset < end || offset > size || length > (uint64_t)(size - offset))
            return error_set(why, ERROR_DATA_LOSS,
                             "damaged archive: data outside its file");
        if (write_at(fd, bytes, length, offset, why) != 0)
            return (int)why->code;
        end = offset + (int64_t)length;
    }
    if (end < size && ftruncate(fd, size) != 0)
        return error_errno(why, "extend");
    return 0;
}

static int unpack_file(struct layer *layer, struct archive_entry *entry,
                       struct error *why)
{
    const struct beneath *at = &layer->at;
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    CLEANUP(fd_close) int fd = openat(at->parent, at->name, flags, 0644);

    if (fd < 0 && (errno == EEXIST || errno == EISDIR)) {
        if (clear_place(layer, why) != 0)
            return (int)why->code;
        fd = openat(at->parent, at->name, flags, 0644);
    }
    if (fd < 0)
        return error_errno(why, "create");
    if (write_content(layer, entry, fd, why) != 0 ||
        layer_set_attributes(fd, entry, why) != 0)
        return (int)why->code;
    return layer_set_time(fd, entry, why);
}

/* ---- links and special files --------------------------------------------- */

static int unpack_symlink(struct layer *layer, struct archive_entry *entry,
                          struct error *why)
{
    const struct beneath *at = &layer->at;
    const char *to = archive_entry_symlink(entry);

    if (!to || to[0] == '\0' || strlen(to) >= BENEATH_PATH_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "symbolic link to nothing, or to a name that is "
                         "too long");
    if (clear_place(layer, why) != 0)
        return (int)why->code;
    if (symlinkat(to, at->parent, at->name) != 0)
        return error_errno(why, "make symbolic link");
    return layer_set_attributes_at(at->parent, at->name, entry, why);
}

/* NOT_FOUND: it is not in this layer, or not yet. */
static int find_target(struct beneath *target, const char *to,
                       struct stat *info, struct error *why)
{
    struct error cause;

    if (beneath_go(target, to, false, &cause) != 0)
        return error_set(why,
                         cause.code == ERROR_NOT_FOUND ? ERROR_NOT_FOUND
                                                       : ERROR_INVALID_ARGUMENT,
                         "hard link to \"%.150s\": %s", to, cause.message);
    if (fstatat(target->parent, target->name, info, AT_SYMLINK_NOFOLLOW) != 0)
        return error_errno(why, "hard link to \"%.150s\"", to);
    if (S_ISDIR(info->st_mode))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "hard link to \"%.150s\", a folder", to);
    return 0;
}

/* The link replaces what is there, also when it is made later. */
static int postpone_link(struct layer *layer, const char *to, struct error *why)
{
    const struct beneath *at = &layer->at;
    char target[BENEATH_PATH_MAX];
    struct late_link *link;

    if (clear_place(layer, why) != 0 || beneath_clean(to, target, why) != 0)
        return (int)why->code;
    layer->folders_bytes +=
        sizeof *link + strlen(at->folder) + strlen(at->name) + strlen(target);
    if (layer->folders_bytes > LAYER_FOLDERS_MAX_BYTES)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "names of links longer than %d MiB together",
                         LAYER_FOLDERS_MAX_BYTES >> 20);
    link = memory_new(sizeof *link);
    link->path =
        memory_format("%s%s%s", at->folder, at->folder[0] ? "/" : "", at->name);
    link->target = memory_string(target);
    link->next = layer->links;
    layer->links = link;
    return 0;
}

static int unpack_hardlink(struct layer *layer, const char *to,
                           struct error *why)
{
    const struct beneath *at = &layer->at;
    struct beneath *target = &layer->target;
    struct stat old = {0};
    struct error missing;
    struct stat new;

    if (find_target(target, to, &old, &missing) != 0) {
        if (missing.code == ERROR_NOT_FOUND)
            return postpone_link(layer, to, why);
        *why = missing;
        return (int)why->code;
    }
    if (fstatat(at->parent, at->name, &new, AT_SYMLINK_NOFOLLOW) == 0 &&
        old.st_ino == new.st_ino)
        return 0; /* it is that file already */
    if (clear_place(layer, why) != 0)
        return (int)why->code;
    /* The place may have held a folder that the target was in. */
    if (find_target(target, to, &old, &missing) != 0)
        return error_set(why, ERROR_INVALID_ARGUMENT, "%s", missing.message);
    if (linkat(target->parent, target->name, at->parent, at->name, 0) != 0)
        return error_errno(why, "hard link to \"%.150s\"", to);
    return 0;
}

/* Its target came meanwhile, or only a lower layer can have it; unless a later
 * entry took its place. */
static int finish_link(struct layer *layer, const struct late_link *link,
                       struct buffer *implied, struct error *why)
{
    struct beneath *target = &layer->target;
    struct beneath *at = &layer->at;
    CLEANUP(free_pointer) char *line = NULL;
    struct error missing;
    struct stat info;

    if (beneath_go(at, link->path, true, why) != 0)
        return (int)why->code;
    if (fstatat(at->parent, at->name, &info, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    if (find_target(target, link->target, &info, &missing) == 0) {
        if (linkat(target->parent, target->name, at->parent, at->name, 0) != 0)
            return error_errno(why, "hard link to \"%.150s\"", link->target);
        return 0;
    }
    if (missing.code != ERROR_NOT_FOUND) {
        *why = missing;
        return (int)why->code;
    }
    line = memory_format("/%s//%s", link->path, link->target);
    return tell(implied, line, why);
}

/* In the order they came: one may be to another. */
static int finish_links(struct layer *layer, struct buffer *implied,
                        struct error *why)
{
    struct late_link *ordered = NULL;
    struct late_link *next;

    for (struct late_link *link = layer->links; link; link = next) {
        next = link->next;
        link->next = ordered;
        ordered = link;
    }
    layer->links = ordered;
    for (const struct late_link *link = ordered; link; link = link->next)
        if (finish_link(layer, link, implied, why) != 0)
            return error_wrap(why, "entry \"%.200s\"", link->path);
    return 0;
}

static int unpack_fifo(struct layer *layer, struct archive_entry *entry,
                       struct error *why)
{
    const struct beneath *at = &layer->at;

    if (clear_place(layer, why) != 0)
        return (int)why->code;
    if (mknodat(at->parent, at->name, S_IFIFO | 0600, 0) != 0)
        return error_errno(why, "make fifo");
    return layer_set_attributes_at(at->parent, at->name, entry, why);
}

/* Mark layer->at's `hidden` as removed. What this very layer puts there
 * stays; a folder of it hides the lower one's content. */
static int unpack_whiteout(struct layer *layer, const char *hidden,
                           struct error *why)
{
    const struct beneath *at = &layer->at;
    CLEANUP(fd_close) int fd = -1;

    if (hidden[0] == '\0' || strcmp(hidden, ".") == 0 ||
        strcmp(hidden, "..") == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT, "whiteout of no name");
    if (mknodat(at->parent, hidden, S_IFCHR, makedev(0, 0)) == 0)
        return 0;
    if (errno != EEXIST)
        return error_errno(why, "make whiteout");
    fd = openat(at->parent, hidden,
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return set_opaque(fd, why);
    return errno == ENOTDIR || errno == ELOOP
               ? 0
               : error_errno(why, "look at what a whiteout is for");
}

/* ---- the archive --------------------------------------------------------- */

static int unpack_special(struct layer *layer, struct error *why)
{
    const char *name = layer->at.name;

    if (strcmp(name, WHITEOUT_OPAQUE) == 0)
        return set_opaque(layer->at.parent, why);
    if (strncmp(name, WHITEOUT_META_PREFIX, strlen(WHITEOUT_META_PREFIX)) == 0)
        return 0;
    return unpack_whiteout(layer, name + strlen(WHITEOUT_PREFIX), why);
}

static int unpack_entry(struct layer *layer, struct archive_entry *entry,
                        const char *path, struct error *why)
{
    const char *hardlink = archive_entry_hardlink(entry);

    if (count_entry(layer, why) != 0 ||
        beneath_go(&layer->at, path, true, why) != 0)
        return (int)why->code;
    if (strncmp(layer->at.name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
        return unpack_special(layer, why);
    if (hardlink)
        return unpack_hardlink(layer, hardlink, why);
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
        return unpack_file(layer, entry, why);
    case AE_IFDIR:
        return unpack_folder(layer, entry, why);
    case AE_IFLNK:
        return unpack_symlink(layer, entry, why);
    case AE_IFIFO:
        return unpack_fifo(layer, entry, why);
    case AE_IFCHR:
    case AE_IFBLK:
        return 0;
    default:
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "is of a kind that layers do not have");
    }
}

static int unpack_all(struct layer *layer, struct error *why)
{
    struct archive_entry *entry;

    while (!layer->ended) {
        int got = archive_read_next_header(layer->archive, &entry);
        const char *path;

        if (got == ARCHIVE_EOF)
            break;
        /* A warning: a name outside ASCII, given as the bytes it is. */
        if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
            return archive_failed(layer->archive, why);
        path = archive_entry_pathname(entry);
        if (!path)
            return error_set(why, ERROR_DATA_LOSS,
                             "damaged archive: entry %llu has no name",
                             (unsigned long long)layer->entries);
        if (unpack_entry(layer, entry, path, why) != 0)
            return error_wrap(why, "entry \"%.200s\"", path);
    }
    return 0;
}

static la_ssize_t layer_on_read(struct archive *archive, void *data,
                                const void **bytes)
{
    struct layer *layer = data;
    ssize_t got = layer->read(layer->read_data, bytes);

    layer->input_ended = got == 0;
    if (got < 0)
        archive_set_error(archive, EIO, "its bytes end early");
    return got;
}

static void layer_fini(struct layer *layer)
{
    struct late_link *next_link;
    struct folder *next;

    archive_read_free(layer->archive);
    for (struct late_link *link = layer->links; link; link = next_link) {
        next_link = link->next;
        free(link->path);
        free(link->target);
        free(link);
    }
    for (struct folder *folder = layer->folders; folder; folder = next) {
        next = folder->next;
        free(folder);
    }
    beneath_fini(&layer->at);
    beneath_fini(&layer->target);
}

int layer_unpack(int root, layer_read_cb *read, void *data,
                 struct buffer *implied, struct error *why)
{
    struct layer layer = {
        .read = read,
        .read_data = data,
        .archive = archive_read_new(),
    };
    const void *rest;
    int failed;

    beneath_init(&layer.at, root);
    beneath_init(&layer.target, root);
    layer.at.make = layer_on_missing;
    layer.at.data = &layer;
    if (!layer.archive ||
        archive_read_support_format_tar(layer.archive) != ARCHIVE_OK ||
        archive_read_support_format_empty(layer.archive) != ARCHIVE_OK)
        failed = error_set(why, ERROR_RESOURCE_EXHAUSTED, "open archive");
    else if (archive_read_open(layer.archive, &layer, NULL, layer_on_read,
                               NULL) != ARCHIVE_OK)
        failed = archive_failed(layer.archive, why);
    else
        failed = unpack_all(&layer, why);
    if (!failed)
        failed = finish_links(&layer, implied, why);
    if (!failed)
        failed = finish_folders(&layer, implied, why);
    while (!failed && read(data, &rest) > 0)
        continue; /* padding after the archive's end */
    layer_fini(&layer);
    return failed;
}
