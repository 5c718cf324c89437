/* image.h - images: fetched, verified, unpacked once, ready for overlayfs.
 *
 *   FOLDER/layers/sha256/<diffID>/   one unpacked layer, whiteouts in
 *                                    overlay's form; there only when whole
 *   FOLDER/implied/<diffID>          folders that its archive only implies
 *   FOLDER/sizes/<diffID>            bytes of its archive
 *   FOLDER/files/<digest>            a link to a file system's file
 *   FOLDER/images/sha256/<digest>.pb the Image message of a manifest; its time
 *                                    is when the image was used last
 *   FOLDER/refs/...                  which digest a reference led to
 *   FOLDER/tmp/                      work in progress; empty at open
 *   FOLDER/old/                      former tmp/ and layers, on their way out
 *
 * A pull runs in a child process: its memory goes back when it ends, and a
 * hostile registry or archive meets no more than that child. */
#pragma once

#include "base/error.h"
#include "base/list.h"
#include "kontor/v1/bundle.pb-c.h"
#include "node/image/sweep.h"

#include <stdint.h>
#include <uv.h>

struct image_store;

/* "layers/sha256/..." relative to the store's folder; `top`: the uppermost of
 * an image. */
typedef void image_used_cb(void *to, const char *layer, bool top);

struct image_store_config {
    const char *folder;
    const char *puller; /* kpull; NULL: this program anew. Copied. */
    /* "HOST:PORT" of registries to speak plain http to; loopback ones are
     * spoken to so without being named. Copied. */
    const char *const *insecure;
    size_t insecure_count;
    /* Credentials, in the form of Docker's config.json; NULL: auth.json in
     * the folder. It need not be there. Copied. */
    const char *auth_file;
    /* What was not used for so long is removed; 0: only when the disk is
     * nearly full (sweep.h). */
    uint64_t keep_ms;
    /* Name every layer that pods use; NULL: none. Fails when that cannot be
     * said; nothing is removed then. */
    int (*each_used)(void *data, image_used_cb *used, void *to,
                     struct error *why);
    /* A periodic sweep is over. May be NULL. */
    void (*swept)(void *data, const struct sweep *sweep,
                  const struct error *why);
    void *data;
};

int image_store_open(struct image_store **out, uv_loop_t *loop,
                     const struct image_store_config *config,
                     struct error *why);

/* Pulls that are under way are killed; their callbacks run with CANCELLED. */
void image_store_close(struct image_store *store, void (*closed)(void *data),
                       void *data);

struct image_pull {
    /* May be NULL; at most ten a second. total 0: not known yet. */
    void (*progress)(struct image_pull *pull, uint64_t done_bytes,
                     uint64_t total_bytes);
    /* Exactly once. `image` is borrowed for the callback; its layer folders
     * are relative to the store's. NOT_FOUND, UNAVAILABLE, DATA_LOSS,
     * INVALID_ARGUMENT ... name the image and what was wrong. */
    void (*done)(struct image_pull *pull, const Kontor__V1__Image *image,
                 const struct error *why);
    struct image_store *store; /* set by image_pull_start() */
    struct list link;          /* the store's */
};

/* Fetch `reference` (reference.h has all its forms) for this machine's
 * platform. `pull` (its callbacks set) belongs to the store until `done`. Pulls
 * of one reference at one time share the work, no more than eight are under way
 * at once, and a layer that is there is not fetched again. An image that is
 * there is used without asking the registry, unless its tag is "latest" or left
 * out: that is asked for every time. A layout's tag is looked up in its
 * index.json every time; where it leads to is used when it is there. */
void image_pull_start(struct image_store *store, struct image_pull *pull,
                      const char *reference);

/* `done` comes with CANCELLED. */
void image_pull_cancel(struct image_pull *pull);

/* Remove images. */
struct image_sweep {
    struct sweep sweep; /* what is to go is set by the caller */
    /* Exactly once; what went is in `sweep`, to be let go with sweep_fini(). */
    void (*done)(struct image_sweep *sweep, const struct error *why);
    struct list link; /* the store's */
};

/* Pulls that come meanwhile wait for it. `sweep` belongs to the store until
 * `done`. */
void image_sweep_start(struct image_store *store, struct image_sweep *sweep);

/* What the store holds. */
struct image_list {
    /* Exactly once. `images` is borrowed for the callback; NULL when it
     * failed. */
    void (*done)(struct image_list *list,
                 const Kontor__V1__ListImagesResponse *images,
                 const struct error *why);
};

void image_list_start(struct image_store *store, struct image_list *list);

/* The child's main: `kpull image-pull ...`. Returns the exit code: 0, 1 when
 * the pull failed, 2 when the command line is wrong. */
int image_pull_main(int argc, char **argv);
