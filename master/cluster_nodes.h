/* cluster_nodes.h - the nodes that registered, and what is left of each.
 *
 * Pure. Nodes are never forgotten; a name keeps its id and subnet.
 *
 * Invariant: allocated is the sum of what the living pods on `pods` want, and
 * no pod is put where it exceeds the capacity. A node that comes back with
 * less than was given away keeps its pods and gets no new ones. */
#pragma once

#include "base/list.h"
#include "master/cluster_departures.h"
#include "master/cluster_labels.h"
#include "master/cluster_pods.h"
#include "master/placement/placement.h"

enum {
    NODES_MAX = PLACEMENT_NODES_MAX,
    POD_NETWORK_TEXT_MAX = 32,
};

/* A range of IPv4 addresses that /24 subnets are cut from. Subnet number 1 is
 * the second /24: the first stays for the cluster's own use. */
struct pod_network {
    uint32_t base;   /* host byte order */
    uint32_t prefix; /* 8..23; 0: not yet settled */
};

/* "10.42.0.0/16". INVALID_ARGUMENT says what is wrong. */
int pod_network_parse(const char *text, struct pod_network *network,
                      struct error *why);
char *pod_network_text(const struct pod_network *network,
                       char text[POD_NETWORK_TEXT_MAX]);
/* The greatest subnet number. */
uint32_t pod_network_subnets(const struct pod_network *network);
char *pod_network_subnet(const struct pod_network *network, uint32_t number,
                         char text[POD_NETWORK_TEXT_MAX]);

struct node {
    struct map_link by_id;
    struct map_link by_name;
    struct list all;     /* in order of id */
    struct list changed; /* see nodes_take_changed() */
    struct list helped;  /* the placer's, as is `kept` */
    struct list pods;    /* struct pod, by queue */
    uint64_t id;
    uint64_t registered_at_ms;
    uint64_t routed_index; /* that last changed its address */
    struct text *name;
    struct text *address;
    struct text *version;
    struct labels own_labels; /* as it registered */
    struct labels set_labels; /* by an operator */
    struct labels labels;     /* what counts: its own, and over them the set */
    struct labels taints;
    struct resources capacity;
    struct resources allocated;
    struct departures leaving;
    uint32_t pod_count;
    uint32_t subnet_number; /* 1 ... */
    int32_t state;          /* Kontor__V1__NodeState */
    bool cordoned;
    bool kept;
};

/* Told when a pod is put on a node and taken off; NULL: nobody is. */
struct node_watcher {
    void (*put)(void *data, struct node *node, const struct pod *pod);
    void (*taken)(void *data, struct node *node, const struct pod *pod);
    void *data;
};

struct nodes {
    struct node_watcher watcher;
    struct map by_id;
    struct map by_name;
    struct list all;
    struct list changed;
    size_t count;
};

void nodes_init(struct nodes *nodes);
/* After the pods are gone. */
void nodes_fini(struct nodes *nodes);

struct node *nodes_find(const struct nodes *nodes, uint64_t id);
struct node *nodes_find_name(const struct nodes *nodes, const char *name);

/* A new node, greatest in id: READY, without capacity. */
struct node *nodes_add(struct nodes *nodes, uint64_t id, const char *name);

/* Replace its own labels by copies. */
void node_set_own_labels(struct node *node, Kontor__V1__Label *const *labels,
                         size_t count);

/* Its own or the set labels have changed: make out what counts. */
void node_settle_labels(struct node *node);

/* Something about the node changed that matters for placing. */
void nodes_touch(struct nodes *nodes, struct node *node);
/* A node that was touched since it was last taken, or NULL. */
struct node *nodes_take_changed(struct nodes *nodes);

/* Put a pod on a node, and take it off. */
void node_put(struct nodes *nodes, struct node *node, struct pod *pod);
void node_take(struct nodes *nodes, struct node *node, struct pod *pod);

/* Its pods, or those that are leaving it, in order of id: the order on lists
 * is not part of the state. An array of *count, free()d by the caller. */
struct pod **node_pods(const struct node *node, size_t *count);
struct pod **node_pods_leaving(const struct node *node, size_t *count);

/* There is not room on the machine for all that is there beside what the state
 * has there: something has to go first. */
bool node_crowded(const struct node *node);

/* What placement is to know of a node. Its name is borrowed. */
struct placement_node node_placement(const struct node *node);
