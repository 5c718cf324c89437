#include "layer_world.h"

#include "base/memory.h"
#include "node/image/layer.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

int layer_world_open(void **state)
{
    struct layer_world *world = memory_new(sizeof *world);
    int fd;

    umask(0);
    world->outer = temporary_folder();
    world->outer_fd = open(world->outer, O_RDONLY | O_DIRECTORY);
    mkdirat(world->outer_fd, "layer", 0755);
    world->root = openat(world->outer_fd, "layer", O_RDONLY | O_DIRECTORY);
    fd = openat(world->outer_fd, "canary", O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "sings", 5), 5);
    close(fd);
    archive_built_begin(&world->archive);
    *state = world;
    return 0;
}

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;

    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static bool outer_is_untouched(const struct layer_world *world)
{
    char content[16] = "";
    struct stat info = {0};
    int fd = openat(world->outer_fd, "canary", O_RDONLY);
    bool sings = read(fd, content, sizeof content - 1) == 5 &&
                 strcmp(content, "sings") == 0;

    fstat(fd, &info);
    close(fd);
    return sings && (info.st_mode & 07777) == 0600 && info.st_nlink == 1 &&
           /* ".", "..", "layer", "canary" */
           count_entries(world->outer) == 4;
}

int layer_world_close(void **state)
{
    struct layer_world *world = *state;
    bool untouched = outer_is_untouched(world);

    archive_built_free(&world->archive);
    buffer_fini(&world->implied);
    close(world->root);
    close(world->outer_fd);
    temporary_remove(world->outer);
    free(world->outer);
    free(world);
    if (!untouched)
        print_error("something outside the layer's folder was changed\n");
    return untouched ? 0 : -1;
}

/* ---- unpacking ----------------------------------------------------------- */

struct source {
    const uint8_t *bytes;
    size_t length;
    size_t step;
};

static ssize_t source_on_read(void *data, const void **bytes)
{
    struct source *source = data;
    size_t length =
        source->length < source->step ? source->length : source->step;

    *bytes = source->bytes;
    source->bytes += length;
    source->length -= length;
    return (ssize_t)length;
}

int layer_world_unpack_bytes(struct layer_world *world, const void *bytes,
                             size_t length, size_t step)
{
    struct source source = {bytes, length, step};
    int failed;

    world->why = (struct error){0};
    buffer_fini(&world->implied);
    buffer_init(&world->implied, LAYER_IMPLIED_MAX_BYTES);
    failed = layer_unpack(world->root, source_on_read, &source, &world->implied,
                          &world->why);
    assert_int_equal(failed, world->why.code);
    if (!failed)
        assert_int_equal(source.length, 0); /* read to the very end */
    return failed;
}

int layer_world_unpack(struct layer_world *world)
{
    archive_built_end(&world->archive);
    return layer_world_unpack_bytes(world, world->archive.bytes,
                                    world->archive.length, 4096);
}

void layer_world_unpacks(struct layer_world *world)
{
    if (layer_world_unpack(world) != 0)
        fail_msg("%s", world->why.message);
}

/* It fails, and the message names the entry and holds `part`. */
void layer_world_refuses(struct layer_world *world, int code, const char *entry,
                         const char *part)
{
    int got = layer_world_unpack(world);

    if (got != code || !strstr(world->why.message, entry) ||
        !strstr(world->why.message, part))
        fail_msg("%d: %s", got, world->why.message);
}

struct stat layer_world_stat(const struct layer_world *world, const char *path)
{
    struct stat info;

    if (fstatat(world->root, path, &info, AT_SYMLINK_NOFOLLOW) != 0)
        fail_msg("%s is not there", path);
    return info;
}

bool layer_world_has(const struct layer_world *world, const char *path)
{
    return faccessat(world->root, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void layer_world_holds(const struct layer_world *world, const char *path,
                       const char *content)
{
    char got[64] = "";
    int fd = openat(world->root, path, O_RDONLY | O_NOFOLLOW);

    assert_true(fd >= 0);
    assert_true(read(fd, got, sizeof got - 1) >= 0);
    close(fd);
    assert_string_equal(got, content);
}
