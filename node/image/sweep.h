/* sweep.h - images and layers that are no longer wanted, removed.
 *
 * What a pod or a pull under way uses stays, whatever is asked. An image goes
 * with all its references; a layer goes with the last image that has it. The
 * longest unused goes first. Blocking; nothing else may change the store or
 * hand out what it holds meanwhile. */
#pragma once

#include "node/image/catalog.h"

enum {
    SWEEP_HIGH_PERCENT = 85, /* a file system fuller than this is swept ... */
    SWEEP_LOW_PERCENT = 80,  /* ... until it is no fuller than this */
};

/* What is to go. */
struct sweep {
    const char *reference; /* this one or its digest; NULL: no one in
                              particular */
    uint64_t unused_ms;    /* else: what was unused for so long */
    bool pressure;         /* and more while the file system is too full ... */
    uint64_t need_bytes;   /* ... or has less free than this */

    /* What went. */
    char **removed; /* references, or digests; owned */
    size_t removed_count;
    uint64_t freed_bytes;
};

/* NOT_FOUND when there is no `reference`, FAILED_PRECONDITION when a pod uses
 * its image. What was put aside is removed by layer_store_empty(). */
int sweep_run(struct sweep *sweep, const struct layer_store *store,
              const struct catalog_uses *uses, uint64_t now_ms,
              struct error *why);
void sweep_fini(struct sweep *sweep);

/* How many bytes have to go for a file system of `size` bytes of which `free`
 * are free. */
uint64_t sweep_excess(uint64_t size_bytes, uint64_t free_bytes);
