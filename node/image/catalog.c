#include "node/image/catalog.h"

#include "base/fd.h"
#include "base/memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE_TEXT_MAX = 32 };

void catalog_use(struct catalog_uses *uses, const char *path, bool top)
{
    struct catalog_use *use;

    uses->uses =
        memory_resize(uses->uses, (uses->count + 1) * sizeof *uses->uses);
    use = &uses->uses[uses->count++];
    snprintf(use->path, sizeof use->path, "%s", path);
    use->top = top;
}

/* ---- folders ------------------------------------------------------------- */

static void close_dir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* Call `each` with every name in a folder of the store. */
static int each_name(const struct layer_store *store, const char *folder,
                     void (*each)(struct catalog *catalog,
                                  const struct layer_store *store,
                                  const char *name),
                     struct catalog *catalog, struct error *why)
{
    int fd = openat(store->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(close_dir) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!dir)
        return error_errno(why, "image store: list %s", folder);
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            each(catalog, store, entry->d_name);
    return 0;
}

static uint64_t modified_ms(const struct layer_store *store, const char *path)
{
    struct stat info;

    if (fstatat(store->fd, path, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    return (uint64_t)info.st_mtim.tv_sec * 1000 +
           (uint64_t)info.st_mtim.tv_nsec / 1000000;
}

/* ---- layers -------------------------------------------------------------- */

/* None: folders alone (settle.h), or stored by a version that kept no sizes. */
static uint64_t read_size(const struct layer_store *store, const char *name)
{
    CLEANUP(buffer_fini) struct buffer text = {.limit = SIZE_TEXT_MAX};
    char path[LAYER_STORE_PATH_MAX + NAME_MAX];
    struct error unheard;

    snprintf(path, sizeof path, "sizes/%s", name);
    if (file_read(store->fd, path, &text, &unheard) != 0 ||
        buffer_append(&text, "", 1, &unheard) != 0)
        return 0;
    return strtoull((const char *)buffer_data(&text), NULL, 10);
}

static struct catalog_layer *add_layer(struct catalog *catalog,
                                       const char *folder, const char *name)
{
    struct catalog_layer *layer;

    catalog->layers = memory_resize(catalog->layers,
                                    (catalog->layer_count + 1) * sizeof *layer);
    layer = &catalog->layers[catalog->layer_count++];
    memset(layer, 0, sizeof *layer);
    snprintf(layer->path, sizeof layer->path, "%s/%.*s", folder,
             DIGEST_HEX_LENGTH, name);
    return layer;
}

static void each_layer(struct catalog *catalog, const struct layer_store *store,
                       const char *name)
{
    struct catalog_layer *layer = add_layer(catalog, "layers/sha256", name);
    char list[LAYER_STORE_PATH_MAX];

    snprintf(list, sizeof list, "implied/%.*s", DIGEST_HEX_LENGTH, name);
    layer->bytes = read_size(store, name);
    layer->made_at_ms = modified_ms(store, list);
}

static void each_file(struct catalog *catalog, const struct layer_store *store,
                      const char *name)
{
    struct catalog_layer *layer = add_layer(catalog, "files", name);

    layer->made_at_ms = modified_ms(store, layer->path);
}

static int by_path(const void *a, const void *b)
{
    const struct catalog_layer *one = a;
    const struct catalog_layer *other = b;

    return strcmp(one->path, other->path);
}

struct catalog_layer *catalog_find_layer(const struct catalog *catalog,
                                         const char *path)
{
    struct catalog_layer key;

    if (strlen(path) >= sizeof key.path || catalog->layer_count == 0)
        return NULL;
    memcpy(key.path, path, strlen(path) + 1);
    return bsearch(&key, catalog->layers, catalog->layer_count, sizeof key,
                   by_path);
}

static int read_layers(struct catalog *catalog, const struct layer_store *store,
                       const struct catalog_uses *uses, struct error *why)
{
    if (each_name(store, "layers/sha256", each_layer, catalog, why) != 0 ||
        each_name(store, "files", each_file, catalog, why) != 0)
        return (int)why->code;
    if (catalog->layer_count > 0)
        qsort(catalog->layers, catalog->layer_count, sizeof *catalog->layers,
              by_path);
    for (size_t i = 0; i < uses->count; i++) {
        struct catalog_layer *layer =
            catalog_find_layer(catalog, uses->uses[i].path);

        if (!layer)
            continue;
        layer->used = true;
        layer->top = layer->top || uses->uses[i].top;
    }
    return 0;
}

/* ---- images -------------------------------------------------------------- */

/* A pod uses an image when the uppermost layers are the same: what lies
 * beneath may be another image's as well. */
static void join_layers(struct catalog *catalog, struct catalog_image *image)
{
    size_t count = image->image->n_layers;

    for (size_t i = 0; i < count; i++) {
        struct catalog_layer *layer =
            catalog_find_layer(catalog, image->image->layers[i]);

        if (layer)
            layer->images++;
        if (layer && i + 1 == count)
            image->in_use = layer->top;
    }
}

static void each_image(struct catalog *catalog, const struct layer_store *store,
                       const char *name)
{
    char text[DIGEST_TEXT_MAX + NAME_MAX];
    struct catalog_image image = {0};
    struct error unheard;

    snprintf(text, sizeof text, "sha256:%.*s", (int)strcspn(name, "."), name);
    if (digest_parse(text, &image.digest, &unheard) != 0 ||
        layer_store_read_image(store, &image.digest, &image.image,
                               &image.used_at_ms, &unheard) != 0)
        return;
    join_layers(catalog, &image);
    catalog->images = memory_resize(catalog->images,
                                    (catalog->image_count + 1) * sizeof image);
    catalog->images[catalog->image_count++] = image;
}

static int by_digest(const void *a, const void *b)
{
    const struct catalog_image *one = a;
    const struct catalog_image *other = b;

    return strcmp(one->digest.text, other->digest.text);
}

/* A reference's file names its image and itself. */
static void each_reference(struct catalog *catalog,
                           const struct layer_store *store, const char *name)
{
    struct catalog_reference reference = {0};
    struct catalog_image key = {0};
    struct catalog_image *image = NULL;
    struct error unheard;

    if (layer_store_read_reference(store, name, &key.digest, &reference.text,
                                   &unheard) != 0)
        return;
    snprintf(reference.file, sizeof reference.file, "%s", name);
    if (catalog->image_count > 0)
        image = bsearch(&key, catalog->images, catalog->image_count, sizeof key,
                        by_digest);
    if (!image) {
        free(reference.text);
        return;
    }
    image->references =
        memory_resize(image->references,
                      (image->reference_count + 1) * sizeof *image->references);
    image->references[image->reference_count++] = reference;
}

int catalog_read(struct catalog *catalog, const struct layer_store *store,
                 const struct catalog_uses *uses, struct error *why)
{
    memset(catalog, 0, sizeof *catalog);
    if (read_layers(catalog, store, uses, why) != 0 ||
        each_name(store, "images/sha256", each_image, catalog, why) != 0)
        return (int)why->code;
    if (catalog->image_count > 0)
        qsort(catalog->images, catalog->image_count, sizeof *catalog->images,
              by_digest);
    return each_name(store, "refs", each_reference, catalog, why);
}

void catalog_fini(struct catalog *catalog)
{
    for (size_t i = 0; i < catalog->image_count; i++) {
        struct catalog_image *image = &catalog->images[i];

        kontor__v1__image__free_unpacked(image->image, NULL);
        for (size_t k = 0; k < image->reference_count; k++)
            free(image->references[k].text);
        free(image->references);
    }
    free(catalog->images);
    free(catalog->layers);
    memset(catalog, 0, sizeof *catalog);
}

/* ---- as a message -------------------------------------------------------- */

/* A tag that moved away and back, or a file that changed, has led to it under
 * one name more than once. */
static void describe_references(const struct catalog_image *image,
                                Kontor__V1__ImageInfo *info)
{
    info->references =
        memory_array(image->reference_count + 1, sizeof *info->references);
    for (size_t i = 0; i < image->reference_count; i++) {
        char *text = image->references[i].text;
        size_t k = 0;

        while (k < info->n_references && strcmp(info->references[k], text) != 0)
            k++;
        if (k == info->n_references)
            info->references[info->n_references++] = text;
    }
}

static Kontor__V1__ImageInfo *describe(const struct catalog *catalog,
                                       struct catalog_image *image)
{
    Kontor__V1__ImageInfo *info = memory_new(sizeof *info);

    kontor__v1__image_info__init(info);
    describe_references(image, info);
    info->digest = image->digest.text;
    info->layers = (uint32_t)image->image->n_layers;
    info->in_use = image->in_use;
    info->used_at_ms = image->used_at_ms;
    for (size_t i = 0; i < image->image->n_layers; i++) {
        const struct catalog_layer *layer =
            catalog_find_layer(catalog, image->image->layers[i]);

        if (!layer)
            continue;
        info->bytes += layer->bytes;
        if (layer->images == 1)
            info->own_bytes += layer->bytes;
    }
    return info;
}

static const char *first_name(const Kontor__V1__ImageInfo *info)
{
    return info->n_references > 0 ? info->references[0] : info->digest;
}

static int by_name(const void *a, const void *b)
{
    const Kontor__V1__ImageInfo *const *one = a;
    const Kontor__V1__ImageInfo *const *other = b;

    return strcmp(first_name(*one), first_name(*other));
}

void catalog_message(const struct catalog *catalog,
                     Kontor__V1__ListImagesResponse *out)
{
    kontor__v1__list_images_response__init(out);
    out->images = memory_array(catalog->image_count + 1, sizeof *out->images);
    for (size_t i = 0; i < catalog->image_count; i++)
        out->images[out->n_images++] = describe(catalog, &catalog->images[i]);
    qsort(out->images, out->n_images, sizeof *out->images, by_name);
    out->layers = (uint32_t)catalog->layer_count;
    for (size_t i = 0; i < catalog->layer_count; i++) {
        out->layer_bytes += catalog->layers[i].bytes;
        if (!catalog->layers[i].used)
            out->unused_bytes += catalog->layers[i].bytes;
    }
}

void catalog_message_fini(Kontor__V1__ListImagesResponse *message)
{
    for (size_t i = 0; i < message->n_images; i++) {
        free(message->images[i]->references);
        free(message->images[i]);
    }
    free(message->images);
}
