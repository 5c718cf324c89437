/* net.h - the node's pod network.
 *
 * A bridge with the first address of the node's subnet; for each pod a veth
 * pair, one end on the bridge, the other named eth0 straight in the pod's
 * network namespace; NAT to the outside; routes to the other nodes' subnets
 * (host-gw); one nftables table, replaced in a transaction.
 *
 * Nothing can leak through a crash: a pod's namespace lives as long as a
 * descriptor or a process holds it, and its veth pair goes with it. All
 * functions block for at most a few netlink round trips. net_attach() may be
 * called from any thread; the others from one. */
#pragma once

#include "base/error.h"

#include <netinet/in.h>
#include <stdint.h>

struct net;

struct net_config {
    const char *bridge; /* "kontor0" */
    const char *subnet; /* "10.42.2.0/24", from the masters */
    const char *table;  /* nftables table's name, "kontor" */
};

/* Bring bridge, address, sysctls and table to what they must be, whatever
 * was there. INVALID_ARGUMENT names a subnet that is none. */
int net_open(struct net **out, const struct net_config *config,
             struct error *why);

/* Leave everything standing for pods that go on running. */
void net_free(struct net *net);

/* Remove bridge, table and routes: nothing is left. */
int net_remove(struct net *net, struct error *why);

/* Take a free address for `pod_id`; RESOURCE_EXHAUSTED when the subnet is
 * full. Released ones are reused last. */
int net_claim(struct net *net, uint64_t pod_id, struct in_addr *address,
              struct error *why);

/* After a restart: `pod_id` has this address. */
int net_adopt(struct net *net, uint64_t pod_id, struct in_addr address,
              struct error *why);

void net_release(struct net *net, uint64_t pod_id);

struct net_pod {
    uint64_t pod_id;
    struct in_addr address; /* as claimed */
    uint64_t net_bits;      /* limit each way per second; 0: none */
};

/* Make a network namespace with loopback up and eth0 configured (address,
 * default route, both limits: tbf on each end). *netns_fd is the caller's to
 * close (close-on-exec). Nothing is left when it fails. */
int net_attach(const struct net *net, const struct net_pod *pod, int *netns_fd,
               struct error *why);

struct net_route {
    char subnet[32]; /* "10.42.3.0/24" */
    char via[64];    /* the other node's host address */
};

/* Make the routes to other nodes exactly these. */
int net_set_routes(struct net *net, const struct net_route *routes,
                   size_t count, struct error *why);

/* Bits per second of the interface that has the default route (or, without
 * one, of the first that is up), from ethtool; 0 when it does not say. */
uint64_t net_link_speed(void);
