/* container_file.h - a layer that is a file system in a file. */
#pragma once

#include "base/error.h"

/* Mount the squashfs, erofs or ext4 in the file `path`, read-only, on the new
 * folder `name`. Its loop device is set up to go with the mount, or with this
 * process if it dies before. INVALID_ARGUMENT when it is none of them;
 * FAILED_PRECONDITION when no loop device can be had. */
int container_file_mount(const char *path, const char *name, struct error *why);
