/* catalog.h - what a store holds: its images, their references and layers,
 * and which of them are in use.
 *
 * Read at once; a layer that several images share is there once. Blocking. */
#pragma once

#include "kontor/v1/cluster.pb-c.h"
#include "node/image/layer_store.h"

struct catalog_layer {
    char path[LAYER_STORE_PATH_MAX]; /* "layers/sha256/...", "files/..." */
    uint64_t bytes;
    uint64_t made_at_ms; /* wall clock; 0: not known */
    unsigned images;     /* that have it */
    bool used;           /* by a pod or by a pull under way */
    bool top;            /* the uppermost one of a pod's image */
};

struct catalog_reference {
    char *text;                       /* owned; as somebody asked for it */
    char file[DIGEST_HEX_LENGTH + 1]; /* in refs/ */
};

struct catalog_image {
    struct digest digest;
    Kontor__V1__Image *image;             /* owned */
    struct catalog_reference *references; /* owned */
    size_t reference_count;
    uint64_t used_at_ms; /* wall clock */
    bool in_use;         /* by a pod */
};

struct catalog {
    struct catalog_layer *layers; /* owned; sorted by path */
    size_t layer_count;
    struct catalog_image *images; /* owned; sorted by digest */
    size_t image_count;
};

/* A set of layers' paths, as image_store_config.each_used gives them. */
struct catalog_use {
    char path[LAYER_STORE_PATH_MAX];
    bool top;
};

struct catalog_uses {
    struct catalog_use *uses; /* owned */
    size_t count;
};

void catalog_use(struct catalog_uses *uses, const char *path, bool top);

/* What cannot be read of single files is passed over: a pull mends it.
 * Freed with catalog_fini() also after a failure. */
int catalog_read(struct catalog *catalog, const struct layer_store *store,
                 const struct catalog_uses *uses, struct error *why);
void catalog_fini(struct catalog *catalog);

struct catalog_layer *catalog_find_layer(const struct catalog *catalog,
                                         const char *path);

/* The images by their first reference; disk_* are left to the caller. The
 * result borrows from the catalog; its arrays are freed with
 * catalog_message_fini(). */
void catalog_message(const struct catalog *catalog,
                     Kontor__V1__ListImagesResponse *out);
void catalog_message_fini(Kontor__V1__ListImagesResponse *message);
