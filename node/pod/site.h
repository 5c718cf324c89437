/* site.h - what all pods of an engine share. */
#pragma once

#include "kontor/v1/types.pb-c.h"
#include "node/image/image.h"
#include "node/net/net.h"
#include "node/pod/id_range.h"
#include "node/pod/syscalls.h"

#include <uv.h>

struct pod;

struct pod_site {
    uv_loop_t *loop;
    char *folder; /* owned, as are the other strings */
    char *image_folder;
    char *kpod;
    char *cgroup;
    struct id_ranges ids;       /* of those with a user namespace */
    struct syscalls *filters;   /* owned */
    struct image_store *images; /* borrowed */
    struct net *net;            /* borrowed; NULL: not known yet */
    uint64_t log_limit_bytes;
    void (*changed)(void *data, const Kontor__V1__PodStatus *status);
    void *data;
    /* The pod is about to be freed. */
    void (*freed)(struct pod_site *site, struct pod *pod);
};
