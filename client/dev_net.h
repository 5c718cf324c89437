/* dev_net.h - the bridge and the nodes' network namespaces.
 *
 * Every function brings one thing to what it must be, or makes sure that it
 * is gone, whatever was there. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

/* The bridge, up, with its address; `owner` (the cluster's folder) is written
 * on it. ALREADY_EXISTS: it is there, and whose it is. */
int dev_net_make(const char *owner, struct error *why);

/* Is the bridge another cluster's? One that is not there, or that has no
 * owner's name on it yet, is nobody's. */
int dev_net_is_foreign(const char *owner, bool *foreign, struct error *why);

/* Forwarding between interfaces, and masquerading of what the nodes send
 * beyond the bridge. */
int dev_net_forwarding(bool *on, struct error *why);
int dev_net_set_forwarding(bool on, struct error *why);
int dev_net_masquerade(struct error *why);

/* Nothing passes from or to the master that listens on `port` and runs as the
 * group of that number; one master at a time. */
int dev_net_cut(unsigned port, struct error *why);
int dev_net_uncut(struct error *why); /* no master is cut off */

/* A named network namespace as `ip netns` knows it, joined to the bridge:
 * eth0 with `host`/24, loopback, default route. */
int dev_net_add_node(const char *netns, const char *host, struct error *why);

/* The machine reaches the pods of a node: `subnet` via `host`. */
int dev_net_route(const char *subnet, const char *host, struct error *why);

/* Not there is success. */
int dev_net_remove_node(const char *netns, struct error *why);
int dev_net_remove(struct error *why); /* bridge, routes, masquerading */

/* The calling thread goes into a named namespace. */
int dev_net_enter(const char *netns, struct error *why);
