/* routes.h - where other nodes' pods are reached, as messages. */
#pragma once

#include "kontor/v1/cluster.pb-c.h"
#include "master/cluster.h"

struct routes {
    Kontor__V1__NodeRoute **pointers; /* owned, to `routes` */
    struct route *routes;             /* owned */
    size_t count;
};

/* To every node but `node_id` whose address changed after index `after` (0:
 * to all), in order of id. O(nodes). */
void routes_init(struct routes *routes, const struct cluster *cluster,
                 uint64_t node_id, uint64_t after);
void routes_fini(struct routes *routes);
