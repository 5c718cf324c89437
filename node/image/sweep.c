#include "node/image/sweep.h"

#include "base/memory.h"

#include <string.h>
#include <sys/statvfs.h>

struct sweeping {
    struct sweep *sweep;
    const struct layer_store *store;
    struct catalog catalog;
    uint64_t now_ms;
    uint64_t excess_bytes; /* still to be freed */
};

uint64_t sweep_excess(uint64_t size_bytes, uint64_t free_bytes)
{
    uint64_t used_bytes = size_bytes - free_bytes;

    if (used_bytes <= size_bytes / 100 * SWEEP_HIGH_PERCENT)
        return 0;
    return used_bytes - size_bytes / 100 * SWEEP_LOW_PERCENT;
}

static uint64_t measure_excess(const struct layer_store *store,
                               uint64_t need_bytes)
{
    struct statvfs info;
    uint64_t free_bytes;
    uint64_t excess;
    uint64_t lack;

    if (fstatvfs(store->fd, &info) != 0)
        return 0;
    /* What only root may use counts as used. */
    free_bytes = (uint64_t)info.f_bavail * info.f_frsize;
    excess = sweep_excess((uint64_t)info.f_blocks * info.f_frsize, free_bytes);
    lack = need_bytes > free_bytes ? need_bytes - free_bytes : 0;
    return excess > lack ? excess : lack;
}

/* ---- one image, one layer ------------------------------------------------ */

static void note(struct sweep *sweep, const char *name)
{
    sweep->removed = memory_resize(sweep->removed, (sweep->removed_count + 1) *
                                                       sizeof *sweep->removed);
    sweep->removed[sweep->removed_count++] = memory_string(name);
}

static int remove_layer(struct sweeping *at, struct catalog_layer *layer,
                        struct error *why)
{
    uint64_t bytes = layer->bytes;

    if (layer_store_put_aside(at->store, layer->path, why) != 0)
        return (int)why->code;
    layer->used = true; /* not to be met again */
    at->sweep->freed_bytes += bytes;
    at->excess_bytes -= bytes < at->excess_bytes ? bytes : at->excess_bytes;
    return 0;
}

/* References first, layers last: a crash between leaves what is only unused. */
static int remove_image(struct sweeping *at, struct catalog_image *image,
                        struct error *why)
{
    for (size_t i = 0; i < image->reference_count; i++) {
        if (layer_store_remove_reference(at->store, image->references[i].file,
                                         why) != 0)
            return (int)why->code;
        note(at->sweep, image->references[i].text);
    }
    if (layer_store_remove_image(at->store, &image->digest, why) != 0)
        return (int)why->code;
    if (image->reference_count == 0)
        note(at->sweep, image->digest.text);
    image->in_use = true; /* not to be met again */
    for (size_t i = 0; i < image->image->n_layers; i++) {
        struct catalog_layer *layer =
            catalog_find_layer(&at->catalog, image->image->layers[i]);

        if (layer && --layer->images == 0 && !layer->used &&
            remove_layer(at, layer, why) != 0)
            return (int)why->code;
    }
    return 0;
}

/* ---- one in particular --------------------------------------------------- */

static bool text_means(const char *text, const char *full)
{
    char other[REFERENCE_TEXT_MAX];
    struct reference parsed;
    struct error unheard;

    if (reference_parse(text, &parsed, &unheard) != 0)
        return false;
    reference_format(&parsed, other);
    return strcmp(other, full) == 0;
}

/* Whether an image goes by `name`, a digest or any spelling of a reference. */
static bool is_called(const struct catalog_image *image, const char *name,
                      const char *full)
{
    if (strcmp(image->digest.text, name) == 0)
        return true;
    for (size_t i = 0; i < image->reference_count; i++)
        if (text_means(image->references[i].text, full))
            return true;
    return false;
}

/* Of an image with more references only this one goes. */
static int remove_references(struct sweeping *at, struct catalog_image *image,
                             const char *full, struct error *why)
{
    size_t kept = 0;

    for (size_t i = 0; i < image->reference_count; i++)
        kept += !text_means(image->references[i].text, full);
    if (kept == 0)
        return remove_image(at, image, why);
    for (size_t i = 0; i < image->reference_count; i++) {
        if (!text_means(image->references[i].text, full))
            continue;
        if (layer_store_remove_reference(at->store, image->references[i].file,
                                         why) != 0)
            return (int)why->code;
        note(at->sweep, image->references[i].text);
    }
    return 0;
}

static int sweep_one(struct sweeping *at, struct error *why)
{
    const char *name = at->sweep->reference;
    char full[REFERENCE_TEXT_MAX] = "";
    struct reference parsed;
    struct error unheard;
    bool found = false;

    if (reference_parse(name, &parsed, &unheard) == 0)
        reference_format(&parsed, full);
    for (size_t i = 0; i < at->catalog.image_count; i++) {
        struct catalog_image *image = &at->catalog.images[i];

        if (!is_called(image, name, full))
            continue;
        found = true;
        if (image->in_use)
            return error_set(why, ERROR_FAILED_PRECONDITION,
                             "image %.200s is in use by a pod", name);
        if ((strcmp(image->digest.text, name) == 0
                 ? remove_image(at, image, why)
                 : remove_references(at, image, full, why)) != 0)
            return (int)why->code;
    }
    return found ? 0
                 : error_set(why, ERROR_NOT_FOUND, "no image %.200s is here",
                             name);
}

/* ---- by age and by need -------------------------------------------------- */

static bool has_to_go(const struct sweeping *at, uint64_t used_at_ms)
{
    return at->excess_bytes > 0 ||
           (used_at_ms <= at->now_ms &&
            at->now_ms - used_at_ms >= at->sweep->unused_ms);
}

static int by_use(const void *a, const void *b)
{
    const struct catalog_image *const *one = a;
    const struct catalog_image *const *other = b;

    if ((*one)->used_at_ms == (*other)->used_at_ms)
        return strcmp((*one)->digest.text, (*other)->digest.text);
    return (*one)->used_at_ms < (*other)->used_at_ms ? -1 : 1;
}

static int sweep_images(struct sweeping *at, struct error *why)
{
    size_t count = at->catalog.image_count;
    CLEANUP(free_pointer)
    struct catalog_image **order = memory_array(count + 1, sizeof *order);

    for (size_t i = 0; i < count; i++)
        order[i] = &at->catalog.images[i];
    qsort(order, count, sizeof *order, by_use);
    for (size_t i = 0; i < count; i++) {
        if (order[i]->in_use)
            layer_store_touch_image(at->store, &order[i]->digest);
        else if (has_to_go(at, order[i]->used_at_ms) &&
                 remove_image(at, order[i], why) != 0)
            return (int)why->code;
    }
    return 0;
}

/* Layers of no image: of pulls that failed half way. */
static int sweep_layers(struct sweeping *at, struct error *why)
{
    for (size_t i = 0; i < at->catalog.layer_count; i++) {
        struct catalog_layer *layer = &at->catalog.layers[i];

        if (!layer->used && layer->images == 0 &&
            has_to_go(at, layer->made_at_ms) &&
            remove_layer(at, layer, why) != 0)
            return (int)why->code;
    }
    return 0;
}

int sweep_run(struct sweep *sweep, const struct layer_store *store,
              const struct catalog_uses *uses, uint64_t now_ms,
              struct error *why)
{
    struct sweeping at = {.sweep = sweep, .store = store, .now_ms = now_ms};
    int failed = catalog_read(&at.catalog, store, uses, why);

    if (sweep->pressure)
        at.excess_bytes = measure_excess(store, sweep->need_bytes);
    if (!failed && sweep->reference)
        failed = sweep_one(&at, why);
    else if (!failed)
        failed = sweep_layers(&at, why) || sweep_images(&at, why);
    catalog_fini(&at.catalog);
    return failed ? (int)why->code : 0;
}

void sweep_fini(struct sweep *sweep)
{
    for (size_t i = 0; i < sweep->removed_count; i++)
        free(sweep->removed[i]);
    free(sweep->removed);
    sweep->removed = NULL;
    sweep->removed_count = 0;
}
