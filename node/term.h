/* term.h - the greatest term of a leader that this node has seen.
 *
 * Kept in a file, so that a restarted node does not take orders from a leader
 * that was replaced. */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct term {
    int folder; /* borrowed; holds the file */
    uint64_t seen;
};

/* A file that is not there is term 0; DATA_LOSS for one that is no number. */
int term_open(struct term *term, int folder, struct error *why);

/* An order of this term came: FAILED_PRECONDITION for an older one than seen.
 * A newer one is on disk when this returns 0; it stays unseen when the disk
 * does not take it. */
int term_check(struct term *term, uint64_t order, struct error *why);
