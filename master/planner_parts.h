/* planner_parts.h - what the planner's files share. */
#pragma once

#include "master/placement/preempt.h"
#include "master/planner.h"

/* At nodes, pods and sets of pods, for who could make room: some 50 ms. */
enum { PLAN_LOOKS_MAX = 1000000 };

/* What becomes of one more pod. */
void plan_note(struct plan *plan, struct plan_pod pod);

/* Take pods off a node of the copy so that one of higher priority fits there,
 * as the preemptor would; those are told, by id, and are the caller's as after
 * placement_preempt(). Node 0: none make room. Adds to *looks. */
struct placement_victims plan_evict(struct plan *plan,
                                    const struct placement_request *request,
                                    size_t *looks);
