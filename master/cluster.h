/* cluster.h - the cluster's state: what every master agrees on.
 *
 * Pure: changed only by applying committed commands in order; the same
 * commands give the same state, and the same snapshot bytes, everywhere. All
 * that depends on the moment is in the commands.
 *
 *      pending --place--> on a node --report--> ended --too many--> forgotten
 *         ^                  |
 *         +--- node lost ----+
 *            or drained, or another
 *            of a higher priority
 *
 * Invariants:
 * 1. No pod is put on a node that has not got room for it, whatever the
 *    proposer thought: it becomes pending instead.
 * 2. A pod's generation grows with every placement; what is reported for
 *    another generation, or by another node, changes nothing.
 * 3. Ids of pods and nodes never return.
 * 4. A write with a remembered request id is answered again, not done again.
 * 5. A command that cannot be done, or read, changes nothing but that the
 *    refusal is remembered.
 * 6. A command of a newer format than this program knows is not applied.
 * 7. Of a gang either no pod was ever placed or all that live were. */
#pragma once

#include "master/cluster_events.h"
#include "master/cluster_groups.h"
#include "master/cluster_nodes.h"
#include "master/cluster_pods.h"
#include "master/cluster_requests.h"

struct cluster {
    uint64_t index;  /* of the last command applied */
    uint32_t format; /* the newest of them; a snapshot holds nothing newer */
    uint64_t next_pod_id;
    uint64_t next_node_id;
    struct pod_network network;
    struct specs specs;
    struct pods pods;
    struct nodes nodes;
    struct requests requests;
    struct events events;
};

/* The newest Command.format that is known here. A release writes no newer one
 * than the release before it knows, so that masters one release apart run
 * together. */
enum {
    /* LabelNode, CreatePods, ScaleApp, PreemptPods, MovePods, and what follows
     * from them. */
    CLUSTER_FORMAT_1 = 1,
    CLUSTER_FORMAT = CLUSTER_FORMAT_1,
};

/* Pods that one command makes or stops, at most. */
enum { PODS_PER_COMMAND_MAX = 10000 };

struct cluster *cluster_new(void);
void cluster_free(struct cluster *cluster);

/* What became of a command. */
struct cluster_result {
    struct error error;  /* code 0: done */
    uint64_t index;      /* of the command that did it: the first one's */
    uint64_t subject_id; /* the pod or node; 0 for batches */
    bool replayed;       /* the request was remembered; nothing was done */
    bool beyond;         /* of a newer format; nothing was done, and this state
                            is not the others' from here on */
};

/* Apply the command that was committed at `index`, greater than any before.
 * O(what the command names), and a lost node's pods. */
void cluster_apply(struct cluster *cluster, uint64_t index,
                   const uint8_t *bytes, size_t length,
                   struct cluster_result *result);

/* Write the state to `fd`, in the form of SnapshotRecord. Reads only, but for
 * the numbers in specs. */
int cluster_save(struct cluster *cluster, int fd, struct error *why);

/* A state as cluster_save() wrote it, checked. DATA_LOSS says what is wrong;
 * *out is untouched then. */
int cluster_load(struct cluster **out, int fd, struct error *why);

/* Find what a person named: a pod's name, or an app's with exactly one pod
 * that lives. NOT_FOUND, or FAILED_PRECONDITION when the app has several. */
int cluster_find_pod(const struct cluster *cluster, const char *name,
                     struct pod **out, struct error *why);
