/* clean.h - take away what a pod leaves behind, as far as asked.
 *
 * Blocks, so it runs on one of libuv's workers. To be run when no kpod
 * lives; doing it again changes nothing. */
#pragma once

#include "base/error.h"
#include "node/net/net.h"

/* Each includes the ones before it. */
enum pod_clean_extent {
    POD_CLEAN_PROCESSES, /* processes and control group */
    POD_CLEAN_LAYER,     /* the writable layer, socket and bundle */
    POD_CLEAN_HISTORY,   /* all but the orders; then next.pb is order.pb */
    POD_CLEAN_ALL,       /* the folder */
};

struct pod_clean {
    /* In; borrowed. */
    const char *folder;
    const char *cgroup;
    enum pod_clean_extent extent;
    struct net *net; /* in which it has an address, to be given up; or NULL */
    uint64_t pod_id;
    struct in_addr address;
    /* Out. FAILED_PRECONDITION: processes are killed but not yet gone. */
    struct error why;
};

void pod_clean_run(struct pod_clean *clean);
