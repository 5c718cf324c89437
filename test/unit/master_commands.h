/* master_commands.h - commands made and applied in one line, for tests of
 * master/cluster. Each returns the result; the index counts up by itself. */
#pragma once

#include "kontor/v1/command.pb-c.h"
#include "master/cluster.h"

/* Ids of requests; NO_REQUEST gives none. */
enum { NO_REQUEST = 0 };

struct wanted {
    uint32_t cpu_milli;
    uint64_t memory_bytes;
    uint64_t disk_bytes;
    uint64_t net_bits;
};

struct create {
    const char *app; /* NULL: "web" */
    const char *pin; /* NULL: none */
    struct wanted want;
    uint64_t node_id;
    bool named;
    uint64_t request;
    Kontor__V1__RestartPolicy restart;
    int32_t priority;
};

enum { MOVES_MAX = 1024 }; /* in one command */

struct move {
    uint64_t pod_id;
    uint32_t generation;
    uint64_t node_id;
};

/* Where each of many goes. */
struct nodes_chosen {
    const uint64_t *ids;
    size_t count;
    uint64_t like_pod_id; /* of do_scale(): for whose spec; 0: not told */
};

/* One placement of a PlacePods. */
struct chosen {
    uint64_t pod_id;
    uint64_t node_id;
};

/* Serialise and apply at cluster->index + 1. */
struct cluster_result apply_message(struct cluster *cluster,
                                    const Kontor__V1__Command *command);

/* From now on commands are kept and nothing is applied, until they are: as one
 * entry. */
void join_commands(void);
struct cluster_result apply_joined(struct cluster *cluster);

struct cluster_result do_create(struct cluster *cluster, struct create create);
/* Of `create` all but its node counts. */
struct cluster_result do_create_many(struct cluster *cluster,
                                     struct create create,
                                     struct nodes_chosen nodes, bool gang);
struct cluster_result do_scale(struct cluster *cluster, const char *app,
                               uint32_t replicas, struct nodes_chosen nodes,
                               uint64_t request);
struct cluster_result do_place_many(struct cluster *cluster,
                                    const struct chosen *chosen, size_t count);
/* Of the victims the pods, and 0 for the present generations. */
struct cluster_result do_preempt(struct cluster *cluster, struct chosen winner,
                                 const struct move *victims, size_t count);
struct cluster_result do_stop(struct cluster *cluster, uint64_t pod_id,
                              uint64_t request);
struct cluster_result do_place(struct cluster *cluster, uint64_t pod_id,
                               uint64_t node_id);
struct cluster_result do_report(struct cluster *cluster, uint64_t node_id,
                                uint64_t pod_id, uint32_t generation,
                                Kontor__V1__PodPhase phase);
struct cluster_result do_register(struct cluster *cluster, const char *name,
                                  struct wanted capacity);
/* Node n`number` of a cluster with room for 65,535 of them. */
struct cluster_result do_register_one_of_many(struct cluster *cluster,
                                              unsigned number,
                                              struct wanted capacity);
struct cluster_result do_state(struct cluster *cluster, uint64_t node_id,
                               Kontor__V1__NodeState state);
struct cluster_result do_cordon(struct cluster *cluster, uint64_t node_id,
                                bool cordoned);
/* "zone=b disk- !gpu=yes !old-": labels, and behind "!" taints, to be set or
 * removed. */
struct cluster_result do_label(struct cluster *cluster, uint64_t node_id,
                               const char *words);

struct cluster_result do_move(struct cluster *cluster, uint64_t pod_id,
                              uint32_t generation, uint64_t node_id);
/* All or none. */
struct cluster_result do_moves(struct cluster *cluster,
                               const struct move *moves, size_t count);
struct cluster_result do_drain(struct cluster *cluster, uint64_t node_id,
                               const struct move *moves, size_t count,
                               bool force);

/* The snapshot's bytes in an anonymous file, at its start. */
int save_to_file(struct cluster *cluster);
/* Byte by byte the same state. */
bool same_state(struct cluster *a, struct cluster *b);
