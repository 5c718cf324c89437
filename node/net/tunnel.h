/* tunnel.h - inside node/net: the ways to other nodes, and the tunnel that some
 * of them take. */
#pragma once

#include "node/net/parts.h"

/* A route, and what has to be known to take it. */
struct net_way {
    const struct net_route *route; /* borrowed */
    struct in_addr subnet;         /* its own address */
    struct in_addr node;
    bool here;   /* on this machine: there is nothing to do */
    bool tunnel; /* else the node is a neighbour */
};

enum {
    NET_TUNNEL_PORT = 7474,       /* UDP */
    NET_TUNNEL_HEADER_BYTES = 50, /* Ethernet, IPv4, UDP, VXLAN */
};

static inline int net_tunnel_mtu(const struct net *net)
{
    return net->mtu - NET_TUNNEL_HEADER_BYTES;
}

int net_tunnel_make(struct net *net, struct nl_sock *socket, struct error *why);
int net_tunnel_remove(struct net *net, struct nl_sock *socket,
                      struct error *why);

/* The far end called `end`, its subnet's own address, is at `node`. libnl's
 * code. */
int net_tunnel_add_end(const struct net *net, struct nl_sock *socket,
                       struct in_addr end, struct in_addr node);
void net_tunnel_forget_end(const struct net *net, struct nl_sock *socket,
                           struct in_addr end);

/* ---- routes.c -------------------------------------------------------------
 */

int net_routes_remove(struct net *net, struct error *why);
