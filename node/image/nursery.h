/* nursery.h - the process that the filters are forked from.
 *
 *   puller --fork--> nursery --fork--> filter, a child of the puller
 *      |  order: which filter, its descriptors   ^
 *      +------------------> <--------------------+ its pid
 *
 * The puller forks it before it has read anything, credentials least of all,
 * so there is nothing in it, nor in a filter, that an archive that takes a
 * filter over could be after. Starting the program anew would do as well, but
 * loads the fifty libraries that libcurl and libarchive need, for every
 * filter. What all filters need is done here once: no network, OpenSSL. */
#pragma once

#include "node/image/filters.h"

#include <sys/types.h>

struct nursery {
    int orders; /* owned; -1: none */
    pid_t pid;
};

#define NURSERY_NONE \
    {                \
        -1, 0        \
    }

/* Fork it; the caller has one thread, and no secrets. */
int nursery_open(struct nursery *nursery, struct error *why);
/* End it. The filters are the caller's to end. */
void nursery_close(struct nursery *nursery);

/* Which filter, and the descriptors it gets from FILTER_FD_FIRST on. */
struct filter_order {
    enum filter filter;
    int fds[FILTER_FDS_MAX]; /* borrowed */
    size_t fd_count;
};

/* Fork a filter; *pid is a child of the caller's. */
int nursery_fork(const struct nursery *nursery,
                 const struct filter_order *order, pid_t *pid,
                 struct error *why);
