/* senders.h - inside node/net: which pods the packet filter lets through. */
#pragma once

#include "node/net/parts.h"

/* Of all that tells netfilter something. */
extern pthread_mutex_t net_filter_turn;

/* For the others, once the table is there. */
int net_senders_open(struct net *net, struct error *why);

/* `name` may send from `address`, and from no other. From any thread, as the
 * next, for which not being there is success. */
int net_senders_add(struct net *net, const char *name, struct in_addr address,
                    struct error *why);
int net_senders_remove(struct net *net, const char *name,
                       struct in_addr address, struct error *why);
