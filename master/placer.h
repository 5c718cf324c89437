/* placer.h - the leader's choosing: room kept for what is under way, and
 * pending pods placed when something may have helped them: a node opened, has
 * more room or other labels; a pod went; one came that others want to be with.
 *
 * Every master keeps the view of the nodes up to date; only the leader
 * chooses by it. */
#pragma once

#include "kontor/v1/command.pb-c.h"
#include "master/cluster.h"
#include "master/placement/explain.h"
#include "master/placement/presence.h"
#include "raft/replica.h"

struct placer {
    struct placement *view;     /* owned */
    struct cluster *cluster;    /* borrowed */
    struct replica *replica;    /* borrowed */
    bool look_again;            /* at the pending pods: some may fit now */
    int32_t waiting;            /* the highest priority of those that wait: one
                                   of a lower may have to make room */
    struct presences awaited;   /* apps that pending pods want to be with */
    struct placer_batch *batch; /* the PlacePods under way, or NULL */
    struct placer_preemption *preemption; /* the PreemptPods, or NULL */
};

void placer_init(struct placer *placer, struct cluster *cluster);
void placer_fini(struct placer *placer);

/* A snapshot took the place of the state. */
void placer_reset(struct placer *placer, struct cluster *cluster);

/* Take over what changed about nodes; after every command that was applied,
 * before reservations for it are released. */
void placer_refresh(struct placer *placer);

/* Propose places for pending pods, oldest first, when there may be some; as
 * leader, at the end of a loop turn. O(pending pods) when room appeared. */
void placer_step(struct placer *placer);

/* What was proposed for a pod is applied, or has failed: give back the room
 * that was kept for it (NULL: it was found to fit nowhere), and look at the
 * pending pods again when that helps: the pod did not take the room, so others
 * may; or it is pending, and room has appeared since. `pod_id` 0: there is no
 * pod. */
void placer_return(struct placer *placer, struct placement_hold *hold,
                   uint64_t pod_id);

/* We began to lead: everything may be placed. */
void placer_lead(struct placer *placer);

/* A request as the view reads it; `spec` is borrowed. */
struct placement_request placer_request(const Kontor__V1__PodSpec *spec);

/* Why a pod is nowhere, as things stand now; for a pod on a node as if it
 * were still to be placed. The array as of placement_explain(), its nodes
 * borrowed from `cluster`; `summary` is filled. */
struct placement_verdict *placer_why(struct placer *placer,
                                     const struct pod *pod, size_t *count,
                                     char summary[PLACEMENT_SUMMARY_MAX]);

/* Of a gang that waits, `pod` among it, how many pods fit now; *size: of all.
 * O(size). */
size_t placer_gang_room(struct placer *placer, const struct pod *pod,
                        size_t *size);

/* Why a gang is pending: of how many pods, how many fit. */
#define PLACER_GANG_WAITS \
    "one of a gang of %u pods, of which %zu fit: it waits until all do"
