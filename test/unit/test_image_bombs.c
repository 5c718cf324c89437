/* Layers that would fill memory, the disk or a table without end: each limit
 * of layer.h is reached, by archives that are cheap to make, and says so. */
#include "layer_world.h"
#include "node/image/layer.h"

#include "base/memory.h"

#include <archive.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    HEADER_BYTES = 512,
    ARCHIVE_END_BYTES = 1024,
    LONG_NAME = 200, /* of which a long path has so many */
    LONG_PATH_NAMES = 20,
    LONG_PATH_BYTES = (LONG_NAME + 1) * LONG_PATH_NAMES,
};

/* The same entry again and again. */
struct bomb {
    const uint8_t *entry;
    size_t length;
    uint64_t times;
};

static ssize_t bomb_on_read(void *data, const void **bytes)
{
    struct bomb *bomb = data;

    if (bomb->times == 0)
        return 0;
    bomb->times--;
    *bytes = bomb->entry;
    return (ssize_t)bomb->length;
}

/* The world's archive, which has one entry, so many times: refused with
 * `said`. */
static void refuses_many(struct layer_world *world, uint64_t times,
                         const char *said)
{
    struct bomb bomb = {.entry = world->archive.bytes, .times = times};
    struct error why = {0};

    archive_built_end(&world->archive);
    bomb.length = world->archive.length - ARCHIVE_END_BYTES;
    buffer_init(&world->implied, LAYER_IMPLIED_MAX_BYTES);
    assert_int_equal(
        layer_unpack(world->root, bomb_on_read, &bomb, &world->implied, &why),
        ERROR_RESOURCE_EXHAUSTED);
    if (!strstr(why.message, said))
        fail_msg("%s", why.message);
}

static void make_long(char path[LONG_PATH_BYTES])
{
    for (int i = 0; i < LONG_PATH_BYTES; i++)
        path[i] = i % (LONG_NAME + 1) == LONG_NAME ? '/' : 'p';
    path[LONG_PATH_BYTES - 1] = '\0';
}

/* Devices are left out, so that these cost nothing else. */
static void many_entries_are_refused(void **state)
{
    struct layer_world *world = *state;

    archive_built_add(&world->archive, archive_built_entry("x", AE_IFCHR, 0644),
                      NULL, 0);
    refuses_many(world, LAYER_ENTRIES_MAX + 1, "more than 2000000 entries");
}

static void many_names_of_folders_are_refused(void **state)
{
    struct layer_world *world = *state;
    char path[LONG_PATH_BYTES];

    make_long(path);
    archive_built_folder(&world->archive, path);
    refuses_many(world, LAYER_FOLDERS_MAX_BYTES / sizeof path + 1,
                 "names of folders longer than 256 MiB together");
}

static void many_names_of_links_are_refused(void **state)
{
    struct layer_world *world = *state;
    char path[LONG_PATH_BYTES];

    make_long(path);
    archive_built_hardlink(&world->archive, "link", path);
    refuses_many(world, LAYER_FOLDERS_MAX_BYTES / sizeof path + 1,
                 "names of links longer than 256 MiB together");
}

/* Each is told to whoever knows the lower layers. */
static void many_links_into_lower_layers_are_refused(void **state)
{
    struct layer_world *world = *state;
    char path[LONG_PATH_BYTES];

    make_long(path);
    archive_built_hardlink(&world->archive, "link", path);
    refuses_many(
        world, LAYER_IMPLIED_MAX_BYTES / sizeof path + 1,
        "names that lower layers may know longer than 16 MiB together");
}

/* The size in a header, in the base-256 form that goes beyond 8 GiB. */
static void set_size(uint8_t header[HEADER_BYTES], uint64_t size)
{
    unsigned sum = 8 * ' '; /* of the checksum's own place */

    memset(header + 124, 0, 12);
    header[124] = 0x80;
    for (int i = 0; i < 8; i++)
        header[135 - i] = (uint8_t)(size >> 8 * i);
    for (int i = 0; i < HEADER_BYTES; i++)
        sum += i >= 148 && i < 156 ? 0 : header[i];
    snprintf((char *)header + 148, 8, "%06o", sum);
}

static void huge_files_are_refused(void **state)
{
    struct layer_world *world = *state;

    archive_built_file(&world->archive, "huge", "");
    archive_built_end(&world->archive);
    set_size(world->archive.bytes + world->archive.length - ARCHIVE_END_BYTES -
                 HEADER_BYTES,
             LAYER_FILES_MAX_BYTES + 1);
    if (layer_world_unpack_bytes(world, world->archive.bytes,
                                 world->archive.length,
                                 512) != ERROR_RESOURCE_EXHAUSTED ||
        !strstr(world->why.message, "files larger than 64 GiB together"))
        fail_msg("%s", world->why.message);
}

static void long_attributes_are_refused(void **state)
{
    struct layer_world *world = *state;
    struct archive_entry *entry = archive_built_entry("f", AE_IFREG, 0644);
    CLEANUP(free_pointer) char *value = memory_new(LAYER_XATTR_MAX_BYTES + 1);

    archive_entry_xattr_add_entry(entry, "user.long", value,
                                  LAYER_XATTR_MAX_BYTES + 1);
    archive_built_add(&world->archive, entry, "x", 1);
    layer_world_refuses(world, ERROR_RESOURCE_EXHAUSTED, "entry \"f\"",
                        "attribute \"user.long\" of 65537 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAYER_TEST(many_entries_are_refused),
        LAYER_TEST(many_names_of_folders_are_refused),
        LAYER_TEST(many_names_of_links_are_refused),
        LAYER_TEST(many_links_into_lower_layers_are_refused),
        LAYER_TEST(huge_files_are_refused),
        LAYER_TEST(long_attributes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
