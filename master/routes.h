/* routes.h - where each node's pods are reached, as messages that are made
 * once: thousands of nodes are told the same. */
#pragma once

#include "kontor/v1/cluster.pb-c.h"
#include "master/cluster.h"

struct routes {
    struct route **all; /* owned; in order of the index that changed them */
    size_t count;
    size_t capacity;
    uint64_t version; /* the newest of these indices; 0: no node is known */
};

void routes_fini(struct routes *routes);

/* The node is there, or has another address than when it was noted as `had`
 * (NULL: it was not). Returns what it is noted as now; owned by `routes`. */
struct route *routes_note(struct routes *routes, struct route *had,
                          const struct cluster *cluster,
                          const struct node *node);

/* To every node but `node_id` whose address changed after the index `after`
 * (0: to all). `out` is owned by the caller, the messages by `routes`, until
 * the next routes_note(). Returns how many. */
size_t routes_list(const struct routes *routes, uint64_t node_id,
                   uint64_t after, Kontor__V1__NodeRoute ***out);
