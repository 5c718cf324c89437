/* Layers as builders make them, and damaged ones. */
#include "base/memory.h"
#include "layer_world.h"

#include <archive.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

static bool is_opaque(const struct layer_world *world, const char *path)
{
    int fd = openat(world->root, path, O_RDONLY | O_DIRECTORY);
    char value[4] = "";
    bool opaque =
        fgetxattr(fd, "trusted.overlay.opaque", value, sizeof value) == 1 &&
        value[0] == 'y';

    close(fd);
    return opaque;
}

static bool is_whiteout(const struct layer_world *world, const char *path)
{
    struct stat info = layer_world_stat(world, path);

    return S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0);
}

/* ---- what layers are made of --------------------------------------------- */

static void files_keep_owner_mode_time_and_attributes(void **state)
{
    static const char capability[20] = {0, 0, 0, 2, 0, 32}; /* cap_net_raw */
    struct layer_world *world = *state;
    struct archive_entry *entry =
        archive_built_entry("bin/ping", AE_IFREG, 06755);
    struct stat info;
    char value[64];
    int fd;

    archive_entry_set_uid(entry, 1000);
    archive_entry_set_gid(entry, 2000);
    archive_entry_set_mtime(entry, 1234567890, 123456789);
    archive_entry_xattr_add_entry(entry, "user.note", "hi", 2);
    archive_entry_xattr_add_entry(entry, "security.capability", capability,
                                  sizeof capability);
    archive_entry_xattr_add_entry(entry, "trusted.overlay.opaque", "y", 1);
    archive_entry_xattr_add_entry(entry, "user.overlay.opaque", "y", 1);
    archive_entry_xattr_add_entry(entry, "security.evm", "x", 1);
    archive_built_add(&world->archive, entry, "pong", 4);
    layer_world_unpacks(world);

    info = layer_world_stat(world, "bin/ping");
    assert_int_equal(info.st_mode, S_IFREG | 06755);
    assert_int_equal(info.st_uid, 1000);
    assert_int_equal(info.st_gid, 2000);
    assert_int_equal(info.st_mtim.tv_sec, 1234567890);
    assert_int_equal(info.st_mtim.tv_nsec, 123456789);
    layer_world_holds(world, "bin/ping", "pong");
    fd = openat(world->root, "bin/ping", O_RDONLY);
    assert_int_equal(fgetxattr(fd, "user.note", value, sizeof value), 2);
    assert_int_equal(fgetxattr(fd, "security.capability", value, sizeof value),
                     sizeof capability);
    assert_memory_equal(value, capability, sizeof capability);
    assert_true(fgetxattr(fd, "trusted.overlay.opaque", value, 1) < 0);
    assert_true(fgetxattr(fd, "user.overlay.opaque", value, 1) < 0);
    assert_true(fgetxattr(fd, "security.evm", value, 1) < 0);
    close(fd);
}

static void folders_keep_their_time_although_filled_later(void **state)
{
    struct layer_world *world = *state;

    archive_built_add(&world->archive,
                      archive_built_entry("./", AE_IFDIR, 0751), NULL, 0);
    archive_built_add(&world->archive,
                      archive_built_entry("a/", AE_IFDIR, 01777), NULL, 0);
    archive_built_add(&world->archive,
                      archive_built_entry("a/b", AE_IFDIR, 0500), NULL, 0);
    archive_built_file(&world->archive, "a/b/file", "x");
    archive_built_file(&world->archive, "a/file", "y");
    layer_world_unpacks(world);

    assert_int_equal(layer_world_stat(world, ".").st_mode & 07777, 0751);
    assert_int_equal(layer_world_stat(world, ".").st_mtim.tv_sec, 1000000000);
    assert_int_equal(layer_world_stat(world, "a").st_mode & 07777, 01777);
    assert_int_equal(layer_world_stat(world, "a").st_mtim.tv_sec, 1000000000);
    assert_int_equal(layer_world_stat(world, "a/b").st_mode & 07777, 0500);
    assert_int_equal(layer_world_stat(world, "a/b").st_mtim.tv_sec, 1000000000);
    layer_world_holds(world, "a/b/file", "x");
}

static void links_are_kept_as_they_are(void **state)
{
    struct layer_world *world = *state;
    char to[64] = "";

    archive_built_file(&world->archive, "a/file", "x");
    archive_built_hardlink(&world->archive, "b/same", "a/file");
    archive_built_hardlink(&world->archive, "b/again", "./a//file");
    archive_built_hardlink(&world->archive, "a/file", "a/file");
    archive_built_symlink(&world->archive, "run", "/../../canary");
    archive_built_hardlink(&world->archive, "run2", "run");
    archive_built_add(&world->archive,
                      archive_built_entry("pipe", AE_IFIFO, 0622), NULL, 0);
    layer_world_unpacks(world);

    assert_int_equal(layer_world_stat(world, "a/file").st_nlink, 3);
    assert_int_equal(layer_world_stat(world, "b/same").st_ino,
                     layer_world_stat(world, "a/file").st_ino);
    assert_int_equal(layer_world_stat(world, "run2").st_ino,
                     layer_world_stat(world, "run").st_ino);
    assert_true(readlinkat(world->root, "run", to, sizeof to - 1) > 0);
    assert_string_equal(to, "/../../canary");
    assert_int_equal(layer_world_stat(world, "run").st_mtim.tv_sec, 1000000000);
    assert_int_equal(layer_world_stat(world, "pipe").st_mode, S_IFIFO | 0622);
}

static void names_are_bytes(void **state)
{
    struct layer_world *world = *state;
    static const char *const names[] = {
        "e\xcc\x81",   /* e and a combining accent: not composed */
        "\xc3\xa9",    /* the composed one: another file */
        "raw\xff\xfe", /* no UTF-8 at all */
        "new\nline",   " ", "\xe1\x84\x80\xe1\x85\xa1",
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        archive_built_file(&world->archive, names[i], "x");
    layer_world_unpacks(world);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        layer_world_holds(world, names[i], "x");
}

/* A header as POSIX has it (pax, "ustar Interchange Format"). */
static void put_header(uint8_t *at, const char *name, char type, size_t size)
{
    unsigned sum = 0;

    memset(at, 0, 512);
    snprintf((char *)at, 100, "%s", name);
    snprintf((char *)at + 100, 24, "%07o%c%07o%c%07o", 0644, 0, 0, 0, 0);
    snprintf((char *)at + 124, 24, "%011zo%c%011o", size, 0, 1000000000);
    memset(at + 148, ' ', 8);
    at[156] = (uint8_t)type;
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): eight bytes */
    memcpy(at + 257, "ustar\00000", 8);
    for (size_t i = 0; i < 512; i++)
        sum += at[i];
    snprintf((char *)at + 148, 8, "%06o", sum);
}

/* As Docker's own writer has it: UTF-8 in a pax header, no hdrcharset. */
static void pax_names_are_not_normalised(void **state)
{
    struct layer_world *world = *state;
    static const char record[] = "14 path=e\xcc\x81/x\n";
    uint8_t tar[512 * 5] = {0};

    put_header(tar, "pax", 'x', sizeof record - 1);
    snprintf((char *)tar + 512, 512, "%s", record);
    put_header(tar + 1024, "short", '0', 0);
    if (layer_world_unpack_bytes(world, tar, sizeof tar, 512) != 0)
        fail_msg("%s", world->why.message);
    assert_true(layer_world_has(world, "e\xcc\x81/x"));
}

static void sparse_files_stay_sparse(void **state)
{
    struct layer_world *world = *state;
    struct archive_entry *entry = archive_built_entry("s", AE_IFREG, 0644);
    uint8_t *content = memory_new(1 << 20);
    struct stat info;

    memset(content, 'x', 4096);
    memset(content + 600000, 'y', 4096);
    archive_entry_set_size(entry, 1 << 20); /* entries have to fit in it */
    archive_entry_sparse_add_entry(entry, 0, 4096);
    archive_entry_sparse_add_entry(entry, 600000, 4096);
    archive_built_add(&world->archive, entry, content, 1 << 20);
    free(content);
    layer_world_unpacks(world);
    info = layer_world_stat(world, "s");
    assert_int_equal(info.st_size, 1 << 20);
    assert_true(info.st_blocks * 512 < 100000);
}

static void later_entries_replace_earlier_ones(void **state)
{
    struct layer_world *world = *state;
    struct archive_built *archive = &world->archive;

    archive_built_file(archive, "f", "long content");
    archive_built_file(archive, "f", "new");
    archive_built_folder(archive, "d/sub");
    archive_built_file(archive, "d/sub/x", "x");
    archive_built_file(archive, "d", "now a file");
    archive_built_file(archive, "g", "a file");
    archive_built_folder(archive, "g");
    archive_built_file(archive, "g/x", "x");
    archive_built_symlink(archive, "l", "g");
    archive_built_folder(archive, "l");
    archive_built_folder(archive, "g");
    layer_world_unpacks(world);
    layer_world_holds(world, "f", "new");
    layer_world_holds(world, "d", "now a file");
    layer_world_holds(world, "g/x", "x");
    assert_true(S_ISDIR(layer_world_stat(world, "l").st_mode));
}

static void folders_that_are_only_implied_are_told(void **state)
{
    static const char expected[] = "a\0a/b\0o\0z"; /* and a NUL */
    struct layer_world *world = *state;
    struct archive_built *archive = &world->archive;

    archive_built_file(archive, "z/file", "x");
    archive_built_file(archive, "a/b/c/file", "x");
    archive_built_folder(archive, "a/b/c");
    archive_built_folder(archive, "d");
    archive_built_file(archive, "d/file", "x");
    archive_built_file(archive, "o/.wh..wh..opq", "");
    archive_built_folder(archive, "./");
    layer_world_unpacks(world);
    assert_int_equal(buffer_length(&world->implied), sizeof expected);
    assert_memory_equal(buffer_data(&world->implied), expected,
                        sizeof expected);
}

static void a_folder_listed_twice_has_the_later_time(void **state)
{
    struct layer_world *world = *state;
    struct archive_entry *entry = archive_built_entry("d", AE_IFDIR, 0700);

    archive_built_folder(&world->archive, "d");
    archive_entry_set_mtime(entry, 1234567890, 0);
    archive_built_add(&world->archive, entry, NULL, 0);
    layer_world_unpacks(world);
    assert_int_equal(layer_world_stat(world, "d").st_mode & 07777, 0700);
    assert_int_equal(layer_world_stat(world, "d").st_mtim.tv_sec, 1234567890);
}

/* ---- whiteouts ----------------------------------------------------------- */

static void whiteouts_take_overlays_form(void **state)
{
    struct layer_world *world = *state;
    struct archive_built *archive = &world->archive;

    archive_built_file(archive, "etc/.wh.passwd", "");
    archive_built_file(archive, ".wh.top", "");
    archive_built_file(archive, "opt/.wh..wh..opq", "");
    archive_built_file(archive, "opt/new", "x");
    archive_built_file(archive, ".wh..wh.plnk", "");
    layer_world_unpacks(world);
    assert_true(is_whiteout(world, "etc/passwd"));
    assert_true(is_whiteout(world, "top"));
    assert_true(is_opaque(world, "opt"));
    assert_false(is_opaque(world, "etc"));
    assert_false(layer_world_has(world, "etc/.wh.passwd"));
    assert_false(layer_world_has(world, "opt/.wh..wh..opq"));
    assert_false(layer_world_has(world, ".wh..wh.plnk"));
    layer_world_holds(world, "opt/new", "x");
}

/* Removed below and made anew here: the lower one's content must not show. */
static void whiteout_and_folder_of_one_name_make_it_opaque(void **state)
{
    struct layer_world *world = *state;
    struct archive_built *archive = &world->archive;

    archive_built_file(archive, ".wh.first", "");
    archive_built_folder(archive, "first");
    archive_built_folder(archive, "second");
    archive_built_file(archive, ".wh.second", "");
    archive_built_file(archive, ".wh.third", "");
    archive_built_file(archive, "third/deep/file", "x");
    archive_built_file(archive, ".wh.file", "");
    archive_built_file(archive, "file", "x");
    archive_built_file(archive, "file2", "x");
    archive_built_file(archive, ".wh.file2", "");
    layer_world_unpacks(world);
    assert_true(is_opaque(world, "first"));
    assert_true(is_opaque(world, "second"));
    assert_true(is_opaque(world, "third"));
    assert_false(is_opaque(world, "third/deep"));
    layer_world_holds(world, "third/deep/file", "x");
    layer_world_holds(world, "file", "x");
    layer_world_holds(world, "file2", "x");
}

static void devices_are_left_out(void **state)
{
    struct layer_world *world = *state;
    struct archive_entry *disk = archive_built_entry("sda", AE_IFBLK, 0666);
    struct archive_entry *null = archive_built_entry("null", AE_IFCHR, 0666);
    struct archive_entry *fake = archive_built_entry("wh", AE_IFCHR, 0666);

    archive_entry_set_rdev(disk, makedev(8, 0));
    archive_entry_set_rdev(null, makedev(1, 3));
    archive_entry_set_rdev(fake, makedev(0, 0));
    archive_built_add(&world->archive, disk, NULL, 0);
    archive_built_add(&world->archive, null, NULL, 0);
    archive_built_add(&world->archive, fake, NULL, 0);
    archive_built_file(&world->archive, "file", "x");
    layer_world_unpacks(world);
    assert_false(layer_world_has(world, "sda"));
    assert_false(layer_world_has(world, "null"));
    assert_false(layer_world_has(world, "wh"));
    assert_true(layer_world_has(world, "file"));
}

/* ---- damaged archives ---------------------------------------------------- */

/* "f" in one header and one block of content, as in `umoci insert`'s layers:
 * neither that block's padding nor the archive's end is there. */
enum { FILE_BYTES = 60, FILE_END = 512 + FILE_BYTES };

static void make_bare_file(uint8_t tar[1024], char content[FILE_BYTES + 1])
{
    memset(content, 'x', FILE_BYTES);
    content[FILE_BYTES] = '\0';
    memset(tar, 0, 1024);
    put_header(tar, "f", '0', FILE_BYTES);
    memcpy(tar + 512, content, FILE_BYTES);
}

static void the_last_files_padding_may_be_missing(void **state)
{
    struct layer_world *world = *state;
    uint8_t tar[1024];
    char content[FILE_BYTES + 1];

    make_bare_file(tar, content);
    for (size_t length = FILE_END; length <= sizeof tar; length += 53) {
        if (layer_world_unpack_bytes(world, tar, length, 100) != 0)
            fail_msg("%zu bytes: %s", length, world->why.message);
        layer_world_holds(world, "f", content);
        assert_int_equal(layer_world_stat(world, "f").st_mtim.tv_sec,
                         1000000000);
    }
}

static void folders_get_their_times_without_an_end(void **state)
{
    struct layer_world *world = *state;
    uint8_t tar[512 + 1024] = {0};
    char content[FILE_BYTES + 1];

    put_header(tar, "d/", '5', 0);
    make_bare_file(tar + 512, content);
    put_header(tar + 512, "d/f", '0', FILE_BYTES);
    if (layer_world_unpack_bytes(world, tar, 512 + FILE_END, 100) != 0)
        fail_msg("%s", world->why.message);
    assert_int_equal(layer_world_stat(world, "d").st_mtim.tv_sec, 1000000000);
}

/* At the 512-byte boundaries that end an entry it is a whole archive to tar;
 * only the diffID tells. */
static void a_cut_header_or_file_is_noticed(void **state)
{
    struct layer_world *world = *state;
    uint8_t tar[1024];
    char content[FILE_BYTES + 1];

    make_bare_file(tar, content);
    for (size_t cut = 1; cut < FILE_END; cut++)
        if (layer_world_unpack_bytes(world, tar, cut, 100) != ERROR_DATA_LOSS)
            fail_msg("cut after %zu bytes: %s", cut, world->why.message);
}

static void empty_archives_are_empty_layers(void **state)
{
    static const uint8_t zeros[10240];

    assert_int_equal(layer_world_unpack_bytes(*state, zeros, 1024, 512), 0);
    assert_int_equal(layer_world_unpack_bytes(*state, zeros, 10240, 512), 0);
    assert_int_equal(layer_world_unpack_bytes(*state, zeros, 0, 512), 0);
}

static void noise_is_refused(void **state)
{
    uint8_t noise[4096];

    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)(i * 2654435761u >> 13);
    assert_int_equal(layer_world_unpack_bytes(*state, noise, sizeof noise, 512),
                     ERROR_DATA_LOSS);
}

static void pieces_of_any_size_will_do(void **state)
{
    struct layer_world *world = *state;

    archive_built_file(&world->archive, "a/file", "some content");
    archive_built_end(&world->archive);
    for (size_t step = 1; step < 700; step += 13) {
        if (layer_world_unpack_bytes(world, world->archive.bytes,
                                     world->archive.length, step) != 0)
            fail_msg("pieces of %zu: %s", step, world->why.message);
        layer_world_holds(world, "a/file", "some content");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LAYER_TEST(files_keep_owner_mode_time_and_attributes),
        LAYER_TEST(folders_keep_their_time_although_filled_later),
        LAYER_TEST(links_are_kept_as_they_are),
        LAYER_TEST(names_are_bytes),
        LAYER_TEST(pax_names_are_not_normalised),
        LAYER_TEST(sparse_files_stay_sparse),
        LAYER_TEST(later_entries_replace_earlier_ones),
        LAYER_TEST(folders_that_are_only_implied_are_told),
        LAYER_TEST(a_folder_listed_twice_has_the_later_time),
        LAYER_TEST(whiteouts_take_overlays_form),
        LAYER_TEST(whiteout_and_folder_of_one_name_make_it_opaque),
        LAYER_TEST(devices_are_left_out),
        LAYER_TEST(the_last_files_padding_may_be_missing),
        LAYER_TEST(folders_get_their_times_without_an_end),
        LAYER_TEST(a_cut_header_or_file_is_noticed),
        LAYER_TEST(empty_archives_are_empty_layers),
        LAYER_TEST(noise_is_refused),
        LAYER_TEST(pieces_of_any_size_will_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
