#include "node/image/layer_store.h"

#include "base/fd.h"
#include "base/memory.h"
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REF_MAX_BYTES = 4096 };

int layer_store_open(struct layer_store *store, const char *folder,
                     struct error *why)
{
    static const char *const parts[] = {
        "layers", "layers/sha256", "implied", "sizes", "files",
        "images", "images/sha256", "refs",    "tmp",   "old",
    };
    CLEANUP(fd_close) int fd = -1;

    if (folder_make(folder, 0700, why) != 0)
        return error_wrap(why, "image store");
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0700) != 0)
        return error_errno(why, "open image store %s", folder);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (mkdirat(fd, parts[i], 0700) != 0 && errno != EEXIST)
            return error_errno(why, "image store: make %s/%s", folder,
                               parts[i]);
    store->fd = fd_take(&fd);
    return 0;
}

void layer_store_close(struct layer_store *store)
{
    fd_reset(&store->fd);
}

/* Move `path` to a name of its own in old/. */
static int move_aside(const struct layer_store *store, const char *path,
                      struct error *why)
{
    char aside[LAYER_STORE_PATH_MAX];
    uint64_t unique;

    random_bytes(&unique, sizeof unique);
    snprintf(aside, sizeof aside, "old/%016" PRIx64, unique);
    if (renameat(store->fd, path, store->fd, aside) != 0)
        return error_errno(why, "image store: put %s aside", path);
    return 0;
}

void layer_store_empty(const struct layer_store *store)
{
    struct error unheard;

    /* Somebody may still write into what is removed here; the next time
     * finds what that left. */
    (void)folder_remove(store->fd, "old", &unheard);
    (void)mkdirat(store->fd, "old", 0700);
}

int layer_store_clear(struct layer_store *store, struct error *why)
{
    if (move_aside(store, "tmp", why) != 0)
        return (int)why->code;
    if (mkdirat(store->fd, "tmp", 0700) != 0)
        return error_errno(why, "image store: make tmp");
    layer_store_empty(store);
    return 0;
}

int layer_store_work_open(struct layer_store *store, const char *name, int *out,
                          struct error *why)
{
    char path[LAYER_STORE_PATH_MAX];
    int fd;

    snprintf(path, sizeof path, "tmp/%s", name);
    if (mkdirat(store->fd, path, 0700) != 0)
        return error_errno(why, "image store: make %s", path);
    fd = openat(store->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(why, "image store: open %s", path);
    *out = fd;
    return 0;
}

int layer_store_work_remove(struct layer_store *store, const char *name,
                            struct error *why)
{
    char path[LAYER_STORE_PATH_MAX];

    snprintf(path, sizeof path, "tmp/%s", name);
    if (folder_remove(store->fd, path, why) != 0)
        return error_wrap(why, "image store: remove %s", path);
    return 0;
}

void layer_store_layer_path(const struct digest *diff_id,
                            char path[LAYER_STORE_PATH_MAX])
{
    snprintf(path, LAYER_STORE_PATH_MAX, "layers/sha256/%s",
             digest_hex(diff_id));
}

bool layer_store_has_layer(const struct layer_store *store,
                           const struct digest *diff_id)
{
    char path[LAYER_STORE_PATH_MAX];

    layer_store_layer_path(diff_id, path);
    return faccessat(store->fd, path, F_OK, 0) == 0;
}

static void list_path(const struct digest *diff_id,
                      char path[LAYER_STORE_PATH_MAX])
{
    snprintf(path, LAYER_STORE_PATH_MAX, "implied/%s", digest_hex(diff_id));
}

int layer_store_open_layer(const struct layer_store *store,
                           const struct digest *diff_id, int *out,
                           struct buffer *implied, struct error *why)
{
    char path[LAYER_STORE_PATH_MAX];
    CLEANUP(fd_close) int fd = -1;

    layer_store_layer_path(diff_id, path);
    fd = openat(store->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(why, "image store: open %s", path);
    list_path(diff_id, path);
    /* None: stored by a version that made no lists. */
    if (faccessat(store->fd, path, F_OK, 0) == 0 &&
        file_read(store->fd, path, implied, why) != 0)
        return error_wrap(why, "image store");
    *out = fd_take(&fd);
    return 0;
}

int layer_store_publish_list(struct layer_store *store, int work,
                             const char *name, const struct digest *diff_id,
                             struct error *why)
{
    CLEANUP(free_pointer) char *list = memory_format("%s.implied", name);
    char path[LAYER_STORE_PATH_MAX];

    list_path(diff_id, path);
    if (renameat(work, list, store->fd, path) != 0)
        return error_errno(why, "image store: move a list to %s", path);
    return 0;
}

int layer_store_publish_size(struct layer_store *store, int work,
                             const struct digest *diff_id, uint64_t bytes,
                             struct error *why)
{
    CLEANUP(free_pointer)
    char *text = memory_format("%llu\n", (unsigned long long)bytes);
    char path[LAYER_STORE_PATH_MAX];

    snprintf(path, sizeof path, "sizes/%s", digest_hex(diff_id));
    if (file_exchange(work, "size", text, strlen(text), 0600, why) != 0)
        return (int)why->code;
    if (renameat(work, "size", store->fd, path) != 0)
        return error_errno(why, "image store: move a size to %s", path);
    return 0;
}

int layer_store_publish_link(struct layer_store *store, int work,
                             const struct reference *reference,
                             char path[LAYER_STORE_PATH_MAX], struct error *why)
{
    snprintf(path, LAYER_STORE_PATH_MAX, "files/%s",
             digest_hex(&reference->digest));
    if (symlinkat(reference->path, work, "link") != 0 ||
        renameat(work, "link", store->fd, path) != 0)
        return error_errno(why, "image store: link %s", reference->path);
    return 0;
}

int layer_store_sync(const struct layer_store *store, struct error *why)
{
    if (syncfs(store->fd) != 0)
        return error_errno(why, "image store: sync");
    return 0;
}

int layer_store_publish_layer(struct layer_store *store, int work,
                              const char *name, const struct digest *diff_id,
                              struct error *why)
{
    char path[LAYER_STORE_PATH_MAX];

    layer_store_layer_path(diff_id, path);
    if (renameat2(work, name, store->fd, path, RENAME_NOREPLACE) != 0 &&
        errno != EEXIST)
        return error_errno(why, "image store: move a layer to %s", path);
    return 0;
}

/* ---- images and references ----------------------------------------------- */

static void image_path(const struct digest *digest,
                       char path[LAYER_STORE_PATH_MAX])
{
    snprintf(path, LAYER_STORE_PATH_MAX, "images/sha256/%s.pb",
             digest_hex(digest));
}

/* A reference's file is named by its digest: it may be longer than a file
 * name. */
static void ref_path(const struct reference *reference,
                     char path[LAYER_STORE_PATH_MAX])
{
    char text[REFERENCE_TEXT_MAX];
    struct digest digest;

    reference_format(reference, text);
    digest_of(text, strlen(text), &digest);
    snprintf(path, LAYER_STORE_PATH_MAX, "refs/%s", digest_hex(&digest));
}

static int sync_folder(const struct layer_store *store, const char *path,
                       struct error *why)
{
    CLEANUP(fd_close)
    int fd = openat(store->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0)
        return error_errno(why, "sync %s", path);
    return 0;
}

/* Give the synced file `name` of `work` its place `path`. */
static int publish_file(struct layer_store *store, int work, const char *name,
                        const char *path, struct error *why)
{
    if (renameat(work, name, store->fd, path) != 0)
        return error_errno(why, "move a file to %s", path);
    return 0;
}

int layer_store_save_image(struct layer_store *store, int work,
                           const struct reference *reference,
                           const Kontor__V1__Image *image, struct error *why)
{
    size_t length = kontor__v1__image__get_packed_size(image);
    CLEANUP(free_pointer) uint8_t *packed = memory_new(length);
    CLEANUP(free_pointer)
    char *ref = memory_format("%s\n%s\n", image->digest, image->reference);
    char path[LAYER_STORE_PATH_MAX];
    struct digest digest;

    kontor__v1__image__pack(image, packed);
    if (digest_parse(image->digest, &digest, why) != 0 ||
        sync_folder(store, "layers/sha256", why) != 0)
        return (int)why->code;
    image_path(&digest, path);
    if (file_replace(work, "image", packed, length, 0600, why) != 0 ||
        publish_file(store, work, "image", path, why) != 0 ||
        sync_folder(store, "images/sha256", why) != 0)
        return error_wrap(why, "image store");
    ref_path(reference, path);
    if (file_replace(work, "ref", ref, strlen(ref), 0600, why) != 0 ||
        publish_file(store, work, "ref", path, why) != 0 ||
        sync_folder(store, "refs", why) != 0)
        return error_wrap(why, "image store");
    return 0;
}

int layer_store_read_reference(const struct layer_store *store,
                               const char *name, struct digest *digest,
                               char **out, struct error *why)
{
    CLEANUP(buffer_fini) struct buffer file = {.limit = REF_MAX_BYTES};
    CLEANUP(free_pointer)
    char *path = memory_format("refs/%s", name);
    char *text;
    char *next;

    if (file_read(store->fd, path, &file, why) != 0 ||
        buffer_append(&file, "", 1, why) != 0)
        return (int)why->code;
    text = (char *)buffer_data(&file);
    next = text + strcspn(text, "\n");
    if (*next == '\n')
        *next++ = '\0';
    next[strcspn(next, "\n")] = '\0';
    if (digest_parse(text, digest, why) != 0)
        return error_wrap(why, "image store: %s", path);
    *out = memory_string(next);
    return 0;
}

/* The manifest's digest that `reference` led to. */
static int load_ref(const struct layer_store *store,
                    const struct reference *reference, struct digest *out,
                    struct error *why)
{
    CLEANUP(free_pointer) char *text = NULL;
    char path[LAYER_STORE_PATH_MAX];

    ref_path(reference, path);
    return layer_store_read_reference(store, path + strlen("refs/"), out, &text,
                                      why);
}

int layer_store_read_image(const struct layer_store *store,
                           const struct digest *digest, Kontor__V1__Image **out,
                           uint64_t *used_at_ms, struct error *why)
{
    CLEANUP(buffer_fini)
    struct buffer packed = {.limit = LAYER_STORE_IMAGE_MAX_BYTES};
    char path[LAYER_STORE_PATH_MAX];
    struct stat info = {0};

    image_path(digest, path);
    if (file_read(store->fd, path, &packed, why) != 0)
        return (int)why->code;
    if (fstatat(store->fd, path, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return error_errno(why, "image store: %s", path);
    *out = kontor__v1__image__unpack(NULL, buffer_length(&packed),
                                     buffer_data(&packed));
    if (!*out)
        return error_set(why, ERROR_DATA_LOSS, "image store: %s is damaged",
                         path);
    *used_at_ms = (uint64_t)info.st_mtim.tv_sec * 1000 +
                  (uint64_t)info.st_mtim.tv_nsec / 1000000;
    return 0;
}

void layer_store_touch_image(const struct layer_store *store,
                             const struct digest *digest)
{
    char path[LAYER_STORE_PATH_MAX];

    image_path(digest, path);
    (void)utimensat(store->fd, path, NULL, AT_SYMLINK_NOFOLLOW);
}

/* Whether every layer is where the image says it is. */
static bool layers_are_here(const struct layer_store *store,
                            const Kontor__V1__Image *image)
{
    for (size_t i = 0; i < image->n_layers; i++)
        if (faccessat(store->fd, image->layers[i], F_OK, 0) != 0)
            return false;
    return image->n_layers > 0;
}

int layer_store_load_image(const struct layer_store *store,
                           const struct reference *reference,
                           Kontor__V1__Image **out, struct error *why)
{
    Kontor__V1__Image *image = NULL;
    struct digest digest = reference->digest;
    char path[LAYER_STORE_PATH_MAX];
    uint64_t used_at_ms;

    /* A reference's digest may be the image's own, or that of an index. */
    image_path(&digest, path);
    if ((!digest.text[0] || faccessat(store->fd, path, F_OK, 0) != 0) &&
        load_ref(store, reference, &digest, why) != 0)
        return (int)why->code;
    if (layer_store_read_image(store, &digest, &image, &used_at_ms, why) != 0)
        return (int)why->code;
    assert(image);
    if (!layers_are_here(store, image)) {
        kontor__v1__image__free_unpacked(image, NULL);
        return error_set(why, ERROR_NOT_FOUND,
                         "image store: a layer of %s is missing", digest.text);
    }
    layer_store_touch_image(store, &digest);
    *out = image;
    return 0;
}

/* ---- removal ------------------------------------------------------------- */

static int remove_file(const struct layer_store *store, const char *path,
                       struct error *why)
{
    if (unlinkat(store->fd, path, 0) != 0 && errno != ENOENT)
        return error_errno(why, "image store: remove %s", path);
    return 0;
}

int layer_store_remove_reference(const struct layer_store *store,
                                 const char *name, struct error *why)
{
    char path[LAYER_STORE_PATH_MAX];

    snprintf(path, sizeof path, "refs/%s", name);
    return remove_file(store, path, why);
}

int layer_store_remove_image(const struct layer_store *store,
                             const struct digest *digest, struct error *why)
{
    char path[LAYER_STORE_PATH_MAX];

    image_path(digest, path);
    return remove_file(store, path, why);
}

/* The folder goes first: as long as it is there its list is, too. */
int layer_store_put_aside(const struct layer_store *store, const char *path,
                          struct error *why)
{
    const char *name = strrchr(path, '/') + 1;
    char beside[LAYER_STORE_PATH_MAX];

    if (move_aside(store, path, why) != 0)
        return (int)why->code;
    snprintf(beside, sizeof beside, "implied/%s", name);
    if (remove_file(store, beside, why) != 0)
        return (int)why->code;
    snprintf(beside, sizeof beside, "sizes/%s", name);
    return remove_file(store, beside, why);
}
