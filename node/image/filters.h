/* filters.h - the two sandboxed processes that unpack a layer.
 *
 *   blob --pipe--> inflate --pipe--> untar --> folder
 *                     |                 |
 *                     +--> report       +--> report
 *
 * They are this program, run anew: nothing of the puller's memory, such as
 * a registry's token, is left in them. The one that hashes the tar archive
 * is not the one that reads it, so an archive that takes over its reader
 * still cannot pass for another. */
#pragma once

#include "base/error.h"
#include "node/image/digest.h"

/* The descriptors they are started with. */
enum {
    FILTER_FD_IN = 0,
    FILTER_FD_OUT = 1, /* inflate's */
    FILTER_FD_REPORT = 3,
    FILTER_FD_ROOT = 4,    /* untar's */
    FILTER_FD_IMPLIED = 5, /* untar's: a file for layer_unpack()'s list */
};

/* What each writes once, before it ends. */
struct filter_report {
    struct error why;     /* code 0: done */
    struct digest digest; /* inflate: of the tar archive */
    uint64_t tar_bytes;   /* inflate */
    bool broken_pipe;     /* inflate: untar ended, it knows why */
};

/* Their mains; return the exit code. */
int filter_inflate_main(void);
int filter_untar_main(void);
