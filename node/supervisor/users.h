/* users.h - the pod's user namespace: who is root in it is nobody outside.
 *
 * Its ids 0 to 65,535 are `first_id` and on outside. knode chooses them and
 * makes the namespace (node/pod/id_range.h) with the network namespace, which
 * belongs to it: kpod finds it there. All namespaces of the pod belong to it.
 *
 * What of the host's a container needs is still prepared by the host's root,
 * who joins the namespace afterwards: the layers, read through mounts that
 * map their ids (mount_setattr(2)), /dev and /proc. Files that are made on
 * the way are the pod's root's. */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct users {
    int fd;            /* -1: the host's; then none of this does anything */
    uint32_t first_id; /* 0 with it */
};

/* Find the namespace that the network namespace `netns` belongs to, where
 * `first_id` is not 0. out->fd is the caller's. */
int users_find(struct users *out, int netns, uint32_t first_id,
               struct error *why);

/* Files that this process makes from here on belong to the pod's root. It
 * keeps all capabilities. */
int users_own(const struct users *users, struct error *why);

/* Show the files of the detached mount `mounted` with the pod's ids.
 * UNIMPLEMENTED when their file system, on this kernel, cannot. */
int users_map(const struct users *users, int mounted, struct error *why);

/* Become root in the namespace, for good: with all capabilities there, and
 * none outside; nobody in it may look into this process. */
int users_enter(const struct users *users, struct error *why);
