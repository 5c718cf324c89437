/* network.h - what the masters give a node: its subnet and the routes to the
 * others; kept, so that a node that starts while no master answers goes on
 * with what it had. */
#pragma once

#include "kontor/v1/cluster.pb-c.h"
#include "node/home.h"
#include "node/net/net.h"
#include "node/pod/engine.h"

struct node_network {
    const struct home *home;                 /* borrowed */
    const struct home_names *names;          /* borrowed */
    struct pod_engine *engine;               /* borrowed */
    Kontor__V1__RegisterNodeResponse *known; /* owned; NULL: nothing yet */
    struct net *net;                         /* owned; NULL: not open */
    enum net_overlay overlay;                /* of the net, once it opens */
};

void node_network_init(struct node_network *network, const struct home *home,
                       const struct home_names *names,
                       struct pod_engine *engine);

/* Take up what an earlier life was given. NOT_FOUND: it was given nothing. */
int node_network_recall(struct node_network *network, struct error *why);

/* The node was registered: keep the answer, open the network with its subnet,
 * let the pods go on. Routes stay what they are. FAILED_PRECONDITION when the
 * subnet is another than before: pods have addresses in it. */
int node_network_registered(struct node_network *network,
                            const Kontor__V1__RegisterNodeResponse *answer,
                            struct error *why);

/* Exactly these routes from now on; with `merge`, these in place of those to
 * the same subnets. FAILED_PRECONDITION before the node was registered. */
int node_network_set_routes(struct node_network *network,
                            Kontor__V1__NodeRoute **routes, size_t count,
                            bool merge, struct error *why);

/* Bridge, table and routes stay for the pods that run on. */
void node_network_fini(struct node_network *network);

/* `knode remove`: nothing is left of what a node with this home made. */
int node_network_remove(const struct home *home, const struct home_names *names,
                        struct error *why);
