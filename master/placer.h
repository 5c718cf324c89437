/* placer.h - the leader's choosing: room kept for what is under way, and
 * pending pods placed when something may have helped them.
 *
 * Every master keeps the view of the nodes and of those who wait up to date;
 * only the leader chooses by it (matcher.h). */
#pragma once

#include "kontor/v1/command.pb-c.h"
#include "master/cluster.h"
#include "master/keeper.h"
#include "master/pending.h"
#include "master/placement/explain.h"
#include "raft/replica.h"

struct placer {
    struct placement *view;  /* owned */
    struct cluster *cluster; /* borrowed */
    struct replica *replica; /* borrowed */
    struct pending pending;
    struct keeper keeper;
    struct list helped;    /* nodes: some of who wait may fit there now */
    struct list contested; /* and where others would have to go */
    struct list batches;   /* PlacePods under way */
    size_t batch_count;
    struct placer_preemption *preemption; /* the PreemptPods, or NULL */
    int64_t looks_left;                   /* see matcher.c */
    int64_t preempt_looks_left;           /* for room that others have */
    int64_t reason_looks_left;            /* for why there is none */
    uint64_t counted_ms;
};

void placer_init(struct placer *placer, struct cluster *cluster);
void placer_fini(struct placer *placer);

/* A snapshot took the place of the state. */
void placer_reset(struct placer *placer, struct cluster *cluster);

/* Take over what changed about nodes; after every command that was applied,
 * before reservations for it are released. */
void placer_refresh(struct placer *placer);

/* What was proposed for a pod is applied, or has failed: give back the room
 * that was kept for it. `pod_id` 0: there is no pod. */
void placer_return(struct placer *placer, struct placement_hold *hold,
                   uint64_t pod_id);

/* The view of a node is as the state has it. True: it may take something now
 * that it could not take before. */
bool placer_see(struct placer *placer, const struct node *node);

/* Some of who wait may fit on that node now. */
void placer_help(struct placer *placer, struct node *node);
/* And where others would have to go: one of them has gone, or is not to. */
void placer_help_contested(struct placer *placer);

/* We began to lead: everything may be placed. */
void placer_lead(struct placer *placer);

/* A request as the view reads it; `spec` is borrowed. */
struct placement_request placer_request(const Kontor__V1__PodSpec *spec);

/* What is said where there is no time to find out why. */
#define PLACER_NOWHERE "fits on no node"

/* Why what was just asked for fits nowhere. When what may be looked at for that
 * is used up (matcher.c) only that it is so. O(nodes). */
void placer_reason(struct placer *placer,
                   const struct placement_request *request,
                   char text[PLACEMENT_SUMMARY_MAX]);

/* What kctl why is told: of so many nodes, the closest; and whose going would
 * help as long as there are looks left for it (some 20 ms). */
enum { WHY_VERDICTS_MAX = 2000, WHY_LOOKS_MAX = 300000 };

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

/* Hold room for all of so many alike, in holds[]; or for none. Returns how many
 * fit. */
size_t placer_hold_all(struct placement *view,
                       const struct placement_request *request, size_t size,
                       struct placement_hold **holds);

/* Why a gang is pending: of how many pods, how many fit. */
#define PLACER_GANG_WAITS \
    "one of a gang of %u pods, of which %zu fit: it waits until all do"
