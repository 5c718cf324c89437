/* cluster_groups.h - pods as parts of a whole: an app's replicas, and who
 * may be moved or yields to whom.
 *
 * Pure. */
#pragma once

#include "master/cluster_pods.h"

/* How many of the app's pods live and were not asked to stop. O(its pods). */
size_t app_staying(const struct app *app);

/* It is on a node and may be asked to go to another one now. */
bool pod_is_movable(const struct pod *pod);

/* It may be made to wait again so that one of that priority gets its room: not
 * one that is asked to stop, or that must not run twice. */
bool pod_may_yield(const struct pod *pod, int32_t priority);
