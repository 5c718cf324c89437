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
 * 6. A command of a newer format than this program knows is not applied; one
 *    of a newer format than the state's raises that, for good.
 * 7. Of a gang either no pod was ever placed or all that live were. */
#pragma once

#include "kontor/v1/command.pb-c.h"
#include "master/cluster_events.h"
#include "master/cluster_groups.h"
#include "master/cluster_nodes.h"
#include "master/cluster_pods.h"
#include "master/cluster_requests.h"

struct cluster {
    uint64_t index;  /* of the last command applied */
    uint32_t format; /* the newest of them; a snapshot holds nothing newer */
    uint32_t known;  /* the newest that this program can apply; not saved */
    uint64_t next_pod_id;
    uint64_t next_node_id;
    struct pod_network network;
    struct specs specs;
    struct pods pods;
    struct nodes nodes;
    struct requests requests;
    struct events events;
};

/* The formats of commands. One is proposed when the state has reached its
 * format, which it does by a command that says so and does nothing else: once
 * the programs of all masters know it (format.h). */
enum {
    /* LabelNode, CreatePods, ScaleApp, PreemptPods, MovePods, and what follows
     * from them. */
    CLUSTER_FORMAT_1 = 1,
    /* Commands that are joined. */
    CLUSTER_FORMAT_2 = 2,
    CLUSTER_FORMAT = CLUSTER_FORMAT_2,
};

/* Pods that one command makes or stops, at most. */
enum { PODS_PER_COMMAND_MAX = 10000 };

/* CLUSTER_FORMAT: a function, so that tests can be older programs. */
uint32_t cluster_format_known(void);

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

/* Apply the entry that was committed at `index`, greater than any before. Of
 * commands that were joined the result is the last one's; but `replayed` when
 * one of them was, and none follows one that is `beyond`.
 * O(what the commands name), and a lost node's pods. */
void cluster_apply(struct cluster *cluster, uint64_t index,
                   const uint8_t *bytes, size_t length,
                   struct cluster_result *result);

/* So many commands, serialised, as one of CLUSTER_FORMAT_2; `commands` stay the
 * caller's, as are the bytes that are returned. */
uint8_t *cluster_join(ProtobufCBinaryData *commands, size_t count,
                      size_t *length);

/* One command of an entry; NULL: it is not readable. */
void cluster_apply_command(struct cluster *cluster, uint64_t index,
                           const Kontor__V1__Command *command,
                           struct cluster_result *result);

/* Write the state to `fd`, in the form of SnapshotRecord. Reads only, but for
 * the numbers in specs. */
int cluster_save(struct cluster *cluster, int fd, struct error *why);

/* A state as cluster_save() wrote it, checked. UNIMPLEMENTED: its format is
 * newer than this program; DATA_LOSS says what is wrong. *out is untouched
 * then. */
int cluster_load(struct cluster **out, int fd, struct error *why);

/* Find what a person named: a pod's name, or an app's with exactly one pod
 * that lives. NOT_FOUND, or FAILED_PRECONDITION when the app has several. */
int cluster_find_pod(const struct cluster *cluster, const char *name,
                     struct pod **out, struct error *why);
