/* term.h - the greatest term of a leader that this node has seen, and that
 * leader's session with it.
 *
 * The term is kept in a file, so that a restarted node does not take orders
 * from a leader that was replaced. Nothing comes late to one that has started
 * again: its connections are gone. */
#pragma once

#include "base/error.h"

#include <stdint.h>

struct term {
    int folder; /* borrowed; holds the file */
    uint64_t seen;
    uint64_t session; /* in that term; 0: none was told */
};

/* A file that is not there is term 0; DATA_LOSS for one that is no number. */
int term_open(struct term *term, int folder, struct error *why);

/* An order of this term came: FAILED_PRECONDITION for an older one than seen.
 * A newer one is on disk when this returns 0; it stays unseen when the disk
 * does not take it. */
int term_check(struct term *term, uint64_t order, struct error *why);

/* In the term that was just checked: a session begins; an order of one came,
 * FAILED_PRECONDITION when a later one has begun. 0 is one of a leader that
 * numbers none. */
void term_begin_session(struct term *term, uint64_t session);
int term_check_session(const struct term *term, uint64_t session,
                       struct error *why);
