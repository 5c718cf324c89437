/* routes.c - the ways to other nodes' pods: their subnet via their node.
 *
 * Routes of ours carry a protocol number of their own (rtnetlink(7)), and a
 * metric made of the bridge's name: that is how they are told from everybody
 * else's, and from those of another node on this machine. */
#include "base/fd.h"
#include "base/map.h"
#include "node/net/parts.h"

#include <arpa/inet.h>
#include <netlink/errno.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <string.h>

enum { ROUTE_PROTOCOL = 'k', METRIC_MIN = 1024, METRIC_COUNT = 1 << 20 };

static uint32_t metric_of(const struct net *net)
{
    return METRIC_MIN +
           (uint32_t)(map_hash_bytes(net->bridge, strlen(net->bridge)) %
                      METRIC_COUNT);
}

static bool is_ours(const struct net *net, struct rtnl_route *route)
{
    return rtnl_route_get_protocol(route) == ROUTE_PROTOCOL &&
           rtnl_route_get_priority(route) == metric_of(net);
}

/* Is it an address of this machine's? Only those can be bound. */
static bool is_here(const char *via)
{
    CLEANUP(fd_close) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};

    return inet_pton(AF_INET, via, &address.sin_addr) == 1 &&
           bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
}

struct route_list {
    const struct net_route *routes;
    size_t count;
};

static bool is_wanted(struct rtnl_route *route, const struct route_list *wanted)
{
    char subnet[64];

    nl_addr2str(rtnl_route_get_dst(route), subnet, sizeof subnet);
    for (size_t i = 0; i < wanted->count; i++)
        if (strcmp(wanted->routes[i].subnet, subnet) == 0)
            return true;
    return false;
}

/* Remove all of ours but those to the wanted subnets. */
static int remove_others(const struct net *net, struct nl_sock *socket,
                         const struct route_list *wanted, struct error *why)
{
    CLEANUP(netlink_cache_free) struct nl_cache *found = NULL;
    int code = rtnl_route_alloc_cache(socket, AF_INET, 0, &found);

    if (code < 0)
        return netlink_error(why, code, "list the routes");
    for (struct nl_object *at = nl_cache_get_first(found); at;
         at = nl_cache_get_next(at)) {
        struct rtnl_route *route = (struct rtnl_route *)at;

        if (!is_ours(net, route) || is_wanted(route, wanted))
            continue;
        code = rtnl_route_delete(socket, route, 0);
        if (code < 0 && code != -NLE_OBJ_NOTFOUND) /* went with its link */
            return netlink_error(why, code, "remove a route");
    }
    return 0;
}

static int add_route(const struct net *net, struct nl_sock *socket,
                     const struct net_route *wanted, struct error *why)
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
        rtnl_route_set_priority(route, metric_of(net));
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

int net_routes_remove(const struct net *net, struct error *why)
{
    CLEANUP(netlink_close) struct nl_sock *socket = NULL;

    if (netlink_open(&socket, why) != 0)
        return (int)why->code;
    return remove_others(net, socket, &(struct route_list){0}, why);
}

int net_set_routes(struct net *net, const struct net_route *routes,
                   size_t count, struct error *why)
{
    CLEANUP(netlink_close) struct nl_sock *socket = NULL;
    struct route_list wanted = {routes, count};
    struct error first = {0};
    in_addr_t subnet;
    unsigned prefix;

    for (size_t i = 0; i < count; i++)
        if (net_subnet_parse(routes[i].subnet, &subnet, &prefix, why) != 0)
            return (int)why->code;
    if (netlink_open(&socket, why) != 0 ||
        remove_others(net, socket, &wanted, why) != 0 ||
        net_table_set_peers(net, routes, count, why) != 0)
        return (int)why->code;
    /* One node that cannot be reached must not cut off the others. */
    for (size_t i = 0; i < count; i++) {
        if (is_here(routes[i].via)) /* on a bridge beside ours */
            continue;
        if (add_route(net, socket, &routes[i], why) != 0 && !first.code)
            first = *why;
    }
    *why = first;
    return (int)why->code;
}
