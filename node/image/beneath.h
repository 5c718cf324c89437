/* beneath.h - paths of an archive, kept inside one folder.
 *
 * Invariants:
 * 1. Nothing above or beside the root is opened, made, changed or removed:
 *    every path is split here, its folder is opened by openat2(2) with
 *    RESOLVE_BENEATH, and the last name is used only with *at() calls that
 *    do not follow it.
 * 2. Names come cleaned: no "", ".", "..", no leading slash. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

enum {
    BENEATH_PATH_MAX = 4096, /* PATH_MAX: what a pod could open */
    BENEATH_NAME_MAX = 256,  /* NAME_MAX and a NUL */
    /* Names in a path. Images have some twenty; what walks them, in the pod or
     * beside it, need not bear the 2048 that 4095 bytes have room for. */
    BENEATH_DEPTH_MAX = 256,
};

/* Where an entry goes: a folder, which is open, and a name in it. A path
 * that is the root itself has the name ".". */
struct beneath {
    int root;                      /* borrowed */
    int parent;                    /* owned; -1, or the folder of `folder` */
    char folder[BENEATH_PATH_MAX]; /* cleaned; "" is the root */
    char name[BENEATH_NAME_MAX];
    /* Make the folder `path`, which another path leads through, by its last
     * name in `parent`, unless there is one. Returns 0 or an error's code. */
    int (*make)(void *data, int parent, const char *path, struct error *why);
    void *data;
};

/* `root` is borrowed; `make` may stay NULL when nothing is to be made. */
void beneath_init(struct beneath *at, int root);
void beneath_fini(struct beneath *at);

/* Go to `path`: clean it and open its folder, with `make` after making what
 * is missing. A leading "/" is dropped, as tar does; INVALID_ARGUMENT when
 * it has "..", leaves the root through a symbolic link, is too long or deep,
 * NOT_FOUND when the folder is missing. The folder stays open for the next
 * path, which often needs the same. */
int beneath_go(struct beneath *at, const char *path, bool make,
               struct error *why);

/* A path without "", "." and a leading slash; INVALID_ARGUMENT when it has
 * "..", is too long or too deep. "" is the root. */
int beneath_clean(const char *path, char out[BENEATH_PATH_MAX],
                  struct error *why);

/* Forget the open folder: something was removed, it may be gone. */
void beneath_forget(struct beneath *at);
