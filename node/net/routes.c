/* routes.c - the ways to other nodes' pods: their subnet via their node.
 *
 * Routes of ours carry a protocol number of their own (rtnetlink(7)), and a
 * metric made of the bridge's name: that is how they are told from everybody
 * else's, and from those of another node on this machine. */
#include "base/fd.h"
#include "base/map.h"
#include "base/memory.h"
#include "node/net/table.h"

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

/* Is there a router between? UNAVAILABLE: there is no way at all. */
static int find_way(const struct net *net, struct nl_sock *socket,
                    struct net_way *way, struct error *why)
{
    struct nl_addr *node = nl_addr_build(AF_INET, &way->node, 4);
    struct rtnl_route *route = NULL;
    struct rtnl_nexthop *hop;
    int code = node ? rtnl_route_lookup(socket, node, &route) : -NLE_NOMEM;

    nl_addr_put(node);
    if (code < 0)
        return error_set(why, ERROR_UNAVAILABLE,
                         "route %s via %s: there is no way to that node",
                         way->route->subnet, way->route->via);
    hop = rtnl_route_nexthop_n(route, 0);
    way->tunnel = net->overlay == NET_OVERLAY_ALWAYS ||
                  (hop && rtnl_route_nh_get_gateway(hop));
    rtnl_route_put(route);
    if (way->tunnel && net->overlay == NET_OVERLAY_NEVER)
        return error_set(why, ERROR_UNAVAILABLE,
                         "route %s via %s: that is no neighbour of this node",
                         way->route->subnet, way->route->via);
    return 0;
}

struct ways {
    struct net_way *list;
    size_t count;
};

static bool is_wanted(struct rtnl_route *route, const struct ways *wanted)
{
    char subnet[64];

    nl_addr2str(rtnl_route_get_dst(route), subnet, sizeof subnet);
    for (size_t i = 0; i < wanted->count; i++)
        if (strcmp(wanted->list[i].route->subnet, subnet) == 0)
            return true;
    return false;
}

/* What the tunnel was told goes with the route. */
static void forget_end(const struct net *net, struct nl_sock *socket,
                       struct rtnl_route *route)
{
    struct rtnl_nexthop *hop = rtnl_route_nexthop_n(route, 0);
    struct nl_addr *subnet = rtnl_route_get_dst(route);
    struct in_addr end;

    if (!hop || net->tunnel_index == 0 ||
        rtnl_route_nh_get_ifindex(hop) != net->tunnel_index)
        return;
    memcpy(&end, nl_addr_get_binary_addr(subnet), sizeof end);
    net_tunnel_forget_end(net, socket, end);
}

/* Remove all of ours but those to the wanted subnets. */
static int remove_others(const struct net *net, struct nl_sock *socket,
                         const struct ways *wanted, struct error *why)
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
        forget_end(net, socket, route);
        code = rtnl_route_delete(socket, route, 0);
        if (code < 0 && code != -NLE_OBJ_NOTFOUND) /* went with its link */
            return netlink_error(why, code, "remove a route");
    }
    return 0;
}

/* To a neighbour, or to the tunnel's far end; then what this node itself
 * sends has the address that its pods know it by. */
static int set_hop(const struct net *net, const struct net_way *way,
                   struct rtnl_route *route, struct rtnl_nexthop *hop)
{
    struct nl_addr *source = nl_addr_build(AF_INET, &net->gateway, 4);
    struct nl_addr *via =
        nl_addr_build(AF_INET, way->tunnel ? &way->subnet : &way->node, 4);
    int code = via && source ? 0 : -NLE_NOMEM;

    if (code == 0)
        rtnl_route_nh_set_gateway(hop, via);
    if (code == 0 && way->tunnel) {
        rtnl_route_nh_set_ifindex(hop, net->tunnel_index);
        rtnl_route_nh_set_flags(hop, RTNH_F_ONLINK);
        code = rtnl_route_set_pref_src(route, source);
    }
    nl_addr_put(via);
    nl_addr_put(source);
    return code;
}

static int add_route(const struct net *net, struct nl_sock *socket,
                     const struct net_way *way, struct error *why)
{
    struct rtnl_route *route = rtnl_route_alloc();
    struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
    struct nl_addr *subnet = NULL;
    int code = route && hop
                   ? nl_addr_parse(way->route->subnet, AF_INET, &subnet)
                   : -NLE_NOMEM;

    if (code == 0)
        code = set_hop(net, way, route, hop);
    if (code == 0 && way->tunnel)
        code = net_tunnel_add_end(net, socket, way->subnet, way->node);
    if (code == 0) {
        rtnl_route_set_family(route, AF_INET);
        rtnl_route_set_scope(route, RT_SCOPE_UNIVERSE);
        rtnl_route_set_protocol(route, ROUTE_PROTOCOL);
        rtnl_route_set_priority(route, metric_of(net));
        rtnl_route_set_dst(route, subnet);
        rtnl_route_add_nexthop(route, hop); /* takes hop */
        hop = NULL;
        code = rtnl_route_add(socket, route, NLM_F_CREATE | NLM_F_REPLACE);
    }
    if (hop)
        rtnl_route_nh_free(hop);
    nl_addr_put(subnet);
    rtnl_route_put(route);
    if (code < 0)
        return netlink_error(why, code, "route %s via %s", way->route->subnet,
                             way->route->via);
    return 0;
}

int net_routes_remove(struct net *net, struct error *why)
{
    CLEANUP(netlink_close) struct nl_sock *socket = NULL;

    if (netlink_open(&socket, why) != 0 ||
        remove_others(net, socket, &(struct ways){0}, why) != 0)
        return (int)why->code;
    return net_tunnel_remove(net, socket, why);
}

/* ---- all of them ---------------------------------------------------------
 */

static int parse_ways(struct ways *ways, const struct net_route *routes,
                      struct error *why)
{
    for (size_t i = 0; i < ways->count; i++) {
        struct net_way *way = &ways->list[i];
        in_addr_t subnet;
        unsigned prefix;

        if (net_subnet_parse(routes[i].subnet, &subnet, &prefix, why) != 0)
            return (int)why->code;
        way->route = &routes[i];
        way->subnet.s_addr = htonl(subnet);
        if (inet_pton(AF_INET, routes[i].via, &way->node) != 1)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "route %s via \"%s\": no IPv4 address",
                             routes[i].subnet, routes[i].via);
        way->here = is_here(routes[i].via);
    }
    return 0;
}

/* The tunnel is there exactly while it leads somewhere. Pods that come then
 * have room for its headers; those that are there learn it, as the tunnel's
 * MTU says so (RFC 1191) and TCP is told on its way (table.c). */
static int settle_tunnel(struct net *net, struct nl_sock *socket, bool wanted,
                         struct error *why)
{
    int code = wanted ? net_tunnel_make(net, socket, why)
                      : net_tunnel_remove(net, socket, why);

    if (code == 0)
        net->pod_mtu = wanted ? net_tunnel_mtu(net) : net->mtu;
    return code;
}

static void keep_first(struct error *first, const struct error *why)
{
    if (!first->code)
        *first = *why;
}

/* One node that cannot be reached must not cut off the others: the first
 * error is told in the end. */
static int settle(struct net *net, struct nl_sock *socket, struct ways *ways,
                  struct error *why)
{
    struct error first = {0};
    bool tunnels = false;

    for (size_t i = 0; i < ways->count; i++) {
        struct net_way *way = &ways->list[i];

        /* `here` from now on means: leave it alone. */
        if (!way->here && find_way(net, socket, way, why) != 0) {
            keep_first(&first, why);
            way->here = true;
        }
        tunnels |= !way->here && way->tunnel;
    }
    if (remove_others(net, socket, ways, why) != 0 ||
        net_table_set_peers(net, ways->list, ways->count, why) != 0)
        return (int)why->code;
    if (settle_tunnel(net, socket, tunnels, why) != 0)
        keep_first(&first, why);
    for (size_t i = 0; i < ways->count; i++)
        if (!ways->list[i].here &&
            add_route(net, socket, &ways->list[i], why) != 0)
            keep_first(&first, why);
    *why = first;
    return (int)why->code;
}

int net_set_routes(struct net *net, const struct net_route *routes,
                   size_t count, struct error *why)
{
    CLEANUP(netlink_close) struct nl_sock *socket = NULL;
    struct ways ways = {memory_array(count + 1, sizeof *ways.list), count};

    if (parse_ways(&ways, routes, why) == 0 && netlink_open(&socket, why) == 0)
        settle(net, socket, &ways, why);
    free(ways.list);
    return (int)why->code;
}
