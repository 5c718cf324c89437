/* Images whose parts are not what their media types say (CVE-2021-41190, and
 * layers): another reader would see another image in the same digest. */
#include "image_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar"

/* ---- layers -------------------------------------------------------------- */

/* What the image's first layer, which is gzipped, is said to be. The last is
 * taken: from then on the layer is here. */
static const struct {
    const char *type;
    const char *refused; /* part of the message */
} layer_types[] = {
    {OCI_LAYER, "\"" OCI_LAYER "\", and its bytes are gzip"},
    {OCI_LAYER "+zstd", "\"" OCI_LAYER "+zstd\", and its bytes are gzip"},
    {DOCKER_LAYER ".zstd", "\"" DOCKER_LAYER ".zstd\", and its bytes are gzip"},
    {DOCKER_LAYER, NULL}, /* as old builders wrote it */
};

/* The manifest with the first layer's type replaced; to be freed. */
static char *relabel(const struct test_image *image, const char *type)
{
    const char *old = OCI_LAYER "+gzip";
    const char *at = strstr(image->manifest, old);

    return memory_format("%.*s%s%s", (int)(at - image->manifest),
                         image->manifest, type, at + strlen(old));
}

static void layers_are_what_their_type_says(void **state)
{
    struct image_world *world = *state;

    for (size_t i = 0; i < ARRAY_LEN(layer_types); i++) {
        CLEANUP(free_pointer)
        char *manifest = relabel(&world->image, layer_types[i].type);
        struct fake_route route =
            image_manifest_route("1", MANIFEST_TYPE, manifest);

        fake_registry_serve(&world->registry, &route);
        if (layer_types[i].refused)
            image_world_refuses(world, "app:1", ERROR_INVALID_ARGUMENT,
                                layer_types[i].refused);
        else
            image_world_pulls(world, "app:1");
    }
}

static void a_plain_layer_is_not_a_gzipped_one(void **state)
{
    struct image_world *world = *state;
    struct test_image *image = &world->image;
    struct archive_built archive;

    archive_built_begin(&archive);
    archive_built_file(&archive, "f", "content");
    archive_built_end(&archive);
    test_image_free(image);
    image->layer_count = 1;
    image->lengths[0] = archive.length;
    image->blobs[0] = memory_new(archive.length);
    memcpy(image->blobs[0], archive.bytes, archive.length);
    digest_of(archive.bytes, archive.length, &image->digests[0]);
    image->diff_ids[0] = image->digests[0];
    archive_built_free(&archive);
    test_image_seal(image);
    image_world_serve(world);
    image_world_refuses(world, "app:1", ERROR_INVALID_ARGUMENT,
                        "+gzip\", and its bytes are not compressed");
}

/* ---- manifests and indexes ----------------------------------------------- */

/* An index of one entry for this machine, which says that it is of `type`. */
static char *make_index(const char *type, const char *document)
{
    struct digest digest;

    digest_of(document, strlen(document), &digest);
    return memory_format(
        "{\"schemaVersion\":2,\"mediaType\":\"" INDEX_TYPE
        "\",\"manifests\":[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":"
        "%zu,\"platform\":{\"os\":\"linux\",\"architecture\":\"%s\"}}]}",
        type, digest.text, strlen(document), platform_here().architecture);
}

/* Pull an index that lists `document`, which the registry sends as `sent`, as
 * `listed`: refused with `said`, or taken. */
static void pull_listed(struct image_world *world, const char *document,
                        const char *listed, const char *sent, const char *said)
{
    CLEANUP(free_pointer) char *index = make_index(listed, document);
    struct fake_route route = image_manifest_route("1", INDEX_TYPE, index);
    struct digest digest;

    fake_registry_serve(&world->registry, &route);
    digest_of(document, strlen(document), &digest);
    route = image_manifest_route(digest.text, sent, document);
    fake_registry_serve(&world->registry, &route);
    if (said)
        image_world_refuses(world, "app:1", ERROR_INVALID_ARGUMENT, said);
    else
        image_world_pulls(world, "app:1");
}

static void what_is_sent_is_what_is_listed(void **state)
{
    struct image_world *world = *state;
    const char *manifest = world->image.manifest;
    CLEANUP(free_pointer) char *inner = make_index(MANIFEST_TYPE, manifest);

    pull_listed(world, manifest, MANIFEST_TYPE, INDEX_TYPE,
                "\", was sent as \"" INDEX_TYPE "\"");
    pull_listed(world, inner, INDEX_TYPE, MANIFEST_TYPE,
                "\", was sent as \"" MANIFEST_TYPE "\"");
    pull_listed(world, manifest, MANIFEST_TYPE, "application/json", NULL);
}

/* The registry agrees with the descriptor, and the document does not. */
static void a_document_is_what_is_listed(void **state)
{
    struct image_world *world = *state;
    const char *manifest = world->image.manifest;
    CLEANUP(free_pointer) char *inner = make_index(MANIFEST_TYPE, manifest);

    pull_listed(world, inner, MANIFEST_TYPE, MANIFEST_TYPE,
                "says it is \"" INDEX_TYPE "\"");
    pull_listed(world, manifest, INDEX_TYPE, INDEX_TYPE,
                "says it is \"" MANIFEST_TYPE "\"");
}

#define PULL_TEST(function)                                     \
    cmocka_unit_test_setup_teardown(function, image_world_open, \
                                    image_world_close)

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        PULL_TEST(layers_are_what_their_type_says),
        PULL_TEST(a_plain_layer_is_not_a_gzipped_one),
        PULL_TEST(what_is_sent_is_what_is_listed),
        PULL_TEST(a_document_is_what_is_listed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "image-pull") == 0)
        return image_pull_main(argc, argv);
    return run_all();
}
