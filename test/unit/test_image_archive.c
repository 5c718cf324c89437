/* Images in one file: archives as skopeo and docker write them, and bad ones.
 */
#include "base/fd.h"
#include "image_world.h"

#include <archive.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void add(struct archive_built *built, const char *path,
                const void *bytes, size_t length)
{
    archive_built_add(built, archive_built_entry(path, AE_IFREG, 0644), bytes,
                      length);
}

static void add_text(struct archive_built *built, const char *path,
                     const char *text)
{
    add(built, path, text, strlen(text));
}

static void add_blob(struct archive_built *built, const void *bytes,
                     size_t length)
{
    struct digest digest;
    char path[128];

    digest_of(bytes, length, &digest);
    snprintf(path, sizeof path, "blobs/sha256/%s", digest_hex(&digest));
    add(built, path, bytes, length);
}

/* A layout of world->image with the tag "web". */
static void add_layout(struct archive_built *built,
                       const struct test_image *image)
{
    CLEANUP(free_pointer)
    char *index = memory_format(
        "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" MANIFEST_TYPE
        "\",\"digest\":\"%s\",\"size\":%zu,\"annotations\":"
        "{\"org.opencontainers.image.ref.name\":\"web\"}}]}",
        image->manifest_digest.text, strlen(image->manifest));

    add_text(built, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    add_text(built, "index.json", index);
    add_blob(built, image->manifest, strlen(image->manifest));
    add_blob(built, image->config, strlen(image->config));
    for (int i = 0; i < image->layer_count; i++)
        add_blob(built, image->blobs[i], image->lengths[i]);
}

/* What `docker save` writes: two layers, the upper one again by a link as its
 * old versions write it; `names` are its RepoTags. */
static void add_docker(struct archive_built *built,
                       const struct test_image *image, const char *names,
                       const char *config)
{
    CLEANUP(free_pointer)
    char *manifest =
        memory_format("[{\"Config\":\"%s\",\"RepoTags\":[%s],\"Layers\":"
                      "[\"one/layer.tar\",\"two/layer.tar\"]}]",
                      config, names);

    archive_built_folder(built, "one");
    add(built, "one/layer.tar", image->blobs[0], image->lengths[0]);
    add(built, "there.tar", image->blobs[1], image->lengths[1]);
    archive_built_folder(built, "two");
    archive_built_symlink(built, "two/layer.tar", "../there.tar");
    add_text(built, "c.json", image->config);
    add_text(built, "manifest.json", manifest);
}

/* End the archive and put it into a file, whose path is to be freed. */
static char *put(struct image_world *world, struct archive_built *built,
                 bool gzipped)
{
    char *path = memory_format("%s/image.tar", world->folder);
    size_t length;
    uint8_t *packed;

    archive_built_end(built);
    packed = gzip_bytes(built->bytes, built->length, &length);
    image_world_put_file(world->folder, "image.tar",
                         gzipped ? packed : built->bytes,
                         gzipped ? length : built->length);
    free(packed);
    archive_built_free(built);
    return path;
}

/* Pull KIND:PATH[:CHOICE]; with `code` 0 both layers have to be there. */
static void pull(struct image_world *world, const char *kind, const char *path,
                 const char *choice, int code, const char *part)
{
    CLEANUP(free_pointer)
    char *reference =
        memory_format("%s:%s%s%s", kind, path, choice[0] ? ":" : "", choice);
    struct image_waiter waiter;

    image_waiter_start(world, &waiter, reference);
    uv_run(&world->loop, UV_RUN_DEFAULT);
    if ((int)waiter.why.code != code || !strstr(waiter.why.message, part))
        fail_msg("%s: %s: %s", reference, error_name((int)waiter.why.code),
                 waiter.why.message);
    if (code == 0)
        for (int i = 0; i < 2; i++)
            assert_string_equal(waiter.image->layers[i] +
                                    strlen("layers/sha256/"),
                                digest_hex(&world->image.diff_ids[i]));
    image_waiter_fini(&waiter);
    assert_int_equal(image_world_count(world, "tmp"), 0);
}

static void a_layout_in_an_archive_is_read(void **state)
{
    struct image_world *world = *state;

    for (int gzipped = 0; gzipped < 2; gzipped++) {
        struct archive_built built;
        CLEANUP(free_pointer) char *path = NULL;

        archive_built_begin(&built);
        add_layout(&built, &world->image);
        path = put(world, &built, gzipped);
        pull(world, "oci-archive", path, "none", ERROR_NOT_FOUND, "\"none\"");
        pull(world, "oci-archive", path, "web", 0, "");
        pull(world, "oci-archive", path, "", 0, "");
    }
    assert_int_equal(image_world_count(world, "layers/sha256"), 2);
}

static void what_docker_saves_is_read(void **state)
{
    struct image_world *world = *state;
    struct archive_built built;
    CLEANUP(free_pointer) char *path = NULL;

    archive_built_begin(&built);
    add_docker(&built, &world->image, "\"web:1\",\"r.io/a/web:2\"", "c.json");
    path = put(world, &built, false);
    pull(world, "docker-archive", path, "", 0, "");
    pull(world, "docker-archive", path, "web:1", 0, "");
    pull(world, "docker-archive", path, "docker.io/library/web:1", 0, "");
    pull(world, "docker-archive", path, "r.io/a/web:2", 0, "");
    pull(world, "docker-archive", path, "web", ERROR_NOT_FOUND,
         "library/web:latest but web:1, r.io/a/web:2");
    pull(world, "oci-archive", path, "", ERROR_NOT_FOUND, "oci-layout");
}

/* As long as the file is the same it is not read again. */
static void a_file_that_did_not_change_is_not_unpacked_again(void **state)
{
    struct image_world *world = *state;
    struct archive_built built;
    CLEANUP(free_pointer) char *path = NULL;

    archive_built_begin(&built);
    add_layout(&built, &world->image);
    path = put(world, &built, false);
    pull(world, "oci-archive", path, "web", 0, "");
    image_world_close_store(world);
    image_world_open_store(world);
    pull(world, "oci-archive", path, "web", 0, "");
    assert_int_equal(image_world_count(world, "refs"), 1);
    assert_int_equal(truncate(path, 100), 0);
    pull(world, "oci-archive", path, "web", ERROR_DATA_LOSS, path);
}

static void archives_that_climb_out_are_refused(void **state)
{
    struct image_world *world = *state;
    struct archive_built built;
    CLEANUP(free_pointer) char *path = NULL;

    archive_built_begin(&built);
    archive_built_symlink(&built, "out", world->folder);
    add_text(&built, "out/escaped", "!");
    path = put(world, &built, false);
    pull(world, "oci-archive", path, "", ERROR_INVALID_ARGUMENT, "out/escaped");
    free(path);
    archive_built_begin(&built);
    archive_built_symlink(&built, "c.json", "/etc/passwd");
    add_text(&built, "manifest.json",
             "[{\"Config\":\"c.json\",\"Layers\":[]}]");
    path = put(world, &built, false);
    pull(world, "docker-archive", path, "", ERROR_INVALID_ARGUMENT, "c.json");
}

/* What is written beside an archive's own files stays apart from them. */
static void links_in_place_of_what_is_written_lead_nowhere(void **state)
{
    struct image_world *world = *state;
    CLEANUP(free_pointer)
    char *target = memory_format("%s/target", world->folder);
    struct archive_built built;
    CLEANUP(free_pointer) char *path = NULL;
    struct stat info;

    image_world_put_file(world->folder, "target", "same", 4);
    archive_built_begin(&built);
    archive_built_symlink(&built, "blobs", world->folder);
    archive_built_symlink(&built, "index.json", target);
    archive_built_symlink(&built, "index.json.new", target);
    archive_built_symlink(&built, "oci-layout.new", target);
    add_docker(&built, &world->image, "", "c.json");
    path = put(world, &built, false);
    pull(world, "docker-archive", path, "", 0, "");
    assert_int_equal(stat(target, &info), 0);
    assert_int_equal(info.st_size, 4);
    assert_int_not_equal(access(world->folder, W_OK), -1);
}

static const struct {
    const char *json;
    int code;
    const char *part;
} bad_lists[] = {
    {"", ERROR_INVALID_ARGUMENT, "no list"},
    {"{}", ERROR_INVALID_ARGUMENT, "no list"},
    {"[]", ERROR_INVALID_ARGUMENT, "no list"},
    {"[{},{\"RepoTags\":[\"b:1\"]}]", ERROR_INVALID_ARGUMENT,
     "2 images: name one of b:1"},
    {"[{}]", ERROR_INVALID_ARGUMENT, "no list of at most"},
    {"[7]", ERROR_INVALID_ARGUMENT, "no list of at most"},
    {"[{\"Layers\":[]}]", ERROR_INVALID_ARGUMENT, "name is missing"},
    {"[{\"Layers\":[7]}]", ERROR_INVALID_ARGUMENT, "name is missing"},
    {"[{\"Layers\":[\"../../x\"]}]", ERROR_INVALID_ARGUMENT, "../../x"},
    {"[{\"Layers\":[\"/etc/passwd\"]}]", ERROR_INVALID_ARGUMENT, "/etc/passwd"},
    {"[{\"Layers\":[\"none.tar\"]}]", ERROR_NOT_FOUND, "none.tar"},
    {"[{\"Layers\":[\"manifest.json\"],\"Config\":\"manifest.json\"}]",
     ERROR_INVALID_ARGUMENT, "config"},
};

static void bad_lists_are_refused(void **state)
{
    struct image_world *world = *state;

    for (size_t i = 0; i < ARRAY_LEN(bad_lists); i++) {
        struct archive_built built;
        CLEANUP(free_pointer) char *path = NULL;

        archive_built_begin(&built);
        add_text(&built, "manifest.json", bad_lists[i].json);
        path = put(world, &built, false);
        pull(world, "docker-archive", path, "", bad_lists[i].code,
             bad_lists[i].part);
    }
}

/* They would be read into memory whole (CVE-2023-25153). */
static void lists_without_end_are_refused(void **state)
{
    static const struct {
        const char *kind, *file, *said;
    } lists[] = {
        {"docker-archive", "manifest.json",
         "manifest.json: larger than 4194304 bytes"},
        {"oci-archive", "index.json", "index.json: larger than 4194304 bytes"},
        {"oci-archive", "oci-layout", "oci-layout: larger than 4096 bytes"},
    };
    struct image_world *world = *state;
    CLEANUP(free_pointer) char *spaces = memory_new(MANIFEST_MAX_BYTES + 1);

    memset(spaces, ' ', MANIFEST_MAX_BYTES + 1);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        struct archive_built built;
        CLEANUP(free_pointer) char *path = NULL;

        archive_built_begin(&built);
        add_text(&built, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
        add(&built, lists[i].file, spaces, MANIFEST_MAX_BYTES + 1);
        path = put(world, &built, true);
        pull(world, lists[i].kind, path, "", ERROR_RESOURCE_EXHAUSTED,
             lists[i].said);
    }
}

static void wrong_files_are_named(void **state)
{
    struct image_world *world = *state;
    struct archive_built built;
    CLEANUP(free_pointer) char *path = NULL;

    /* The config is another image's: its diffIDs tell. */
    archive_built_begin(&built);
    world->image.config[strlen(world->image.config) - 10] ^= 1;
    add_docker(&built, &world->image, "", "c.json");
    path = put(world, &built, false);
    pull(world, "docker-archive", path, "", ERROR_DATA_LOSS, "config says");
    pull(world, "docker-archive", "/nowhere", "", ERROR_NOT_FOUND, "/nowhere");
    pull(world, "oci-archive", world->folder, "", ERROR_FAILED_PRECONDITION,
         "no file");
    image_world_put_file(world->folder, "image.tar", "noise noise noise", 17);
    pull(world, "oci-archive", path, "", ERROR_DATA_LOSS, path);
}

/* ---- file systems -------------------------------------------------------- */

static void put_superblock(struct image_world *world, const char *magic,
                           off_t offset)
{
    CLEANUP(free_pointer)
    char *path = memory_format("%s/root.img", world->folder);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_int_equal(pwrite(fd, magic, strlen(magic), offset),
                     (ssize_t)strlen(magic));
    close(fd);
}

static const struct {
    const char *kind;
    const char *magic;
    off_t offset;
} file_systems[] = {
    {"squashfs", "hsqs", 0},
    {"erofs", "\xe2\xe1\xf5\xe0", 1024},
    {"ext4", "\x53\xef", 1080},
};

static void file_systems_are_linked(void **state)
{
    struct image_world *world = *state;

    for (size_t i = 0; i < ARRAY_LEN(file_systems); i++) {
        CLEANUP(free_pointer)
        char *reference = memory_format("%s:%s/root.img", file_systems[i].kind,
                                        world->folder);
        CLEANUP(free_pointer) char *link = NULL;
        struct image_waiter waiter;
        struct stat info;

        put_superblock(world, file_systems[i].magic, file_systems[i].offset);
        image_waiter_start(world, &waiter, reference);
        uv_run(&world->loop, UV_RUN_DEFAULT);
        if (waiter.why.code)
            fail_msg("%s", waiter.why.message);
        assert_int_equal(waiter.image->n_layers, 1);
        link = memory_format("%s/%s", world->store_folder,
                             waiter.image->layers[0]);
        assert_int_equal(stat(link, &info), 0);
        assert_true(S_ISREG(info.st_mode));
        image_waiter_fini(&waiter);
        put_superblock(world, "nothing", 2048);
        image_waiter_start(world, &waiter, reference);
        uv_run(&world->loop, UV_RUN_DEFAULT);
        assert_int_equal(waiter.why.code, ERROR_INVALID_ARGUMENT);
        assert_non_null(strstr(waiter.why.message, "holds no"));
        image_waiter_fini(&waiter);
    }
    assert_int_equal(image_world_count(world, "tmp"), 0);
}

#define PULL_TEST(function)                                     \
    cmocka_unit_test_setup_teardown(function, image_world_open, \
                                    image_world_close)

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        PULL_TEST(a_layout_in_an_archive_is_read),
        PULL_TEST(what_docker_saves_is_read),
        PULL_TEST(a_file_that_did_not_change_is_not_unpacked_again),
        PULL_TEST(archives_that_climb_out_are_refused),
        PULL_TEST(links_in_place_of_what_is_written_lead_nowhere),
        PULL_TEST(bad_lists_are_refused),
        PULL_TEST(lists_without_end_are_refused),
        PULL_TEST(wrong_files_are_named),
        PULL_TEST(file_systems_are_linked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "image-pull") == 0)
        return image_pull_main(argc, argv);
    return run_all();
}
