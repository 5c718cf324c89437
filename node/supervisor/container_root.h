/* container_root.h - a container's root file system, and the way into it. */
#pragma once

#include "base/error.h"
#include "kontor/v1/bundle.pb-c.h"
#include "node/supervisor/users.h"

#include <stdbool.h>

struct container_root {
    const struct users *users;
    const char *pod_folder;   /* absolute; root/ is in it */
    const char *layer_folder; /* absolute; upper/ and work/ are in it */
    const char *container;    /* the folder's name in each of these */
    char *const *layers;      /* absolute, lowest first */
    size_t layer_count;
    const char *hostname;
    const char *address;
    const char *resolv_conf;
    uint64_t shm_bytes; /* of its own /dev/shm; 0: the default */
    int shm;            /* the pod's, a mount that is nowhere yet; or -1 */
    Kontor__V1__Tmpfs *const *tmpfs;
    size_t tmpfs_count;
    bool read_only; /* all but what is mounted upon it */
};

enum { CONTAINER_LAYERS_MAX = 500 }; /* the kernel's OVL_MAX_STACK */

#define CONTAINER_SHM_DEFAULT_BYTES (UINT64_C(64) << 20)

/* In a mount namespace of the process's own: mount the layers as one, with
 * /proc, /sys, /dev and the files of /etc that say where it is, and make
 * that the root. Nothing of the old root can be reached afterwards. The
 * process must be in the pod's other namespaces already. */
int container_root_enter(const struct container_root *root, struct error *why);

/* What container_root.c leaves to container_mounts.c: everything above the
 * bare layers. `files` is a folder on a file system that goes away with the
 * old root and may hold devices. */
int container_mounts_make(const struct container_root *root, int root_fd,
                          int files, struct error *why);
