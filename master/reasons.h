/* reasons.h - why pods are pending, as things stand now, for one answer.
 *
 * A reason costs a look at every node. Pods of one spec share it, and when
 * REASONS_LOOKS_MAX nodes were looked at there are no more.
 *
 * Pure. Valid until the view changes. */
#pragma once

#include "master/cluster_spec.h"
#include "master/placement/placement.h"

enum { REASONS_LOOKS_MAX = 300000 }; /* some 20 ms */

struct reason;

struct reasons {
    const struct placement *view; /* borrowed */
    size_t nodes;                 /* that it has */
    struct reason *all;           /* owned */
    size_t count;
    size_t looks;
};

void reasons_fini(struct reasons *reasons);

/* Borrowed; NULL: there is no time for one more. */
const char *reasons_find(struct reasons *reasons, const struct spec *spec);
