/* net.h - the node's pod network.
 *
 * A bridge with the first address of the node's subnet; for each pod a veth
 * pair, one end on the bridge, the other named eth0 straight in the pod's
 * network namespace; NAT to the outside; routes to the other nodes' subnets
 * (host-gw), through a VXLAN tunnel to those that are no neighbours; one
 * nftables table, replaced in a transaction.
 *
 * Nothing can leak through a crash: a pod's namespace lives as long as a
 * descriptor or a process holds it, and its veth pair goes with it. All
 * block for a few netlink round trips, from one thread but where it is said. */
#pragma once

#include "base/error.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct net;

enum { NET_BRIDGE_MAX = 15, NET_TABLE_MAX = 31 }; /* of names */
/* 1 to `max` letters, digits, _ and -: names go into commands and paths. */
bool net_is_name(const char *name, size_t max);

struct net_config {
    const char *bridge; /* "kontor0" */
    const char *subnet; /* "10.42.2.0/24", from the masters */
    const char *table;  /* nftables table's name, "kontor" */
};

/* How other nodes' pods are reached: by routes between neighbours, else by a
 * tunnel; by routes alone; by a tunnel also where a route would do. */
enum net_overlay { NET_OVERLAY_AUTO, NET_OVERLAY_NEVER, NET_OVERLAY_ALWAYS };

/* "auto", "never", "always"; INVALID_ARGUMENT for anything else. */
int net_overlay_parse(const char *text, enum net_overlay *out,
                      struct error *why);

/* For the routes to come; AUTO unless said. */
void net_set_overlay(struct net *net, enum net_overlay overlay);

/* Bring bridge, address, sysctls and table to what they must be, whatever was
 * there. INVALID_ARGUMENT names a subnet that is none; FAILED_PRECONDITION: the
 * bridge is no bridge, or holds pods of another subnet, so of another node. */
int net_open(struct net **out, const struct net_config *config,
             struct error *why);

/* Leave everything standing for pods that go on. */
void net_free(struct net *net);

/* Remove what is there, nothing is left; the net need not be open. */
int net_remove(const char *bridge, const char *table, struct error *why);

/* Take a free address for `pod_id`, released ones last; RESOURCE_EXHAUSTED when
 * the subnet is full, INVALID_ARGUMENT for an id of 2^52 or more, which no
 * interface's name could hold. */
int net_claim(struct net *net, uint64_t pod_id, struct in_addr *address,
              struct error *why);

/* After a restart: `pod_id` has this address. ALREADY_EXISTS when the pod has
 * another or another pod has it, OUT_OF_RANGE when it is not of the subnet. */
int net_adopt(struct net *net, uint64_t pod_id, struct in_addr address,
              struct error *why);

/* After net_adopt() of all pods that are there: what else net_open() found, an
 * interface that is still being taken down, may not be sent from. */
void net_adopted(struct net *net);

/* After net_detach(). */
void net_release(struct net *net, uint64_t pod_id);

struct net_pod {
    uint64_t pod_id;
    struct in_addr address; /* as claimed */
    uint64_t net_bits;      /* limit each way per second; 0: none */
    int netns;              /* borrowed: the namespace to use; 0: one is made */
};

/* Make a network namespace, or take the one that is given, with loopback up and
 * eth0 configured (address, default route, both limits: tbf on each end).
 * *netns_fd is the caller's to close (close-on-exec). Nothing is left when it
 * fails but that the address may be sent from, until net_detach().
 * ALREADY_EXISTS when another node's pod on this machine has an interface of
 * this name. From any thread, as the next. */
int net_attach(struct net *net, const struct net_pod *pod, int *netns_fd,
               struct error *why);

/* Make the next pod's namespace, if there is none. From any thread. */
void net_prepare(struct net *net);

/* Nothing may be sent from the pod's address; its interface is gone already. */
void net_detach(struct net *net, uint64_t pod_id, struct in_addr address);

/* Call `each` for every pod's interface with the bytes that went to the pod
 * and came from it. From any thread. */
int net_each_traffic(const struct net *net,
                     void (*each)(void *data, uint64_t pod_id,
                                  uint64_t in_bytes, uint64_t out_bytes),
                     void *data, struct error *why);

struct net_route {
    char subnet[32]; /* "10.42.3.0/24" */
    char via[64];    /* the other node's host address */
};

/* Make the routes to other nodes exactly these; none is needed to a node on
 * this machine. INVALID_ARGUMENT names a subnet that is none, and nothing is
 * changed; UNAVAILABLE the first node that cannot be reached (or, without
 * tunnels, is no neighbour), while the others' routes are set. */
int net_set_routes(struct net *net, const struct net_route *routes,
                   size_t count, struct error *why);

/* Bits per second of the interface that has the default route (or, without
 * one, of the first that is up), from ethtool; 0 when it does not say. */
uint64_t net_link_speed(void);

/* The name of that interface, "" when none is up. */
enum { NET_LINK_NAME_MAX = 16 }; /* with its NUL, as the kernel has it */
void net_link_name(char name[NET_LINK_NAME_MAX]);
