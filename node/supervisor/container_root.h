/* container_root.h - a container's root file system, and the way into it. */
#pragma once

#include "base/error.h"

struct container_root {
    const char *pod_folder; /* absolute; upper/, work/ and root/ are in it */
    const char *container;  /* the folder's name in each of these */
    char *const *layers;    /* absolute, lowest first */
    size_t layer_count;
    const char *hostname;
    const char *address;
    const char *resolv_conf;
};

enum { CONTAINER_LAYERS_MAX = 500 }; /* the kernel's OVL_MAX_STACK */

/* In a mount namespace of the process's own: mount the layers as one, with
 * /proc, /sys, /dev and the files of /etc that say where it is, and make
 * that the root. Nothing of the old root can be reached afterwards. The
 * process must be in the pod's other namespaces already. */
int container_root_enter(const struct container_root *root, struct error *why);

/* What container_root.c leaves to container_mounts.c: everything above the
 * bare layers. `files` is a folder on a file system that goes away with the
 * old root. */
int container_mounts_make(const struct container_root *root, int root_fd,
                          int files, struct error *why);
