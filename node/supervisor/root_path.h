/* root_path.h - paths of a container, resolved as if its root were the
 * root: no link in an image leads out of it. */
#pragma once

#include "base/error.h"

/* Open what is at `path` as O_PATH | `flags`, links followed inside `root`.
 * -1 and errno when it is not there. */
int root_path_open(int root, const char *path, int flags);

/* A folder, made (mode 0755) with those above it where missing; or -1 and
 * `why`. */
int root_path_folder(int root, const char *path, struct error *why);

/* A file to mount on: the one there, or an empty one in its place when there
 * is none or a link that leads to none; or -1 and `why`. */
int root_path_file(int root, const char *path, struct error *why);
