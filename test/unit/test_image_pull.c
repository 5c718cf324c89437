/* Whole pulls: what works, what is wrong with an image, how pulls end. */
#include "base/fd.h"
#include "image_world.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what works ---------------------------------------------------------- */

static void an_image_is_pulled_and_unpacked(void **state)
{
    struct image_world *world = *state;
    struct image_waiter waiter;
    char *path;
    struct stat info;

    image_world_pull(world, &waiter, "app:1");
    if (waiter.why.code)
        fail_msg("%s", waiter.why.message);
    assert_string_equal(waiter.image->digest,
                        world->image.manifest_digest.text);
    assert_non_null(strstr(waiter.image->reference, "app:1"));
    assert_string_equal(waiter.image->command[0], "/bin/app");
    assert_string_equal(waiter.image->env[0], "A=1");
    assert_int_equal(waiter.image->n_layers, 2);
    for (int i = 0; i < 2; i++)
        assert_string_equal(waiter.image->layers[i] + strlen("layers/sha256/"),
                            digest_hex(&world->image.diff_ids[i]));
    path = memory_format("%s/%s/bin/app", world->store_folder,
                         waiter.image->layers[0]);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, 700 * 1024);
    free(path);
    assert_int_equal(waiter.total_bytes,
                     world->image.lengths[0] + world->image.lengths[1]);
    assert_int_equal(waiter.done_bytes, waiter.total_bytes);
    image_waiter_fini(&waiter);
    assert_int_equal(image_world_count(world, "tmp"), 0);
}

static void what_is_there_is_not_fetched_again(void **state)
{
    struct image_world *world = *state;
    struct fake_registry *registry = &world->registry;

    image_world_pulls(world, "app:1");
    assert_int_equal(fake_registry_count(registry, "/blobs/"), 3);
    image_world_pulls(world, "app:1");
    assert_int_equal(fake_registry_count(registry, "/manifests/"), 1);
    image_world_pulls(world, "app");
    image_world_pulls(world,
                      "app"); /* latest: the manifest is asked for each time */
    assert_int_equal(fake_registry_count(registry, "/manifests/latest"), 2);
    assert_int_equal(
        fake_registry_count(registry, world->image.digests[0].text), 1);
}

static void a_store_remembers_after_a_restart(void **state)
{
    struct image_world *world = *state;
    char name[200];

    image_world_pulls(world, "app:1");
    image_world_close_store(world);
    image_world_open_store(world);
    snprintf(name, sizeof name, "app@%s", world->image.manifest_digest.text);
    image_world_pulls(world, name);
    snprintf(name, sizeof name, "app:1@%s", world->image.manifest_digest.text);
    image_world_pulls(world, name);
    assert_int_equal(fake_registry_count(&world->registry, "/manifests/"), 1);
}

static void an_image_with_a_missing_layer_is_pulled_again(void **state)
{
    struct image_world *world = *state;
    char *layer = memory_format("%s/layers/sha256/%s", world->store_folder,
                                digest_hex(&world->image.diff_ids[1]));

    image_world_pulls(world, "app:1");
    temporary_remove(layer);
    image_world_pulls(world, "app:1");
    assert_int_equal(access(layer, F_OK), 0);
    assert_int_equal(
        fake_registry_count(&world->registry, world->image.digests[0].text), 1);
    assert_int_equal(
        fake_registry_count(&world->registry, world->image.digests[1].text), 2);
    free(layer);
}

static void pulls_of_one_reference_share_the_work(void **state)
{
    struct image_world *world = *state;
    struct image_waiter waiters[5];
    char reference[128];

    snprintf(reference, sizeof reference, "%s/app:latest", world->host);
    for (size_t i = 0; i < ARRAY_LEN(waiters); i++)
        image_waiter_start(world, &waiters[i], reference);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < ARRAY_LEN(waiters); i++) {
        assert_int_equal(waiters[i].done_count, 1);
        assert_int_equal(waiters[i].why.code, 0);
        assert_int_equal(waiters[i].done_bytes, waiters[i].total_bytes);
        image_waiter_fini(&waiters[i]);
    }
    assert_int_equal(fake_registry_count(&world->registry, "/manifests/"), 1);
}

static void only_some_pulls_run_at_once(void **state)
{
    enum { PULLS = 20, AT_ONCE = 8, CANCELLED = 18 };
    struct image_world *world = *state;
    struct image_waiter waiters[PULLS];
    bool cancelled = false;
    int done = 0;

    for (int i = 0; i < PULLS; i++) {
        char reference[256];

        snprintf(reference, sizeof reference, "%s/app%s:%d", world->host,
                 i == 1 ? "" : "-none", i);
        image_waiter_start(world, &waiters[i], reference);
    }
    while (done < PULLS) {
        uv_run(&world->loop, UV_RUN_ONCE);
        assert_true(image_world_count(world, "tmp") <= AT_ONCE);
        if (done > 0 && !cancelled)
            image_pull_cancel(&waiters[CANCELLED].pull);
        cancelled = done > 0;
        done = 0;
        for (int i = 0; i < PULLS; i++)
            done += waiters[i].done_count;
    }
    for (int i = 0; i < PULLS; i++) {
        assert_int_equal(waiters[i].why.code, i == 1 ? ERROR_OK
                                              : i == CANCELLED
                                                  ? ERROR_CANCELLED
                                                  : ERROR_NOT_FOUND);
        image_waiter_fini(&waiters[i]);
    }
}

/* Two references may lead to one image; their pulls write the same files. */
static void a_file_that_another_pull_writes_is_left_alone(void **state)
{
    struct image_world *world = *state;
    char *other = memory_format("%s/images/sha256", world->store_folder);
    char *name =
        memory_format("%s.pb.new", digest_hex(&world->image.manifest_digest));
    char content[8] = "";
    int fd;

    image_world_put_file(other, name, "half", 4);
    image_world_pulls(world, "app:1");
    free(other);
    other = memory_format("%s/images/sha256/%s", world->store_folder, name);
    fd = open(other, O_RDONLY);
    assert_int_equal(read(fd, content, sizeof content - 1), 4);
    assert_string_equal(content, "half");
    close(fd);
    free(other);
    free(name);
}

static void an_index_leads_to_this_machines_manifest(void **state)
{
    struct image_world *world = *state;
    struct fake_route route;
    char name[200];
    struct digest digest;
    char *index = memory_format(
        "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" MANIFEST_TYPE
        "\",\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\","
        "\"architecture\":\"%s\"}}]}",
        world->image.manifest_digest.text, strlen(world->image.manifest),
        platform_here().architecture);

    digest_of(index, strlen(index), &digest);
    route = image_manifest_route(digest.text, INDEX_TYPE, index);
    fake_registry_serve(&world->registry, &route);
    snprintf(name, sizeof name, "app@%s", digest.text);
    image_world_pulls(world, name);
    image_world_pulls(
        world, name); /* by the index's digest, and no request any more */
    assert_int_equal(fake_registry_count(&world->registry, "/manifests/"), 2);
    free(index);
}

static void a_layer_that_comes_twice_is_listed_once(void **state)
{
    struct image_world *world = *state;
    struct test_image *image = &world->image;
    struct image_waiter waiter;

    image->blobs[2] = memory_copy(image->blobs[0], image->lengths[0]);
    image->lengths[2] = image->lengths[0];
    image->digests[2] = image->digests[0];
    image->diff_ids[2] = image->diff_ids[0];
    image->layer_count = 3;
    test_image_seal(image);
    image_world_serve(world);
    image_world_pull(world, &waiter, "app:1");
    assert_int_equal(waiter.why.code, 0);
    assert_int_equal(waiter.image->n_layers, 2);
    assert_string_equal(waiter.image->layers[1] + strlen("layers/sha256/"),
                        digest_hex(&image->diff_ids[0]));
    image_waiter_fini(&waiter);
}

/* ---- an OCI layout ------------------------------------------------------- */

static void put_blob(const char *folder, const void *bytes, size_t length)
{
    struct digest digest;
    char name[128];

    digest_of(bytes, length, &digest);
    snprintf(name, sizeof name, "blobs/sha256/%s", digest_hex(&digest));
    image_world_put_file(folder, name, bytes, length);
}

/* Let the tag "web" lead to a manifest or an index. */
static void tag_layout(const char *folder, const char *type,
                       const struct digest *digest, size_t length)
{
    char *index = memory_format(
        "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"%s\","
        "\"digest\":\"%s\",\"size\":%zu,\"annotations\":"
        "{\"org.opencontainers.image.ref.name\":\"web\"}}]}",
        type, digest->text, length);

    image_world_put_file(folder, "index.json", index, strlen(index));
    free(index);
}

static void put_image(const char *folder, const struct test_image *image)
{
    put_blob(folder, image->manifest, strlen(image->manifest));
    put_blob(folder, image->config, strlen(image->config));
    for (int i = 0; i < image->layer_count; i++)
        put_blob(folder, image->blobs[i], image->lengths[i]);
    tag_layout(folder, MANIFEST_TYPE, &image->manifest_digest,
               strlen(image->manifest));
}

/* world->image as a layout with the tag "web"; its path, to be freed. */
static char *make_layout(struct image_world *world)
{
    static const char version[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    char *folder = memory_format("%s/layout", world->folder);
    char *blobs = memory_format("%s/blobs/sha256", folder);
    struct error why;

    assert_int_equal(folder_make(blobs, 0755, &why), 0);
    image_world_put_file(folder, "oci-layout", version, strlen(version));
    put_image(folder, &world->image);
    free(blobs);
    return folder;
}

static void pull_layout(struct image_world *world, const char *folder,
                        const char *tag, int code, const char *part)
{
    char reference[512];
    struct image_waiter waiter;

    snprintf(reference, sizeof reference, "oci:%s%s%s", folder,
             tag[0] ? ":" : "", tag);
    image_waiter_start(world, &waiter, reference);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    if ((int)waiter.why.code != code || !strstr(waiter.why.message, part))
        fail_msg("%s: %s", error_name((int)waiter.why.code),
                 waiter.why.message);
    image_waiter_fini(&waiter);
    assert_int_equal(image_world_count(world, "tmp"), 0);
}

static void a_layout_is_read_like_a_registry(void **state)
{
    struct image_world *world = *state;
    char *folder = make_layout(world);

    pull_layout(world, folder, "none", ERROR_NOT_FOUND, "\"none\"");
    pull_layout(world, folder, "web", 0, "");
    pull_layout(world, folder, "", 0, "");
    pull_layout(world, "/nowhere", "web", ERROR_NOT_FOUND, "/nowhere");
    pull_layout(world, world->folder, "web", ERROR_NOT_FOUND, "oci-layout");
    assert_int_equal(image_world_count(world, "layers/sha256"), 2);
    free(folder);
}

static void remove_blobs(const char *folder)
{
    char *blobs = memory_format("%s/blobs", folder);

    temporary_remove(blobs);
    free(blobs);
}

/* What a layout's tag leads to is used from the store, and a tag that moved
 * is followed. */
static void a_layouts_tag_is_looked_up_and_its_image_kept(void **state)
{
    struct image_world *world = *state;
    char *folder = make_layout(world);
    char *blobs = memory_format("%s/blobs/sha256", folder);
    struct digest moved;
    struct error why;

    pull_layout(world, folder, "web", 0, "");
    remove_blobs(folder);
    pull_layout(world, folder, "web", 0, "");
    digest_of("", 0, &moved);
    tag_layout(folder, MANIFEST_TYPE, &moved, 0);
    pull_layout(world, folder, "web", ERROR_NOT_FOUND, moved.text);
    test_image_add_file_layer(&world->image, "more", 1);
    test_image_seal(&world->image);
    assert_int_equal(folder_make(blobs, 0755, &why), 0);
    put_image(folder, &world->image);
    pull_layout(world, folder, "web", 0, "");
    assert_int_equal(image_world_count(world, "layers/sha256"), 3);
    free(blobs);
    free(folder);
}

/* Looking a tag up must not wait for a writer that never comes. */
static void a_fifo_in_a_layout_is_refused(void **state)
{
    struct image_world *world = *state;
    char *folder = make_layout(world);
    char *index = memory_format("%s/index.json", folder);

    assert_int_equal(unlink(index), 0);
    assert_int_equal(mkfifo(index, 0644), 0);
    pull_layout(world, folder, "web", ERROR_FAILED_PRECONDITION, "index.json");
    free(index);
    free(folder);
}

static void an_index_in_a_layout_is_kept_as_well(void **state)
{
    struct image_world *world = *state;
    char *folder = make_layout(world);
    char *index = memory_format(
        "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" MANIFEST_TYPE
        "\",\"digest\":\"%s\",\"size\":%zu}]}",
        world->image.manifest_digest.text, strlen(world->image.manifest));
    struct digest digest;

    digest_of(index, strlen(index), &digest);
    put_blob(folder, index, strlen(index));
    tag_layout(folder, INDEX_TYPE, &digest, strlen(index));
    pull_layout(world, folder, "web", 0, "");
    remove_blobs(folder);
    pull_layout(world, folder, "web", 0, "");
    free(index);
    free(folder);
}

static void a_layouts_blobs_are_verified(void **state)
{
    struct image_world *world = *state;
    const struct test_image *image = &world->image;
    char *folder = make_layout(world);
    char name[128];

    image->blobs[0][image->lengths[0] / 2] ^= 1;
    snprintf(name, sizeof name, "blobs/sha256/%s",
             digest_hex(&image->digests[0]));
    image_world_put_file(folder, name, image->blobs[0], image->lengths[0]);
    pull_layout(world, folder, "web", ERROR_DATA_LOSS, image->digests[0].text);
    image_world_put_file(folder, name, image->blobs[0], image->lengths[0] - 1);
    pull_layout(world, folder, "web", ERROR_DATA_LOSS, image->digests[0].text);
    free(folder);
}

/* ---- what is wrong ------------------------------------------------------- */

static void an_unknown_tag_is_not_found(void **state)
{
    struct image_world *world = *state;

    image_world_refuses(world, "app:2", ERROR_NOT_FOUND, "manifest 2");
    image_world_refuses(world, "other:1", ERROR_NOT_FOUND, "other");
    image_world_refuses(world, "No/Name", ERROR_INVALID_ARGUMENT, "lower-case");
}

static void a_registry_that_is_down_is_named(void **state)
{
    struct image_world *world = *state;
    char *host = memory_format("registry %s", world->host);

    shutdown(world->registry.listener, SHUT_RDWR);
    fake_registry_close(&world->registry);
    image_world_refuses(world, "app:1", ERROR_UNAVAILABLE, host);
    free(host);
    fake_registry_open(&world->registry); /* for image_world_close() */
}

static void a_damaged_blob_is_named(void **state)
{
    struct image_world *world = *state;
    const struct test_image *image = &world->image;

    image->blobs[0][image->lengths[0] / 3] ^= 1;
    image_world_refuses(world, "app:1", ERROR_DATA_LOSS,
                        image->digests[0].text);
    assert_true(image_world_count(world, "layers/sha256") <=
                1); /* the other one */
}

/* The time in gzip's header: it unpacks to the same archive all the same. */
static void another_blob_of_the_same_content_is_refused(void **state)
{
    struct image_world *world = *state;
    const struct test_image *image = &world->image;

    image->blobs[0][4] ^= 1;
    image_world_refuses(world, "app:1", ERROR_DATA_LOSS,
                        image->digests[0].text);
    assert_true(image_world_count(world, "layers/sha256") <= 1);
}

static void a_wrong_diff_id_is_named(void **state)
{
    struct image_world *world = *state;
    struct test_image *image = &world->image;

    image->diff_ids[0].text[10] =
        image->diff_ids[0].text[10] == '0' ? '1' : '0';
    test_image_seal(image);
    image_world_serve(world);
    image_world_refuses(world, "app:1", ERROR_DATA_LOSS,
                        image->diff_ids[0].text);
}

static void a_wrong_manifest_is_named(void **state)
{
    struct image_world *world = *state;
    struct fake_route route = image_manifest_route(
        world->image.manifest_digest.text, MANIFEST_TYPE, "{\"x\":1}");
    char name[200];

    fake_registry_serve(&world->registry, &route);
    snprintf(name, sizeof name, "app@%s", world->image.manifest_digest.text);
    image_world_refuses(world, name, ERROR_DATA_LOSS, "digest");
}

static void a_manifest_of_a_wrong_type_is_named(void **state)
{
    struct image_world *world = *state;
    struct fake_route route =
        image_manifest_route("1", "text/html; charset=utf-8", "<html>");

    fake_registry_serve(&world->registry, &route);
    image_world_refuses(world, "app:1", ERROR_INVALID_ARGUMENT,
                        "\"text/html\"");
    route = image_manifest_route("1", INDEX_TYPE, world->image.manifest);
    fake_registry_serve(&world->registry, &route);
    image_world_refuses(world, "app:1", ERROR_INVALID_ARGUMENT, "says it is");
}

static void a_manifest_that_is_too_large_is_refused(void **state)
{
    struct image_world *world = *state;
    char *json = memory_new(MANIFEST_MAX_BYTES + 2);
    struct fake_route route;

    memset(json, ' ', MANIFEST_MAX_BYTES + 1);
    route = image_manifest_route("1", MANIFEST_TYPE, json);
    fake_registry_serve(&world->registry, &route);
    image_world_refuses(world, "app:1", ERROR_RESOURCE_EXHAUSTED,
                        "larger than");
    free(json);
}

static void a_layer_that_climbs_out_is_named(void **state)
{
    struct image_world *world = *state;
    struct archive_built archive;

    archive_built_begin(&archive);
    archive_built_file(&archive, "x/../../../../tmp/evil", "x");
    test_image_free(&world->image);
    test_image_add_layer(&world->image, &archive);
    test_image_seal(&world->image);
    image_world_serve(world);
    image_world_refuses(world, "app:1", ERROR_INVALID_ARGUMENT,
                        "x/../../../../tmp/evil");
    image_world_refuses(world, "app:1", ERROR_INVALID_ARGUMENT,
                        world->image.digests[0].text);
    assert_int_equal(image_world_count(world, "layers/sha256"), 0);
}

static void what_a_layer_says_is_printable(void **state)
{
    struct image_world *world = *state;
    struct archive_built archive;

    archive_built_begin(&archive);
    archive_built_file(&archive, "\x1b[31m\xff\xc3\xa9/../x", "x");
    test_image_free(&world->image);
    test_image_add_layer(&world->image, &archive);
    test_image_seal(&world->image);
    image_world_serve(world);
    image_world_refuses(world, "app:1", ERROR_INVALID_ARGUMENT,
                        "\"\\x1b[31m\\xff\\xc3\\xa9/../x\"");
}

static void a_blob_longer_than_said_is_refused(void **state)
{
    struct image_world *world = *state;

    world->image.lengths[0] -= 10;
    test_image_seal(&world->image);
    image_world_serve(world);
    world->image.lengths[0] += 10;
    {
        struct fake_route route = image_layer_route(world, 0);

        fake_registry_serve(&world->registry, &route);
    }
    image_world_refuses(world, "app:1", ERROR_DATA_LOSS, "bytes were sent");
}

/* ---- ends ---------------------------------------------------------------- */

/* Serve a layer that stops half-way, so that a pull is under way for sure. */
static void stall(struct image_world *world)
{
    struct fake_route route = image_layer_route(world, 0);

    route.cut_times = 1;
    route.cut_bytes = 300000;
    route.stalls = true;
    fake_registry_serve(&world->registry, &route);
}

static void wait_for_progress(struct image_world *world,
                              struct image_waiter *waiter)
{
    while (waiter->total_bytes == 0 || waiter->done_bytes == 0)
        uv_run(&world->loop, UV_RUN_ONCE);
}

static void a_cancelled_pull_leaves_nothing(void **state)
{
    struct image_world *world = *state;
    struct image_waiter waiter;
    char reference[128];

    stall(world);
    snprintf(reference, sizeof reference, "%s/app:1", world->host);
    image_waiter_start(world, &waiter, reference);
    wait_for_progress(world, &waiter);
    image_pull_cancel(&waiter.pull);
    assert_int_equal(waiter.done_count, 0);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(waiter.done_count, 1);
    assert_int_equal(waiter.why.code, ERROR_CANCELLED);
    assert_int_equal(image_world_count(world, "tmp"), 0);
    image_world_pulls(world, "app:1");
}

static void cancelling_one_of_two_lets_the_other_finish(void **state)
{
    struct image_world *world = *state;
    struct image_waiter first;
    struct image_waiter second;
    char reference[128];

    snprintf(reference, sizeof reference, "%s/app:1", world->host);
    image_waiter_start(world, &first, reference);
    image_waiter_start(world, &second, reference);
    image_pull_cancel(&first.pull);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_int_equal(first.why.code, ERROR_CANCELLED);
    assert_int_equal(second.why.code, 0);
    image_waiter_fini(&second);
}

static void closing_the_store_ends_its_pulls(void **state)
{
    struct image_world *world = *state;
    struct image_waiter waiter;
    char reference[128];

    stall(world);
    snprintf(reference, sizeof reference, "%s/app:1", world->host);
    image_waiter_start(world, &waiter, reference);
    wait_for_progress(world, &waiter);
    image_world_close_store(world);
    assert_int_equal(waiter.done_count, 1);
    assert_int_equal(waiter.why.code, ERROR_CANCELLED);
}

static void what_a_crash_left_is_cleared(void **state)
{
    struct image_world *world = *state;
    char *left = memory_format("%s/tmp/1/0/some/folder", world->store_folder);
    struct error why;

    image_world_close_store(world);
    assert_int_equal(folder_make(left, 0755, &why), 0);
    image_world_open_store(world);
    assert_int_equal(image_world_count(world, "tmp"), 0);
    free(left);
}

static void a_full_disk_is_told_and_cleaned(void **state)
{
    struct image_world *world = *state;

    image_world_close_store(world);
    if (mount("small", world->store_folder, "tmpfs", 0, "size=300k") != 0)
        skip();
    image_world_open_store(world);
    image_world_refuses(world, "app:1", ERROR_RESOURCE_EXHAUSTED,
                        "No space left");
    image_world_close_store(world);
    assert_int_equal(umount(world->store_folder), 0);
}

#define PULL_TEST(function)                                     \
    cmocka_unit_test_setup_teardown(function, image_world_open, \
                                    image_world_close)

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        PULL_TEST(an_image_is_pulled_and_unpacked),
        PULL_TEST(what_is_there_is_not_fetched_again),
        PULL_TEST(a_store_remembers_after_a_restart),
        PULL_TEST(an_image_with_a_missing_layer_is_pulled_again),
        PULL_TEST(pulls_of_one_reference_share_the_work),
        PULL_TEST(only_some_pulls_run_at_once),
        PULL_TEST(a_file_that_another_pull_writes_is_left_alone),
        PULL_TEST(an_index_leads_to_this_machines_manifest),
        PULL_TEST(a_layer_that_comes_twice_is_listed_once),
        PULL_TEST(a_layout_is_read_like_a_registry),
        PULL_TEST(a_layouts_tag_is_looked_up_and_its_image_kept),
        PULL_TEST(a_fifo_in_a_layout_is_refused),
        PULL_TEST(an_index_in_a_layout_is_kept_as_well),
        PULL_TEST(a_layouts_blobs_are_verified),
        PULL_TEST(an_unknown_tag_is_not_found),
        PULL_TEST(a_registry_that_is_down_is_named),
        PULL_TEST(a_damaged_blob_is_named),
        PULL_TEST(another_blob_of_the_same_content_is_refused),
        PULL_TEST(a_wrong_diff_id_is_named),
        PULL_TEST(a_wrong_manifest_is_named),
        PULL_TEST(a_manifest_of_a_wrong_type_is_named),
        PULL_TEST(a_manifest_that_is_too_large_is_refused),
        PULL_TEST(a_layer_that_climbs_out_is_named),
        PULL_TEST(what_a_layer_says_is_printable),
        PULL_TEST(a_blob_longer_than_said_is_refused),
        PULL_TEST(a_cancelled_pull_leaves_nothing),
        PULL_TEST(cancelling_one_of_two_lets_the_other_finish),
        PULL_TEST(closing_the_store_ends_its_pulls),
        PULL_TEST(what_a_crash_left_is_cleared),
        PULL_TEST(a_full_disk_is_told_and_cleaned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "image-pull") == 0)
        return image_pull_main(argc, argv);
    return run_all();
}
