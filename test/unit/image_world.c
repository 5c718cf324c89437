#include "image_world.h"

#include "base/fd.h"
#include "base/random.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the image ----------------------------------------------------------- */

void test_image_add_layer(struct test_image *image,
                          struct archive_built *archive)
{
    int i = image->layer_count++;

    archive_built_end(archive);
    digest_of(archive->bytes, archive->length, &image->diff_ids[i]);
    image->blobs[i] =
        gzip_bytes(archive->bytes, archive->length, &image->lengths[i]);
    digest_of(image->blobs[i], image->lengths[i], &image->digests[i]);
    archive_built_free(archive);
}

/* A layer of one file with `kib` KiB of noise. */
void test_image_add_file_layer(struct test_image *image, const char *path,
                               size_t kib)
{
    struct archive_built archive;
    char *content = memory_new(kib * 1024 + 1);
    struct random noise = {kib};

    for (size_t i = 0; i < kib * 1024; i++)
        content[i] = (char)('!' + random_below(&noise, 90));
    archive_built_begin(&archive);
    archive_built_file(&archive, path, content);
    test_image_add_layer(image, &archive);
    free(content);
}

/* Write config and manifest for the layers there are. */
void test_image_seal(struct test_image *image)
{
    char ids[TEST_IMAGE_LAYERS_MAX * 100] = "";
    char layers[TEST_IMAGE_LAYERS_MAX * 300] = "";
    struct digest config;

    for (int i = 0; i < image->layer_count; i++) {
        size_t end = strlen(layers);

        snprintf(ids + strlen(ids), sizeof ids - strlen(ids), "%s\"%s\"",
                 i ? "," : "", image->diff_ids[i].text);
        snprintf(layers + end, sizeof layers - end,
                 "%s{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+"
                 "gzip\",\"digest\":\"%s\",\"size\":%zu}",
                 i ? "," : "", image->digests[i].text, image->lengths[i]);
    }
    free(image->config);
    free(image->manifest);
    image->config =
        memory_format("{\"config\":{\"Cmd\":[\"/bin/app\"],\"Env\":[\"A=1\"]},"
                      "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%s]}}",
                      ids);
    digest_of(image->config, strlen(image->config), &config);
    image->manifest = memory_format(
        "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE "\",\"config\":"
        "{\"mediaType\":\"application/vnd.oci.image.config.v1+json\","
        "\"digest\":\"%s\",\"size\":%zu},\"layers\":[%s]}",
        config.text, strlen(image->config), layers);
    digest_of(image->manifest, strlen(image->manifest),
              &image->manifest_digest);
}

void test_image_free(struct test_image *image)
{
    for (int i = 0; i < image->layer_count; i++)
        free(image->blobs[i]);
    free(image->config);
    free(image->manifest);
    memset(image, 0, sizeof *image);
}

/* ---- the registry -------------------------------------------------------- */

struct fake_route image_blob_route(const struct digest *digest,
                                   const void *bytes, size_t length)
{
    struct fake_route route = {.body = bytes, .length = length};

    snprintf(route.path, sizeof route.path, "/v2/app/blobs/%s", digest->text);
    return route;
}

struct fake_route image_manifest_route(const char *tag, const char *type,
                                       const char *json)
{
    struct fake_route route = {.body = (const uint8_t *)json,
                               .length = strlen(json),
                               .content_type = type};

    snprintf(route.path, sizeof route.path, "/v2/app/manifests/%s", tag);
    return route;
}

/* Serve world->image as app:1, app:latest and by its digest. */
void image_world_serve(struct image_world *world)
{
    const struct test_image *image = &world->image;
    const char *const names[] = {"1", "latest", image->manifest_digest.text};
    struct fake_route route;
    struct digest config;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        route = image_manifest_route(names[i], MANIFEST_TYPE, image->manifest);
        fake_registry_serve(&world->registry, &route);
    }
    digest_of(image->config, strlen(image->config), &config);
    route = image_blob_route(&config, image->config, strlen(image->config));
    fake_registry_serve(&world->registry, &route);
    for (int i = 0; i < image->layer_count; i++) {
        route = image_blob_route(&image->digests[i], image->blobs[i],
                                 image->lengths[i]);
        fake_registry_serve(&world->registry, &route);
    }
}

struct fake_route image_layer_route(const struct image_world *world, int i)
{
    return image_blob_route(&world->image.digests[i], world->image.blobs[i],
                            world->image.lengths[i]);
}

void image_world_put_file(const char *folder, const char *name,
                          const void *bytes, size_t length)
{
    char *path = memory_format("%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_int_equal(write(fd, bytes, length), (ssize_t)length);
    close(fd);
    free(path);
}

/* ---- the world ----------------------------------------------------------- */

void image_world_open_store(struct image_world *world)
{
    const struct image_store_config config = {.folder = world->store_folder,
                                              .auth_file = world->auth_file,
                                              .each_used = world->each_used};
    struct error why;

    if (image_store_open(&world->store, &world->loop, &config, &why) != 0)
        fail_msg("%s", why.message);
}

static void world_on_closed(void *data)
{
    *(bool *)data = true;
}

void image_world_close_store(struct image_world *world)
{
    bool closed = false;

    image_store_close(world->store, world_on_closed, &closed);
    assert_false(closed);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_true(closed);
    world->store = NULL;
}

int image_world_open(void **state)
{
    struct image_world *world = memory_new(sizeof *world);

    world->folder = temporary_folder();
    world->store_folder = memory_format("%s/store", world->folder);
    world->auth_file = memory_format("%s/auth.json", world->folder);
    uv_loop_init(&world->loop);
    image_world_open_store(world);
    fake_registry_open(&world->registry);
    snprintf(world->host, sizeof world->host, "127.0.0.1:%d",
             world->registry.port);
    test_image_add_file_layer(&world->image, "bin/app", 700);
    test_image_add_file_layer(&world->image, "etc/conf", 1);
    test_image_seal(&world->image);
    image_world_serve(world);
    *state = world;
    return 0;
}

int image_world_close(void **state)
{
    struct image_world *world = *state;

    if (world->store)
        image_world_close_store(world);
    umount2(world->store_folder, MNT_DETACH); /* a test that failed */
    assert_int_equal(uv_loop_close(&world->loop), 0);
    fake_registry_close(&world->registry);
    test_image_free(&world->image);
    temporary_remove(world->folder);
    free(world->folder);
    free(world->store_folder);
    free(world->auth_file);
    free(world);
    return 0;
}

/* ---- pulling ------------------------------------------------------------- */

static void waiter_on_progress(struct image_pull *pull, uint64_t done_bytes,
                               uint64_t total_bytes)
{
    struct image_waiter *waiter = container_of(pull, struct image_waiter, pull);

    assert_true(done_bytes >= waiter->done_bytes);
    assert_true(done_bytes <= total_bytes);
    waiter->done_bytes = done_bytes;
    waiter->total_bytes = total_bytes;
}

static void waiter_on_done(struct image_pull *pull,
                           const Kontor__V1__Image *image,
                           const struct error *why)
{
    struct image_waiter *waiter = container_of(pull, struct image_waiter, pull);

    waiter->done_count++;
    waiter->why = *why;
    assert_true((why->code == 0) == (image != NULL));
    if (image) {
        size_t length = kontor__v1__image__get_packed_size(image);
        uint8_t *packed = memory_new(length);

        kontor__v1__image__pack(image, packed);
        waiter->image = kontor__v1__image__unpack(NULL, length, packed);
        free(packed);
    }
}

void image_waiter_start(struct image_world *world, struct image_waiter *waiter,
                        const char *reference)
{
    *waiter = (struct image_waiter){
        .pull = {.progress = waiter_on_progress, .done = waiter_on_done}};
    image_pull_start(world->store, &waiter->pull, reference);
    assert_int_equal(waiter->done_count, 0);
}

void image_waiter_fini(struct image_waiter *waiter)
{
    if (waiter->image)
        kontor__v1__image__free_unpacked(waiter->image, NULL);
    waiter->image = NULL;
}

/* Start and wait; the outcome is in `waiter`. */
void image_world_pull(struct image_world *world, struct image_waiter *waiter,
                      const char *name_and_tag)
{
    char reference[512];

    snprintf(reference, sizeof reference, "%s/%s", world->host, name_and_tag);
    image_waiter_start(world, waiter, reference);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(waiter->done_count, 1);
}

int image_world_count(const struct image_world *world, const char *folder)
{
    char *path = memory_format("%s/%s", world->store_folder, folder);
    DIR *dir = opendir(path);
    int count = -2; /* "." and ".." */

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    free(path);
    return count;
}

void image_world_pulls(struct image_world *world, const char *name_and_tag)
{
    struct image_waiter waiter;

    image_world_pull(world, &waiter, name_and_tag);
    if (waiter.why.code != 0)
        fail_msg("%s: %s", name_and_tag, waiter.why.message);
    image_waiter_fini(&waiter);
    assert_int_equal(image_world_count(world, "tmp"), 0);
}

/* It fails with `code`, the message names the image and holds `part`, and
 * nothing is left in tmp. */
void image_world_refuses(struct image_world *world, const char *name_and_tag,
                         int code, const char *part)
{
    struct image_waiter waiter;

    image_world_pull(world, &waiter, name_and_tag);
    if ((int)waiter.why.code != code || !strstr(waiter.why.message, part) ||
        !strstr(waiter.why.message, name_and_tag))
        fail_msg("%s: %s: %s", name_and_tag, error_name((int)waiter.why.code),
                 waiter.why.message);
    image_waiter_fini(&waiter);
    assert_int_equal(image_world_count(world, "tmp"), 0);
}
