/* routes.h - where other nodes' pods are reached, as messages. */
#pragma once

#include "kontor/v1/cluster.pb-c.h"
#include "master/cluster.h"

struct routes {
    Kontor__V1__NodeRoute **pointers; /* owned, with what they point to */
    size_t count;
};

/* To every node but `node_id`, in order of id. */
void routes_init(struct routes *routes, const struct cluster *cluster,
                 uint64_t node_id);
void routes_fini(struct routes *routes);
