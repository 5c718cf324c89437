/* keeper.h - room is kept for who has waited long; for placer.c and matcher.c.
 *
 * A gang, or a pod that wants much, could wait for ever while smaller ones take
 * all that comes free. So of those for whom nothing was done within the
 * patience one is favoured, the first in order: as many nodes as it has pods,
 * the closest to take one, are closed to all of the same or a lower priority
 * until what comes free there is enough. When for a turn nothing comes free the
 * nodes are opened again; next time it is others' turn, then that of the nodes
 * after these.
 *
 * The leader alone knows of it; with the leader it is gone, and begins anew. */
#pragma once

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;
struct placer;

struct keeper {
    uint64_t patience_ms;
    uint64_t turn_ms;
    struct node **nodes; /* owned; that are kept, for pending.favoured */
    size_t count;
    bool gained;        /* something has come free there */
    uint64_t gained_ms; /* when that was last so, or they were closed */
    uint64_t tried_ms;
    uint64_t searched_ms; /* for one who has waited long */
};

void keeper_init(struct keeper *keeper);
void keeper_fini(struct keeper *keeper);

/* Look for one to be favoured; give up for one in vain. O(nodes log nodes) when
 * there is one. */
void keeper_step(struct placer *placer);

/* It is time to try whether who is favoured fits, or one of a higher priority:
 * open the nodes for that, and then close them again. */
bool keeper_is_due(const struct placer *placer);
void keeper_open(struct placer *placer);
void keeper_close(struct placer *placer);

/* Nothing is kept any longer. */
void keeper_release(struct placer *placer);
