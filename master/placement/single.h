/* single.h - what one node is to who waits: the other way round from
 * placement_choose(); and which apps there are.
 *
 * Pure. Nodes go by their ids; an unknown or closed one is none. */
#pragma once

#include "master/placement/placement.h"

/* What the node has left for new pods; false: it takes none. */
bool placement_offers(const struct placement *placement, uint64_t node_id,
                      struct resources *room);

/* What it would have if all went that may ever have to, and the lowest priority
 * there; false: it takes none, or nobody there is below that priority. O(1),
 * or O(its pods) when those have changed. */
bool placement_could_offer(struct placement *placement, uint64_t node_id,
                           int32_t priority, struct resources *room,
                           int32_t *lowest);

/* Its name, labels and taints allow the pod; a spec's app does not matter. */
bool placement_suits(const struct placement *placement, uint64_t node_id,
                     const Kontor__V1__PodSpec *spec);

/* So do the other pods there. */
bool placement_admits(const struct placement *placement, uint64_t node_id,
                      const Kontor__V1__PodSpec *spec);

/* The pod does not fit but would if some of lower priority went; its rules
 * allow it. O(pods of the node). */
bool placement_would_yield(struct placement *placement, uint64_t node_id,
                           const struct placement_request *request);

/* At most how many of these fit now, where other pods do not matter; counts no
 * further than `enough`. O(nodes). */
size_t placement_room_for(const struct placement *placement,
                          const struct placement_request *request,
                          size_t enough);

/* A pod of the app is on some node, or is held to come there. */
bool placement_has_app(const struct placement *placement, const char *app);

/* Whose app it counts, "" when none; borrowed from it. */
const char *placement_hold_app(const struct placement_hold *hold);
