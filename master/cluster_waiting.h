/* cluster_waiting.h - the pods that wait for a node, those of one spec
 * together.
 *
 * Pure. It follows from the pods and is in no snapshot. */
#pragma once

#include "base/list.h"
#include "base/map.h"

#include <stdint.h>

struct pod;
struct spec;

/* All single pods of a spec, or one gang. */
struct waiting_group {
    struct map_link by_spec;
    struct list all;
    const struct spec *spec; /* its pods' */
    uint32_t gang;           /* 0: each pod is by itself */
    uint32_t count;
    /* Pods, by queue: those that lost their node, whose order is advice to the
     * leader and not part of the state; then those never placed, by id. */
    struct list displaced;
    struct list fresh;
    void *note; /* the watcher's */
};

/* Told when a pod has joined a group, and before it leaves; with the last one
 * the group goes, too. NULL: nobody is. */
struct waiting_watcher {
    void (*joined)(void *data, struct waiting_group *group, struct pod *pod);
    void (*leaves)(void *data, struct waiting_group *group, struct pod *pod);
    void *data;
};

struct waiting {
    struct map by_spec;
    struct list all; /* groups, in no order that matters */
    struct waiting_watcher watcher;
};

void waiting_init(struct waiting *waiting);
/* After the pods are gone. */
void waiting_fini(struct waiting *waiting);

/* The pod is pending and on no queue; its gang is known. */
void waiting_join(struct waiting *waiting, struct pod *pod);
/* Off its group's queue, if it is on one. */
void waiting_leave(struct waiting *waiting, struct pod *pod);

/* That of a pod that waits. */
struct waiting_group *waiting_group_of(const struct waiting *waiting,
                                       const struct pod *pod);

/* The pods of a group in the order they are to be placed in; NULL: no more. */
struct pod *waiting_first(const struct waiting_group *group);
struct pod *waiting_next(const struct waiting_group *group,
                         const struct pod *pod);
