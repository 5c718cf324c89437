/* preemptor.h - of the pods that fit nowhere, one gets the room of others of
 * lower priority; for matcher.c.
 *
 * One at a time: what its command changes may be what the next one needs. */
#pragma once

#include "master/placer.h"

/* Propose a PreemptPods for the first whom it helps of those that may preempt,
 * unless one is under way. O(nodes) for each that it does not help. */
void preempt_next(struct placer *placer);

/* The placer goes before the proposal ends. NULL: there is none. */
void preemption_forget(struct placer_preemption *preemption);
