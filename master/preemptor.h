/* preemptor.h - of the pods that fit nowhere, one gets the room of others of
 * lower priority; for placer.c.
 *
 * One at a time: what its command changes may be what the next one needs. */
#pragma once

#include "master/placer.h"

enum { PREEMPTORS_MAX = 64 };

/* Those that a pass found to fit nowhere, the highest priority first and then
 * in the order they came. */
struct preemptors {
    const struct pod *pods[PREEMPTORS_MAX];
    size_t count;
};

void preemptors_add(struct preemptors *preemptors, const struct pod *pod);

/* Propose a PreemptPods for the first that it helps, unless one is under way.
 * O(nodes) for each that it does not. */
void preempt_for(struct placer *placer, const struct preemptors *preemptors);

/* The placer goes before the proposal ends. NULL: there is none. */
void preemption_forget(struct placer_preemption *preemption);
