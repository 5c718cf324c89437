/* Folders that layers only imply, in whole pulls. */
#include "image_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* A layer's entries, space between: "0750:5:6:NAME/" is a folder with mode
 * and owner, "NAME>" a symbolic link to somewhere, "NAME" a file. */
static const struct {
    const char *rule;
    const char *layers[TEST_IMAGE_LAYERS_MAX];
    /* What the layer on top holds, in the same words; NULL: there is none. */
    const char *settled;
} stacks[] = {
    {"as the layer below has it",
     {"0750:5:6:srv/", "srv/file"},
     "0750:5:6:srv/"},
    {"nobody knows better", {"etc/x", "srv/file"}, NULL},
    {"it is so below", {"0755:0:0:srv/", "srv/file"}, NULL},
    {"listed above", {"0750:5:6:srv/", "0700:0:0:srv/ srv/file"}, NULL},
    {"implied twice", {"0750:5:6:srv/", "srv/1", "srv/2"}, "0750:5:6:srv/"},
    {"listed in between",
     {"0750:5:6:srv/", "0711:7:7:srv/", "srv/2"},
     "0711:7:7:srv/"},
    {"on the way to it",
     {"0700:1:1:a/ 0711:2:2:a/b/", "0755:3:3:a/", "a/b/c/x"},
     "0755:3:3:a/ 0711:2:2:a/b/"},
    {"removed in between", {"0750:5:6:srv/", ".wh.srv", "srv/file"}, NULL},
    {"hidden by its own layer",
     {"0750:5:6:srv/", "srv/.wh..wh..opq srv/file"},
     NULL},
    {"its parent is hidden",
     {"0700:1:1:a/ 0750:5:6:a/b/", "0700:1:1:a/ a/.wh..wh..opq a/b/file"},
     NULL},
    {"a link below", {"srv>", "srv/file"}, NULL},
    {"a file above", {"0750:5:6:srv/", "srv/file", "srv"}, NULL},
};

static void add_word(struct archive_built *archive, const char *word)
{
    char path[64];
    unsigned mode;
    int uid;
    int gid;
    struct archive_entry *entry;

    if (sscanf(word, "%o:%d:%d:%63s", &mode, &uid, &gid, path) == 4) {
        entry = archive_built_entry(path, AE_IFDIR, mode);
        archive_entry_set_uid(entry, uid);
        archive_entry_set_gid(entry, gid);
        archive_built_add(archive, entry, NULL, 0);
    } else if (word[strlen(word) - 1] == '>') {
        snprintf(path, sizeof path, "%.*s", (int)strlen(word) - 1, word);
        archive_built_symlink(archive, path, "somewhere");
    } else {
        archive_built_file(archive, word, "x");
    }
}

static void add_layer(struct test_image *image, const char *words)
{
    char *copy = memory_string(words);
    struct archive_built archive;
    char *rest;

    archive_built_begin(&archive);
    for (char *word = strtok_r(copy, " ", &rest); word;
         word = strtok_r(NULL, " ", &rest))
        add_word(&archive, word);
    test_image_add_layer(image, &archive);
    free(copy);
}

/* The folders of the store's layer in the words of the table. */
static char *describe(const struct image_world *world, const char *layer,
                      const char *words)
{
    char *copy = memory_string(words);
    char *text = memory_string("");
    char *rest;

    for (char *word = strtok_r(copy, " ", &rest); word;
         word = strtok_r(NULL, " ", &rest)) {
        const char *name = strrchr(word, ':') + 1;
        char *path =
            memory_format("%s/%s/%s", world->store_folder, layer, name);
        char *longer;
        struct stat info;

        if (lstat(path, &info) != 0)
            fail_msg("%s is not there", path);
        assert_int_equal(info.st_mtim.tv_sec, 1000000000);
        longer =
            memory_format("%s%s%04o:%u:%u:%s", text, text[0] ? " " : "",
                          info.st_mode & 07777, info.st_uid, info.st_gid, name);
        free(text);
        free(path);
        text = longer;
    }
    free(copy);
    return text;
}

static size_t make_image(struct image_world *world,
                         const char *const layers[TEST_IMAGE_LAYERS_MAX])
{
    size_t count = 0;

    world->registry.route_count = 0; /* the former image's */
    test_image_free(&world->image);
    for (; count < TEST_IMAGE_LAYERS_MAX && layers[count]; count++)
        add_layer(&world->image, layers[count]);
    test_image_seal(&world->image);
    image_world_serve(world);
    return count;
}

static void implied_folders_are_as_lower_layers_have_them(void **state)
{
    struct image_world *world = *state;

    for (size_t i = 0; i < ARRAY_LEN(stacks); i++) {
        size_t count = make_image(world, stacks[i].layers);
        const char *settled = stacks[i].settled;
        struct image_waiter waiter;
        char *text;

        image_world_pull(world, &waiter, "app"); /* latest: asked for anew */
        if (waiter.why.code != 0)
            fail_msg("%s: %s", stacks[i].rule, waiter.why.message);
        if (waiter.image->n_layers != count + (settled != NULL))
            fail_msg("%s: %zu layers", stacks[i].rule, waiter.image->n_layers);
        if (settled) {
            text = describe(world, waiter.image->layers[count], settled);
            if (strcmp(text, settled) != 0)
                fail_msg("%s: %s", stacks[i].rule, text);
            free(text);
        }
        image_waiter_fini(&waiter);
        assert_int_equal(image_world_count(world, "tmp"), 0);
    }
}

/* By another image, whose layers are all here, and from the store. */
static void what_was_settled_is_used_again(void **state)
{
    static const char *const layers[TEST_IMAGE_LAYERS_MAX] = {"0750:5:6:srv/",
                                                              "srv/file"};
    struct image_world *world = *state;
    struct image_waiter waiter;

    make_image(world, layers);
    for (int i = 0; i < 3; i++) {
        image_world_pull(world, &waiter, i == 0 ? "app:latest" : "app:1");
        assert_int_equal(waiter.why.code, 0);
        assert_int_equal(waiter.image->n_layers, 3);
        image_waiter_fini(&waiter);
        assert_int_equal(image_world_count(world, "layers/sha256"), 3);
    }
}

/* Sorting many may take calls that the sandbox does not allow. */
static void many_folders_are_implied(void **state)
{
    enum { FOLDERS = 3000 };
    struct image_world *world = *state;
    struct archive_built archive;

    test_image_free(&world->image);
    archive_built_begin(&archive);
    for (int i = FOLDERS; i-- > 0;) {
        char path[64];

        snprintf(path, sizeof path, "d%d/file", i);
        archive_built_file(&archive, path, "x");
    }
    test_image_add_layer(&world->image, &archive);
    test_image_seal(&world->image);
    image_world_serve(world);
    image_world_pulls(world, "app");
}

#define PULL_TEST(function)                                     \
    cmocka_unit_test_setup_teardown(function, image_world_open, \
                                    image_world_close)

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        PULL_TEST(implied_folders_are_as_lower_layers_have_them),
        PULL_TEST(what_was_settled_is_used_again),
        PULL_TEST(many_folders_are_implied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "image-pull") == 0)
        return image_pull_main(argc, argv);
    return run_all();
}
