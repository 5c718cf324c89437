/* filters.h - the two sandboxed processes that unpack a layer.
 *
 *   blob --ring--> inflate --ring--> untar --> folder
 *                     |                 |
 *                     +--> report       +--> report
 *
 * They are forked from a process that knows nothing (nursery.h): nothing of
 * the puller's memory, such as a registry's token, is in them. The one that
 * hashes the tar archive is not the one that reads it, and what it hashes the
 * other cannot change (ring.h), so an archive that takes over its reader still
 * cannot pass for another. */
#pragma once

#include "base/error.h"
#include "node/image/digest.h"
#include "node/image/inflate.h"
#include "node/image/ring.h"

enum filter { FILTER_INFLATE, FILTER_UNTAR };

/* The descriptors they are started with; all others but standard error are
 * closed, or lead nowhere. */
enum {
    FILTER_FD_FIRST = 3,
    FILTER_FD_REPORT = FILTER_FD_FIRST,
    FILTER_FD_IN,                            /* RING_FDS */
    FILTER_FD_OUT = FILTER_FD_IN + RING_FDS, /* inflate's: RING_FDS */
    FILTER_FD_ROOT = FILTER_FD_OUT,          /* untar's */
    FILTER_FD_IMPLIED, /* untar's: a file for layer_unpack()'s list */
    FILTER_FDS_MAX = 1 + 2 * RING_FDS,
};

/* What each writes once, before it ends. */
struct filter_report {
    struct error why;           /* code 0: done */
    struct digest digest;       /* inflate: of the tar archive */
    uint64_t tar_bytes;         /* inflate */
    enum inflate_format format; /* inflate: of what it was given */
    bool broken_pipe;           /* inflate: untar ended, it knows why */
};

/* What all of them need, done once before they are forked. */
int filters_prepare(struct error *why);

/* Their main; returns the exit code. */
int filter_main(enum filter filter);
