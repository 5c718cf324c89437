/* Hard links of a layer to files of lower layers, in whole pulls. */
#include "base/fd.h"
#include "image_world.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

/* A layer's entries, space between: "NAME@TEXT" a file, "NAME=TARGET" a hard
 * link, "NAME>TARGET" a symbolic one, "NAME/" a folder. */
static const struct {
    const char *rule;
    const char *layers[TEST_IMAGE_LAYERS_MAX];
    /* Files of the layer on top; NULL: there is none, and if `refused` is
     * given that is part of the message. */
    const char *settled;
    const char *refused;
} stacks[] = {
    {"to a file below", {"a@1", "b=a"}, "b@1", NULL},
    {"of the nearest layer", {"a@1", "a@2", "b=a"}, "b@2", NULL},
    {"of one further down", {"a@1", "c@2", "b=a"}, "b@1", NULL},
    {"in folders", {"d/a@1", "e/f/b=d/a"}, "e/f/b@1", NULL},
    {"in the same layer, the target later", {"x@0", "b=a a@1"}, NULL, NULL},
    {"a later entry takes its place", {"a@1", "b=a b@2"}, NULL, NULL},
    {"replaced above", {"a@1", "b=a", "b@3"}, NULL, NULL},
    {"removed above", {"a@1", "b=a", ".wh.b@"}, NULL, NULL},
    {"its folder is removed above", {"a@1", "d/b=a", ".wh.d@"}, NULL, NULL},
    {"its folder is hidden above",
     {"a@1", "d/b=a", "d/.wh..wh..opq@ d/c@"},
     NULL,
     NULL},
    {"the target is removed above", {"a@1", "b=a", ".wh.a@"}, "b@1", NULL},
    {"the target changes above", {"a@1", "b=a", "a@3"}, "b@1", NULL},
    {"to a symbolic link", {"a>c", "b=a"}, "b>c", NULL},
    {"to nothing", {"a@1", "b=none"}, NULL, "b"},
    {"in the lowest layer", {"b=none"}, NULL, "none"},
    {"to what was removed", {"a@1", ".wh.a@", "b=a"}, NULL, "one below"},
    {"beneath a folder that was removed",
     {"d/a@1", ".wh.d@", "b=d/a"},
     NULL,
     "one below"},
    {"beneath a hidden folder",
     {"d/a@1", "d/.wh..wh..opq@ d/c@", "b=d/a"},
     NULL,
     "one below"},
    {"to a folder", {"d/", "b=d"}, NULL, "one below"},
    {"through a link below", {"d>/etc", "b=d/passwd"}, NULL, "one below"},
    {"through a folder that is a link",
     {"up>..", "b=up/up/etc/passwd"},
     NULL,
     "one below"},
};

static void add_word(struct archive_built *archive, const char *word)
{
    char path[64];
    size_t length = strcspn(word, "@=>");
    const char *rest = word + length + (word[length] != '\0');

    snprintf(path, sizeof path, "%.*s", (int)length, word);
    if (word[length] == '=')
        archive_built_hardlink(archive, path, rest);
    else if (word[length] == '>')
        archive_built_symlink(archive, path, rest);
    else if (word[length] == '@')
        archive_built_file(archive, path, rest);
    else
        archive_built_folder(archive, path);
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

/* "NAME@TEXT" or "NAME>TARGET" is what the layer holds there. */
static void holds(const struct image_world *world, const char *layer,
                  const char *word)
{
    size_t length = strcspn(word, "@>");
    CLEANUP(free_pointer)
    char *path = memory_format("%s/%s/%.*s", world->store_folder, layer,
                               (int)length, word);
    char text[64] = "";
    struct stat info;

    assert_int_equal(lstat(path, &info), 0);
    if (word[length] == '>') {
        assert_true(readlink(path, text, sizeof text - 1) > 0);
    } else {
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        assert_true(read(fd, text, sizeof text - 1) > 0);
        assert_int_equal(info.st_mtim.tv_sec, 1000000000);
        assert_int_equal(info.st_mode & 07777, 0644);
        close(fd);
    }
    assert_string_equal(text, word + length + 1);
}

static void links_are_as_the_layers_below_have_it(void **state)
{
    struct image_world *world = *state;

    for (size_t i = 0; i < ARRAY_LEN(stacks); i++) {
        size_t count = make_image(world, stacks[i].layers);
        struct image_waiter waiter;

        image_world_pull(world, &waiter, "app");
        if (stacks[i].refused) {
            assert_int_equal(waiter.why.code, ERROR_INVALID_ARGUMENT);
            if (!strstr(waiter.why.message, stacks[i].refused))
                fail_msg("%s: %s", stacks[i].rule, waiter.why.message);
        } else if (waiter.why.code) {
            fail_msg("%s: %s", stacks[i].rule, waiter.why.message);
        } else {
            if (waiter.image->n_layers != count + (stacks[i].settled != NULL))
                fail_msg("%s: %zu layers", stacks[i].rule,
                         waiter.image->n_layers);
            if (stacks[i].settled)
                holds(world, waiter.image->layers[count], stacks[i].settled);
        }
        image_waiter_fini(&waiter);
    }
}

/* Owner, mode, time and attributes go with the content. */
static void a_copy_is_like_its_file(void **state)
{
    struct image_world *world = *state;
    struct archive_entry *entry = archive_built_entry("a", AE_IFREG, 04751);
    struct archive_built archive;
    struct image_waiter waiter;
    CLEANUP(free_pointer) char *path = NULL;
    struct stat info;
    char value[8];

    test_image_free(&world->image);
    archive_entry_set_uid(entry, 7);
    archive_entry_set_gid(entry, 8);
    archive_entry_xattr_add_entry(entry, "user.note", "hi", 2);
    archive_built_begin(&archive);
    archive_built_add(&archive, entry, "text", 4);
    test_image_add_layer(&world->image, &archive);
    add_layer(&world->image, "d/ d/b=a");
    test_image_seal(&world->image);
    image_world_serve(world);
    image_world_pull(world, &waiter, "app");
    assert_int_equal(waiter.why.code, 0);
    assert_int_equal(waiter.image->n_layers, 3);
    path = memory_format("%s/%s/d/b", world->store_folder,
                         waiter.image->layers[2]);
    assert_int_equal(lstat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 04751);
    assert_int_equal(info.st_uid, 7);
    assert_int_equal(info.st_gid, 8);
    assert_int_equal(info.st_mtim.tv_sec, 1000000000);
    assert_int_equal(info.st_size, 4);
    if (getxattr(path, "user.note", value, sizeof value) != 2)
        print_message("this file system has no user attributes\n");
    image_waiter_fini(&waiter);
}

#define PULL_TEST(function)                                     \
    cmocka_unit_test_setup_teardown(function, image_world_open, \
                                    image_world_close)

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        PULL_TEST(links_are_as_the_layers_below_have_it),
        PULL_TEST(a_copy_is_like_its_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "image-pull") == 0)
        return image_pull_main(argc, argv);
    return run_all();
}
