/* parts.h - inside node/net: the parts that net.c joins. */
#pragma once

#include "base/buffer.h"
#include "node/net/net.h"
#include "node/net/pool.h"
#include "node/net/space.h"

#include <net/if.h>
#include <netlink/netlink.h>
#include <pthread.h>
#include <stdatomic.h>

_Static_assert(NET_BRIDGE_MAX == IFNAMSIZ - 1, "as the kernel has it");

/* A pod's interface that was there before this life of knode. */
struct net_found {
    uint64_t pod_id;
    struct in_addr address;
};

struct net {
    char bridge[NET_BRIDGE_MAX + 1];
    char table[NET_TABLE_MAX + 1];
    int bridge_index;
    enum net_overlay overlay;
    char tunnel[IFNAMSIZ];
    int tunnel_index;   /* 0: there is none */
    int mtu;            /* the uplink's */
    atomic_int pod_mtu; /* less what a tunnel adds, while there is one */
    in_addr_t subnet;   /* in host order */
    unsigned prefix;
    struct in_addr gateway; /* the bridge's own: the subnet's first */
    struct net_pool pool;
    struct net_found *found; /* until net_adopted() */
    size_t found_count;
    struct net_space spare; /* the next pod's (space.c) */
    bool preparing;         /* a thread makes it */
    pthread_mutex_t lock;   /* of these two */
    int filter;             /* senders.c's socket, with its turn; -1: closed */
    uint32_t last_message;  /* by it */
};

/* ---- netlink.c: sockets and errors ---------------------------------------
 * ---- */

/* A route socket in the calling thread's network namespace. */
int netlink_open(struct nl_sock **out, struct error *why);
void netlink_close(struct nl_sock **socket); /* for CLEANUP */

/* error_errno() for libnl's codes. */
int netlink_error(struct error *why, int code, const char *format, ...)
    PRINTF_LIKE(3, 4);

struct rtnl_link;
void netlink_link_put(struct rtnl_link **link);   /* for CLEANUP */
void netlink_cache_free(struct nl_cache **cache); /* for CLEANUP */

/* Take the interface up; libnl's code. */
int netlink_bring_up(struct nl_sock *socket, int index);

/* Give the interface an address and with it the subnet's broadcast address;
 * libnl's code. */
int netlink_add_address(struct nl_sock *socket, int index,
                        struct in_addr address, unsigned prefix);

/* Write a file of /proc/sys/net, which shows the calling thread's network
 * namespace. */
int net_sysctl(const char *path, const char *value, struct error *why);

/* An interface of the host's with IPv4 alone. */
void net_disable_ipv6(const char *interface);

/* Hosts' MAC addresses are made of their IPv4 address: nothing to remember,
 * and a bridge whose own never changes. */
enum net_mac_side {
    NET_MAC_POD = 0x02,
    NET_MAC_HOST = 0x06,
    NET_MAC_TUNNEL = 0x0a,
};
enum { NET_MAC_BYTES = 6 };

void net_mac(unsigned char out[NET_MAC_BYTES], enum net_mac_side side,
             struct in_addr address);

void net_set_mac(struct rtnl_link *link, enum net_mac_side side,
                 struct in_addr address);

/* ---- bridge.c ---- */

int net_bridge_make(struct net *net, struct error *why);
int net_bridge_remove(const struct net *net, struct error *why);

/* The interface with the default route, or the first that is up. */
int net_uplink(struct nl_sock *socket, struct rtnl_link **link,
               struct error *why);

/* ---- shape.c ---- */

/* Let no more than `bits` a second leave by an interface. */
int net_shape(struct nl_sock *socket, int index, uint64_t bits,
              struct error *why);

/* ---- attach.c ---- */

/* The host's end of a pod's pair: "kp" and the pod's id in hex, which must
 * be below 2^52 to fit. */
enum { NET_POD_ID_BITS = 52 };

void net_pod_interface(char name[IFNAMSIZ], uint64_t pod_id);
bool net_pod_of(const char *interface, uint64_t *pod_id); /* false: of none */

/* Call `each` for every pod's pair on the bridge, with the pod's address. */
int net_each_pod(const struct net *net, struct nl_sock *socket,
                 void (*each)(void *data, uint64_t pod_id,
                              struct in_addr address),
                 void *data, struct error *why);
