/* image_world.h - a store, an image and a registry that serves it, for tests
 * of whole pulls. The store's child processes are the test program, run
 * anew: its main hands "image-pull" to image_pull_main(). */
#pragma once

#include "base/memory.h"
#include "fake_registry.h"
#include "image_archive.h"
#include "node/image/image.h"
#include "node/image/manifest.h"

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"

enum { TEST_IMAGE_LAYERS_MAX = 3 };

/* An image, built in memory. */
struct test_image {
    uint8_t *blobs[TEST_IMAGE_LAYERS_MAX]; /* gzipped; owned */
    size_t lengths[TEST_IMAGE_LAYERS_MAX];
    struct digest digests[TEST_IMAGE_LAYERS_MAX];
    struct digest diff_ids[TEST_IMAGE_LAYERS_MAX];
    int layer_count;
    char *config;
    char *manifest;
    struct digest manifest_digest;
};

struct image_world {
    char *folder;
    char *store_folder;
    char *auth_file;
    uv_loop_t loop;
    struct image_store *store;
    struct fake_registry registry;
    struct test_image image;
    char host[64];
    /* For the store's configuration; NULL: nothing is used. */
    int (*each_used)(void *data, image_used_cb *used, void *to,
                     struct error *why);
};

/* Add a layer: an archive, which is ended and freed; a file of noise. */
void test_image_add_layer(struct test_image *image,
                          struct archive_built *archive);
void test_image_add_file_layer(struct test_image *image, const char *path,
                               size_t kib);
/* Write config and manifest for the layers there are. */
void test_image_seal(struct test_image *image);
void test_image_free(struct test_image *image);

/* Routes to change before they are served in place of the good ones. */
struct fake_route image_blob_route(const struct digest *digest,
                                   const void *bytes, size_t length);
struct fake_route image_manifest_route(const char *tag, const char *type,
                                       const char *json);
struct fake_route image_layer_route(const struct image_world *world, int i);

/* Serve world->image as app:1, app:latest and by its digest. */
void image_world_serve(struct image_world *world);

/* For cmocka's setup and teardown. The image has a layer of 700 KiB and one
 * of 1 KiB and is served. */
int image_world_open(void **state);
int image_world_close(void **state);
void image_world_open_store(struct image_world *world);
void image_world_close_store(struct image_world *world);

/* How many entries a folder of the store has. */
int image_world_count(const struct image_world *world, const char *folder);
void image_world_put_file(const char *folder, const char *name,
                          const void *bytes, size_t length);

/* One pull and what became of it. */
struct image_waiter {
    struct image_pull pull;
    int done_count;
    uint64_t done_bytes;
    uint64_t total_bytes;
    Kontor__V1__Image *image; /* a copy; owned */
    struct error why;
};

void image_waiter_start(struct image_world *world, struct image_waiter *waiter,
                        const char *reference);
void image_waiter_fini(struct image_waiter *waiter);

/* Pull NAME:TAG from the world's registry and wait. */
void image_world_pull(struct image_world *world, struct image_waiter *waiter,
                      const char *name_and_tag);
/* The same; it has to work, leaving nothing in tmp. */
void image_world_pulls(struct image_world *world, const char *name_and_tag);
/* It has to fail with `code` and a message that names the image and holds
 * `part`, leaving nothing in tmp. */
void image_world_refuses(struct image_world *world, const char *name_and_tag,
                         int code, const char *part);
