/* routes.c - the ways to other nodes' pods: their subnet via their node.
 *
 * Routes of ours carry a protocol number of their own (rtnetlink(7)), which
 * is how they are told from everybody else's. */
#include "node/net/parts.h"

#include <netlink/errno.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <string.h>

enum { ROUTE_PROTOCOL = 'k' };

static void cache_free(struct nl_cache **cache)
{
    nl_cache_free(*cache);
}

static bool is_wanted(struct rtnl_route *route, const struct net_route *routes,
                      size_t count)
{
    char subnet[64];

    nl_addr2str(rtnl_route_get_dst(route), subnet, sizeof subnet);
    for (size_t i = 0; i < count; i++)
        if (strcmp(routes[i].subnet, subnet) == 0)
            return true;
    return false;
}

/* Remove all of ours but those to the `count` wanted subnets. */
static int remove_others(struct nl_sock *socket, const struct net_route *routes,
                         size_t count, struct error *why)
{
    CLEANUP(cache_free) struct nl_cache *found = NULL;
    int code = rtnl_route_alloc_cache(socket, AF_INET, 0, &found);

    if (code < 0)
        return netlink_error(why, code, "list the routes");
    for (struct nl_object *at = nl_cache_get_first(found); at;
         at = nl_cache_get_next(at)) {
        struct rtnl_route *route = (struct rtnl_route *)at;

        if (rtnl_route_get_protocol(route) != ROUTE_PROTOCOL ||
            is_wanted(route, routes, count))
            continue;
        code = rtnl_route_delete(socket, route, 0);
        if (code < 0)
            return netlink_error(why, code, "remove a route");
    }
    return 0;
}

static int add_route(struct nl_sock *socket, const struct net_route *wanted,
                     struct error *why)
{
    struct rtnl_route *route = rtnl_route_alloc();
    struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
    struct nl_addr *subnet = NULL;
    struct nl_addr *via = NULL;
    int code = nl_addr_parse(wanted->subnet, AF_INET, &subnet);

    if (code == 0)
        code = nl_addr_parse(wanted->via, AF_INET, &via);
    if (code == 0 && route && hop) {
        rtnl_route_set_family(route, AF_INET);
        rtnl_route_set_scope(route, RT_SCOPE_UNIVERSE);
        rtnl_route_set_protocol(route, ROUTE_PROTOCOL);
        rtnl_route_set_dst(route, subnet);
        rtnl_route_nh_set_gateway(hop, via);
        rtnl_route_add_nexthop(route, hop); /* takes hop */
        hop = NULL;
        code = rtnl_route_add(socket, route, NLM_F_CREATE | NLM_F_REPLACE);
    }
    if (hop)
        rtnl_route_nh_free(hop);
    nl_addr_put(subnet);
    nl_addr_put(via);
    rtnl_route_put(route);
    /* libnl has no code of its own for the kernel's ENETUNREACH. */
    if (code == -NLE_FAILURE)
        return error_set(why, ERROR_UNAVAILABLE,
                         "route %s via %s: that is no neighbour of this node",
                         wanted->subnet, wanted->via);
    if (code < 0)
        return netlink_error(why, code, "route %s via %s", wanted->subnet,
                             wanted->via);
    return 0;
}

int net_routes_remove(struct error *why)
{
    CLEANUP(netlink_close) struct nl_sock *socket = NULL;

    if (netlink_open(&socket, why) != 0)
        return (int)why->code;
    return remove_others(socket, NULL, 0, why);
}

int net_set_routes(struct net *net, const struct net_route *routes,
                   size_t count, struct error *why)
{
    CLEANUP(netlink_close) struct nl_sock *socket = NULL;
    struct error first = {0};
    in_addr_t subnet;
    unsigned prefix;

    for (size_t i = 0; i < count; i++)
        if (net_subnet_parse(routes[i].subnet, &subnet, &prefix, why) != 0)
            return (int)why->code;
    if (netlink_open(&socket, why) != 0 ||
        remove_others(socket, routes, count, why) != 0 ||
        net_table_set_peers(net, routes, count, why) != 0)
        return (int)why->code;
    /* One node that cannot be reached must not cut off the others. */
    for (size_t i = 0; i < count; i++) {
        if (net_subnet_parse(routes[i].subnet, &subnet, &prefix, why) == 0 &&
            subnet == net->subnet)
            continue;
        if (add_route(socket, &routes[i], why) != 0 && !first.code)
            first = *why;
    }
    *why = first;
    return (int)why->code;
}
