/* layer_store.h - the folder of images, as image.h draws it.
 *
 * Invariants:
 * 1. A folder beneath layers/ is whole and on disk: it was synced under
 *    tmp/ before it was renamed, so a crash leaves it whole or not there.
 * 2. A layer's list in implied/ is on disk before its folder is there; its
 *    size is in sizes/ by then, but may be lost in a crash.
 * 3. An image's file is written after its layers were renamed and that was
 *    synced; a reference's after its image. */
#pragma once

#include "base/buffer.h"
#include "kontor/v1/bundle.pb-c.h"
#include "node/image/digest.h"
#include "node/image/reference.h"

enum { LAYER_STORE_IMAGE_MAX_BYTES = 8 << 20, LAYER_STORE_PATH_MAX = 128 };

struct layer_store {
    int fd; /* owned; the folder */
};

/* Makes what is missing; only root may look inside, for layers hold
 * set-user-ID programs of all kinds. */
int layer_store_open(struct layer_store *store, const char *folder,
                     struct error *why);
void layer_store_close(struct layer_store *store);

/* Give pulls an empty tmp/; remove what was in it, left by a crash. */
int layer_store_clear(struct layer_store *store, struct error *why);

/* A new work folder tmp/NAME, which the caller closes; its removal. */
int layer_store_work_open(struct layer_store *store, const char *name, int *fd,
                          struct error *why);
int layer_store_work_remove(struct layer_store *store, const char *name,
                            struct error *why);

/* "layers/sha256/...": a layer's folder, relative to the store's. */
void layer_store_layer_path(const struct digest *diff_id,
                            char path[LAYER_STORE_PATH_MAX]);
bool layer_store_has_layer(const struct layer_store *store,
                           const struct digest *diff_id);

/* A layer's folder, which the caller closes, and its list of folders that
 * are only implied (layer.h), appended to `implied`. */
int layer_store_open_layer(const struct layer_store *store,
                           const struct digest *diff_id, int *fd,
                           struct buffer *implied, struct error *why);

/* Put everything that was written before on disk. */
int layer_store_sync(const struct layer_store *store, struct error *why);

/* Give the list `name`.implied in `work` its place, before its layer is
 * synced and gets its own. */
int layer_store_publish_list(struct layer_store *store, int work,
                             const char *name, const struct digest *diff_id,
                             struct error *why);

/* Note how large the layer is, for accounting. */
int layer_store_publish_size(struct layer_store *store, int work,
                             const struct digest *diff_id, uint64_t bytes,
                             struct error *why);

/* Make files/..., a link to the file that `reference` names and whose digest
 * it has; `path` gets its name, which is an image's only layer. */
int layer_store_publish_link(struct layer_store *store, int work,
                             const struct reference *reference,
                             char path[LAYER_STORE_PATH_MAX],
                             struct error *why);

/* Give the unpacked, synced folder `name` in `work` its place. When another
 * pull was first that one stays, and this stays in `work`. */
int layer_store_publish_layer(struct layer_store *store, int work,
                              const char *name, const struct digest *diff_id,
                              struct error *why);

/* Remember that `reference` led to `image`. Its files are written in the work
 * folder `work`: another pull may be about to write the same ones. */
int layer_store_save_image(struct layer_store *store, int work,
                           const struct reference *reference,
                           const Kontor__V1__Image *image, struct error *why);

/* One image's file and when it was used last, wall clock; freed with
 * kontor__v1__image__free_unpacked(). */
int layer_store_read_image(const struct layer_store *store,
                           const struct digest *digest, Kontor__V1__Image **out,
                           uint64_t *used_at_ms, struct error *why);

/* Note that it is used now. */
void layer_store_touch_image(const struct layer_store *store,
                             const struct digest *digest);

/* One reference's file in refs/: the image it led to, and itself, freed with
 * free(). */
int layer_store_read_reference(const struct layer_store *store,
                               const char *name, struct digest *digest,
                               char **text, struct error *why);

/* Forget a reference, by its file's name. */
int layer_store_remove_reference(const struct layer_store *store,
                                 const char *name, struct error *why);

/* Forget an image; its layers stay. */
int layer_store_remove_image(const struct layer_store *store,
                             const struct digest *digest, struct error *why);

/* Put a layer, or a link to a file, aside: it is not there any more, and goes
 * with layer_store_empty(). */
int layer_store_put_aside(const struct layer_store *store, const char *path,
                          struct error *why);

/* Remove what was put aside; takes its time. */
void layer_store_empty(const struct layer_store *store);

/* What `reference` led to last; NOT_FOUND unless image and layers are all
 * here. Freed with kontor__v1__image__free_unpacked(). */
int layer_store_load_image(const struct layer_store *store,
                           const struct reference *reference,
                           Kontor__V1__Image **out, struct error *why);
