/* space.h - inside node/net: the pods' network namespaces. */
#pragma once

#include "base/error.h"

#include <pthread.h>

struct net;
struct nl_sock;

/* One, and a route socket in it. */
struct net_space {
    int fd; /* -1: none */
    struct nl_sock *socket;
};

/* The kernel has one lock for all that is done here to interfaces. Netlink
 * sleeps until it is free; but writing a sysctl of IPv6 tries again and again,
 * with a whole processor, and others go before it. So our threads take turns.
 */
extern pthread_mutex_t net_interfaces_turn;

void net_space_init(struct net *net);

/* In the namespace that is `given`; 0: in the spare, or a new one. From any
 * thread. */
int net_space_open(struct net *net, int given, struct net_space *out,
                   struct error *why);
void net_space_close(struct net_space *space);
