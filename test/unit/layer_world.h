/* layer_world.h - OUTER/layer to unpack archives into. Whatever they say,
 * OUTER holds afterwards what it held before: the layer's folder and a
 * canary, which the teardown looks at. */
#pragma once

#include "base/buffer.h"
#include "image_archive.h"

#include <sys/stat.h>

struct layer_world {
    char *outer;
    int outer_fd;
    int root; /* OUTER/layer */
    struct archive_built archive;
    struct buffer implied; /* what layer_unpack() said last */
    struct error why;
};

/* For cmocka's setup and teardown; the archive is begun. */
int layer_world_open(void **state);
int layer_world_close(void **state);

/* End the archive and unpack it, or given bytes in pieces of `step`. */
int layer_world_unpack(struct layer_world *world);
int layer_world_unpack_bytes(struct layer_world *world, const void *bytes,
                             size_t length, size_t step);
/* The same; it has to work. */
void layer_world_unpacks(struct layer_world *world);
/* It has to fail with a message that names the entry and holds `part`. */
void layer_world_refuses(struct layer_world *world, int code, const char *entry,
                         const char *part);

/* What is in the layer; a path that is not there fails the test. */
struct stat layer_world_stat(const struct layer_world *world, const char *path);
bool layer_world_has(const struct layer_world *world, const char *path);
void layer_world_holds(const struct layer_world *world, const char *path,
                       const char *content);

#define LAYER_TEST(function)                                    \
    cmocka_unit_test_setup_teardown(function, layer_world_open, \
                                    layer_world_close)
