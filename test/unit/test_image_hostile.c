/* Layers that try to get out of their folder. */
#include "layer_world.h"
#include "node/image/beneath.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* ---- hostile archives ---------------------------------------------------- */

static void dot_dot_is_refused(void **state)
{
    archive_built_file(&((struct layer_world *)*state)->archive,
                       "a/../../canary", "x");
    layer_world_refuses(*state, ERROR_INVALID_ARGUMENT, "a/../../canary",
                        "\"..\"");
}

static void dot_dot_is_refused_in_hard_links(void **state)
{
    archive_built_hardlink(&((struct layer_world *)*state)->archive, "a",
                           "../canary");
    layer_world_refuses(*state, ERROR_INVALID_ARGUMENT, "entry \"a\"",
                        "../canary");
}

static void leading_slashes_are_dropped(void **state)
{
    struct layer_world *world = *state;

    archive_built_file(&world->archive, "//etc/x", "x");
    archive_built_hardlink(&world->archive, "/y", "/etc/x");
    layer_world_unpacks(world);
    layer_world_holds(world, "etc/x", "x");
    layer_world_holds(world, "y", "x");
}

static void file_through_a_link_up_is_refused(void **state)
{
    struct layer_world *world = *state;

    archive_built_symlink(&world->archive, "up", "..");
    archive_built_file(&world->archive, "up/canary", "dead");
    layer_world_refuses(world, ERROR_INVALID_ARGUMENT, "up/canary",
                        "out of the layer");
}

static void file_through_an_absolute_link_is_refused(void **state)
{
    struct layer_world *world = *state;

    archive_built_symlink(&world->archive, "tmp", world->outer);
    archive_built_file(&world->archive, "tmp/canary", "dead");
    layer_world_refuses(world, ERROR_INVALID_ARGUMENT, "tmp/canary",
                        "out of the layer");
}

static void folder_through_a_link_up_is_refused(void **state)
{
    struct layer_world *world = *state;

    archive_built_symlink(&world->archive, "up", "../");
    archive_built_file(&world->archive, "up/new/file", "x");
    layer_world_refuses(world, ERROR_INVALID_ARGUMENT, "up/new/file",
                        "out of the layer");
}

static void whiteout_through_a_link_up_is_refused(void **state)
{
    struct layer_world *world = *state;

    archive_built_symlink(&world->archive, "up", "..");
    archive_built_file(&world->archive, "up/.wh.canary", "");
    layer_world_refuses(world, ERROR_INVALID_ARGUMENT, "up/.wh.canary",
                        "out of the layer");
}

static void hard_link_through_a_link_up_is_refused(void **state)
{
    struct layer_world *world = *state;

    archive_built_symlink(&world->archive, "up", "..");
    archive_built_hardlink(&world->archive, "mine", "up/canary");
    layer_world_refuses(world, ERROR_INVALID_ARGUMENT, "entry \"mine\"",
                        "out of the layer");
}

static void a_file_replaces_a_link_and_not_what_it_leads_to(void **state)
{
    struct layer_world *world = *state;

    archive_built_symlink(&world->archive, "x", "../canary");
    archive_built_file(&world->archive, "x", "mine");
    archive_built_symlink(&world->archive, "y", "../canary");
    archive_built_folder(&world->archive, "y");
    archive_built_symlink(&world->archive, "z", "../canary");
    archive_built_add(&world->archive, archive_built_entry("z", AE_IFIFO, 0666),
                      NULL, 0);
    layer_world_unpacks(world);
    layer_world_holds(world, "x", "mine");
    assert_true(S_ISDIR(layer_world_stat(world, "y").st_mode));
    assert_true(S_ISFIFO(layer_world_stat(world, "z").st_mode));
}

/* A folder is opened, then replaced by a link: the open one must not serve
 * for what comes through the link. */
static void a_folder_that_became_a_link_is_looked_up_anew(void **state)
{
    struct layer_world *world = *state;

    archive_built_file(&world->archive, "d/one", "1");
    archive_built_symlink(&world->archive, "d", "..");
    archive_built_file(&world->archive, "d/canary", "dead");
    layer_world_refuses(world, ERROR_INVALID_ARGUMENT, "d/canary",
                        "out of the layer");
}

static void links_inside_are_followed(void **state)
{
    struct layer_world *world = *state;

    archive_built_folder(&world->archive, "usr/lib");
    archive_built_symlink(&world->archive, "lib", "usr/lib");
    archive_built_file(&world->archive, "lib/libc.so", "x");
    layer_world_unpacks(world);
    layer_world_holds(world, "usr/lib/libc.so", "x");
    assert_true(S_ISLNK(layer_world_stat(world, "lib").st_mode));
}

static void whiteouts_of_dots_are_refused(void **state)
{
    archive_built_file(&((struct layer_world *)*state)->archive, "a/.wh...",
                       "");
    layer_world_refuses(*state, ERROR_INVALID_ARGUMENT, "a/.wh...", "whiteout");
}

static void the_root_cannot_be_replaced(void **state)
{
    archive_built_symlink(&((struct layer_world *)*state)->archive, "./", "/");
    layer_world_refuses(*state, ERROR_INVALID_ARGUMENT, "./", "root");
}

static void a_file_is_no_folder(void **state)
{
    struct layer_world *world = *state;

    archive_built_file(&world->archive, "f", "x");
    archive_built_file(&world->archive, "f/g", "x");
    layer_world_refuses(world, ERROR_INVALID_ARGUMENT, "f/g",
                        "Not a directory");
}

/* Whether a lower layer has it, the image's other layers tell. */
static void hard_links_to_nothing_are_told(void **state)
{
    struct layer_world *world = *state;

    archive_built_hardlink(&world->archive, "./a", "/none//b");
    layer_world_unpacks(world);
    assert_false(layer_world_has(world, "a"));
    assert_int_equal(buffer_length(&world->implied), sizeof "/a//none/b");
    assert_string_equal((char *)buffer_data(&world->implied), "/a//none/b");
}

static void hard_links_to_folders_are_refused(void **state)
{
    struct layer_world *world = *state;

    archive_built_folder(&world->archive, "d");
    archive_built_hardlink(&world->archive, "a", "d");
    layer_world_refuses(world, ERROR_INVALID_ARGUMENT, "entry \"a\"",
                        "a folder");
}

/* A hard link whose place is the folder that its target is in. */
static void a_hard_link_in_its_targets_way_is_refused(void **state)
{
    struct layer_world *world = *state;

    archive_built_file(&world->archive, "d/f", "x");
    archive_built_hardlink(&world->archive, "d", "d/f");
    layer_world_refuses(world, ERROR_INVALID_ARGUMENT, "entry \"d\"", "d/f");
}

static void long_names_are_refused(void **state)
{
    struct layer_world *world = *state;
    char name[300];

    memset(name, 'n', sizeof name);
    name[255] = '\0';
    archive_built_file(&world->archive, name, "fits");
    name[255] = 'n';
    name[256] = '\0';
    archive_built_file(&world->archive, name, "does not");
    layer_world_refuses(world, ERROR_INVALID_ARGUMENT, "nnn",
                        "longer than 255");
    name[255] = '\0';
    layer_world_holds(world, name, "fits");
}

static void long_paths_are_refused(void **state)
{
    struct layer_world *world = *state;
    char path[BENEATH_PATH_MAX + 2];

    for (size_t i = 0; i < sizeof path; i++)
        path[i] = i % 2 ? '/' : 'p';
    path[BENEATH_PATH_MAX + 1] = '\0';
    archive_built_file(&world->archive, path, "x");
    layer_world_refuses(world, ERROR_INVALID_ARGUMENT, "p/p/p",
                        "longer than 4095");
}

/* "p/p/p", so many names. */
static void make_deep(char path[2 * BENEATH_DEPTH_MAX + 2], int depth)
{
    for (int i = 0; i < 2 * depth; i++)
        path[i] = i % 2 ? '/' : 'p';
    path[2 * depth - 1] = '\0';
}

static void deep_paths_are_made(void **state)
{
    struct layer_world *world = *state;
    char path[2 * BENEATH_DEPTH_MAX + 2];

    make_deep(path, BENEATH_DEPTH_MAX);
    archive_built_file(&world->archive, path, "x");
    layer_world_unpacks(world);
    layer_world_holds(world, path, "x");
}

static void deeper_paths_are_refused(void **state)
{
    struct layer_world *world = *state;
    char path[2 * BENEATH_DEPTH_MAX + 2];

    make_deep(path, BENEATH_DEPTH_MAX + 1);
    archive_built_hardlink(&world->archive, "link", path);
    layer_world_refuses(world, ERROR_INVALID_ARGUMENT, "entry \"link\"",
                        "256 levels deep");
    archive_built_free(&world->archive);
    archive_built_begin(&world->archive);
    archive_built_file(&world->archive, path, "x");
    layer_world_refuses(world, ERROR_INVALID_ARGUMENT, "p/p/p",
                        "256 levels deep");
    assert_false(layer_world_has(world, "p"));
}

static void impossible_owners_are_refused(void **state)
{
    struct layer_world *world = *state;
    struct archive_entry *entry = archive_built_entry("f", AE_IFREG, 0644);

    archive_entry_set_uid(entry, INT64_C(0xffffffff));
    archive_built_add(&world->archive, entry, "x", 1);
    layer_world_refuses(world, ERROR_INVALID_ARGUMENT, "entry \"f\"", "owner");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAYER_TEST(dot_dot_is_refused),
        LAYER_TEST(dot_dot_is_refused_in_hard_links),
        LAYER_TEST(leading_slashes_are_dropped),
        LAYER_TEST(file_through_a_link_up_is_refused),
        LAYER_TEST(file_through_an_absolute_link_is_refused),
        LAYER_TEST(folder_through_a_link_up_is_refused),
        LAYER_TEST(whiteout_through_a_link_up_is_refused),
        LAYER_TEST(hard_link_through_a_link_up_is_refused),
        LAYER_TEST(a_file_replaces_a_link_and_not_what_it_leads_to),
        LAYER_TEST(a_folder_that_became_a_link_is_looked_up_anew),
        LAYER_TEST(links_inside_are_followed),
        LAYER_TEST(whiteouts_of_dots_are_refused),
        LAYER_TEST(the_root_cannot_be_replaced),
        LAYER_TEST(a_file_is_no_folder),
        LAYER_TEST(hard_links_to_nothing_are_told),
        LAYER_TEST(hard_links_to_folders_are_refused),
        LAYER_TEST(a_hard_link_in_its_targets_way_is_refused),
        LAYER_TEST(long_names_are_refused),
        LAYER_TEST(long_paths_are_refused),
        LAYER_TEST(deep_paths_are_made),
        LAYER_TEST(deeper_paths_are_refused),
        LAYER_TEST(impossible_owners_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
