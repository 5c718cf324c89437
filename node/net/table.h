/* table.h - inside node/net: the nftables tables as a whole. */
#pragma once

#include "node/net/parts.h"
#include "node/net/tunnel.h"

/* With all the pods that are on the bridge, which are kept in net->found. */
int net_table_make(struct net *net, struct error *why);
int net_table_remove(const struct net *net, struct error *why);

/* The subnets that are reached without NAT, and whose tunnels are heard. */
int net_table_set_peers(struct net *net, const struct net_way *ways,
                        size_t count, struct error *why);
