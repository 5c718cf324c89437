/* preemptor.h - of the pods that fit nowhere, one gets the room of others of
 * lower priority; for matcher.c.
 *
 * One at a time: what its command changes may be what the next one needs. */
#pragma once

#include "master/placement/preempt.h"
#include "master/placer.h"

/* As placement_preempt(), which see; none where one of them is about to go by
 * itself: it is waited for. */
struct placement_victims preempt_seek(const struct cluster *cluster,
                                      struct placement *view,
                                      const struct placement_request *request);

/* The first of those that may preempt; NULL: there is none, or it has to wait
 * until one that is under way is done, or the format is reached. */
struct seeker *preempt_whom(const struct placer *placer);

/* Propose a PreemptPods for the first whom it helps. O(nodes) for each that it
 * does not help. */
void preempt_next(struct placer *placer);

/* The placer goes before the proposal ends. NULL: there is none. */
void preemption_forget(struct placer_preemption *preemption);
