/* bridge.c - the node's bridge, and the interface that leads outside. */
#include "base/fd.h"
#include "node/net/parts.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <netlink/errno.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MTU_DEFAULT = 1500, LINK_MODE_WORDS_MAX = 127 };

/* ---- the way out ----------------------------------------------------------
 */

static int default_route_index(struct nl_sock *socket)
{
    CLEANUP(netlink_cache_free) struct nl_cache *routes = NULL;
    uint32_t best = UINT32_MAX;
    int index = 0;

    if (rtnl_route_alloc_cache(socket, AF_INET, 0, &routes) < 0)
        return 0;
    for (struct nl_object *at = nl_cache_get_first(routes); at;
         at = nl_cache_get_next(at)) {
        struct rtnl_route *route = (struct rtnl_route *)at;
        struct rtnl_nexthop *hop = rtnl_route_nexthop_n(route, 0);

        if (!hop || nl_addr_get_prefixlen(rtnl_route_get_dst(route)) != 0 ||
            rtnl_route_get_table(route) != RT_TABLE_MAIN ||
            rtnl_route_get_priority(route) >= best)
            continue;
        best = rtnl_route_get_priority(route);
        index = rtnl_route_nh_get_ifindex(hop);
    }
    return index;
}

int net_uplink(struct nl_sock *socket, struct rtnl_link **link,
               struct error *why)
{
    CLEANUP(netlink_cache_free) struct nl_cache *links = NULL;
    int index = default_route_index(socket);
    int code = rtnl_link_alloc_cache(socket, AF_UNSPEC, &links);

    if (code < 0)
        return netlink_error(why, code, "list the network interfaces");
    for (struct nl_object *at = nl_cache_get_first(links); at;
         at = nl_cache_get_next(at)) {
        struct rtnl_link *found = (struct rtnl_link *)at;
        unsigned flags = rtnl_link_get_flags(found);

        if (index
                ? rtnl_link_get_ifindex(found) != index
                : !(flags & IFF_UP) || (flags & IFF_LOOPBACK) ||
                      rtnl_link_get_master(found) || rtnl_link_is_bridge(found))
            continue;
        nl_object_get(at);
        *link = found;
        return 0;
    }
    return error_set(why, ERROR_NOT_FOUND, "no network interface is up");
}

/* The settings are asked for twice: first for the size of their bitmaps.
 * https://docs.kernel.org/networking/ethtool-netlink.html, ethtool.h */
static uint64_t speed_of(const char *name)
{
    CLEANUP(fd_close)
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint32_t bytes[sizeof(struct ethtool_link_settings) / 4 +
                   3 * LINK_MODE_WORDS_MAX] = {ETHTOOL_GLINKSETTINGS};
    struct ethtool_link_settings *settings = (void *)bytes;
    struct ifreq request = {.ifr_data = (void *)bytes};

    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (fd < 0 || ioctl(fd, SIOCETHTOOL, &request) != 0 ||
        settings->link_mode_masks_nwords >= 0)
        return 0;
    settings->cmd = ETHTOOL_GLINKSETTINGS;
    settings->link_mode_masks_nwords = (__s8)-settings->link_mode_masks_nwords;
    if (ioctl(fd, SIOCETHTOOL, &request) != 0 ||
        settings->speed == (uint32_t)SPEED_UNKNOWN)
        return 0;
    return (uint64_t)settings->speed * 1000000;
}

uint64_t net_link_speed(void)
{
    CLEANUP(netlink_close) struct nl_sock *socket = NULL;
    CLEANUP(netlink_link_put) struct rtnl_link *link = NULL;
    struct error ignored;

    if (netlink_open(&socket, &ignored) != 0 ||
        net_uplink(socket, &link, &ignored) != 0)
        return 0;
    return speed_of(rtnl_link_get_name(link));
}

void net_link_name(char name[NET_LINK_NAME_MAX])
{
    CLEANUP(netlink_close) struct nl_sock *socket = NULL;
    CLEANUP(netlink_link_put) struct rtnl_link *link = NULL;
    struct error ignored;

    name[0] = '\0';
    if (netlink_open(&socket, &ignored) == 0 &&
        net_uplink(socket, &link, &ignored) == 0)
        snprintf(name, NET_LINK_NAME_MAX, "%s", rtnl_link_get_name(link));
}

/* ---- the bridge -----------------------------------------------------------
 */

/* Create it, or take the one that is there. */
static int make_link(const struct net *net, struct nl_sock *socket,
                     struct rtnl_link **out, struct error *why)
{
    CLEANUP(netlink_link_put) struct rtnl_link *wanted = NULL;
    struct rtnl_link *link = NULL;
    int code;

    wanted = rtnl_link_bridge_alloc();
    if (!wanted)
        return netlink_error(why, -NLE_NOMEM, "create bridge %s", net->bridge);
    rtnl_link_set_name(wanted, net->bridge);
    code = rtnl_link_add(socket, wanted, NLM_F_CREATE | NLM_F_EXCL);
    if (code < 0 && code != -NLE_EXIST)
        return netlink_error(why, code, "create bridge %s", net->bridge);
    code = rtnl_link_get_kernel(socket, 0, net->bridge, &link);
    if (code < 0)
        return netlink_error(why, code, "find bridge %s", net->bridge);
    if (!rtnl_link_is_bridge(link)) {
        rtnl_link_put(link);
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "interface %s is there and is no bridge", net->bridge);
    }
    *out = link;
    return 0;
}

/* Up, with a fixed MAC and the uplink's MTU. */
static int configure_link(const struct net *net, struct nl_sock *socket,
                          struct rtnl_link *link, struct error *why)
{
    CLEANUP(netlink_link_put) struct rtnl_link *change = rtnl_link_alloc();
    int code;

    if (!change)
        return netlink_error(why, -NLE_NOMEM, "change %s", net->bridge);
    net_disable_ipv6(net->bridge);
    net_set_mac(change, NET_MAC_HOST, net->gateway);
    rtnl_link_set_mtu(change, (unsigned)net->mtu);
    rtnl_link_set_flags(change, IFF_UP);
    code = rtnl_link_change(socket, link, change, 0);
    if (code < 0)
        return netlink_error(why, code, "bring bridge %s up", net->bridge);
    return 0;
}

static int remove_other_addresses(const struct net *net, struct nl_sock *socket,
                                  struct error *why)
{
    CLEANUP(netlink_cache_free) struct nl_cache *addresses = NULL;
    int code = rtnl_addr_alloc_cache(socket, &addresses);

    if (code < 0)
        return netlink_error(why, code, "list the addresses");
    for (struct nl_object *at = nl_cache_get_first(addresses); at;
         at = nl_cache_get_next(at)) {
        struct rtnl_addr *address = (struct rtnl_addr *)at;
        struct nl_addr *local = rtnl_addr_get_local(address);

        if (rtnl_addr_get_ifindex(address) != net->bridge_index ||
            rtnl_addr_get_family(address) != AF_INET ||
            ((unsigned)rtnl_addr_get_prefixlen(address) == net->prefix &&
             memcmp(nl_addr_get_binary_addr(local), &net->gateway, 4) == 0))
            continue;
        code = rtnl_addr_delete(socket, address, 0);
        if (code < 0)
            return netlink_error(why, code, "remove an address of %s",
                                 net->bridge);
    }
    return 0;
}

struct search {
    const struct net *net;
    char name[IFNAMSIZ]; /* of a pod's interface; "": none found */
};

static void find_stranger(void *data, uint64_t pod_id, struct in_addr address)
{
    struct search *search = data;
    unsigned host_bits = 32 - search->net->prefix;

    if (ntohl(address.s_addr) >> host_bits != search->net->subnet >> host_bits)
        net_pod_interface(search->name, pod_id);
}

/* Two nodes on one machine that are given one bridge: the second must not
 * take the first one's pods off the network. */
static int refuse_strangers(const struct net *net, struct nl_sock *socket,
                            struct error *why)
{
    struct search search = {.net = net};

    if (net_each_pod(net, socket, find_stranger, &search, why) != 0)
        return (int)why->code;
    if (search.name[0])
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "bridge %s has a pod of another node (%s): give this "
                         "node a --bridge of its own",
                         net->bridge, search.name);
    return 0;
}

int net_bridge_make(struct net *net, struct error *why)
{
    CLEANUP(netlink_close) struct nl_sock *socket = NULL;
    CLEANUP(netlink_link_put) struct rtnl_link *link = NULL;
    CLEANUP(netlink_link_put) struct rtnl_link *uplink = NULL;
    struct error ignored;
    int code;

    if (netlink_open(&socket, why) != 0)
        return (int)why->code;
    net->mtu = MTU_DEFAULT;
    if (net_uplink(socket, &uplink, &ignored) == 0)
        net->mtu = (int)rtnl_link_get_mtu(uplink);
    net->pod_mtu = net->mtu;
    if (make_link(net, socket, &link, why) != 0)
        return (int)why->code;
    net->bridge_index = rtnl_link_get_ifindex(link);
    if (refuse_strangers(net, socket, why) != 0 ||
        configure_link(net, socket, link, why) != 0 ||
        remove_other_addresses(net, socket, why) != 0)
        return (int)why->code;
    code = netlink_add_address(socket, net->bridge_index, net->gateway,
                               net->prefix);
    if (code < 0 && code != -NLE_EXIST)
        return netlink_error(why, code, "give bridge %s its address",
                             net->bridge);
    return 0;
}

int net_bridge_remove(const struct net *net, struct error *why)
{
    CLEANUP(netlink_close) struct nl_sock *socket = NULL;
    CLEANUP(netlink_link_put) struct rtnl_link *link = NULL;
    int code;

    if (netlink_open(&socket, why) != 0)
        return (int)why->code;
    code = rtnl_link_get_kernel(socket, 0, net->bridge, &link);
    /* net_open() has never taken what is no bridge. */
    if (code == 0 && rtnl_link_is_bridge(link))
        code = rtnl_link_delete(socket, link);
    if (code < 0 && code != -NLE_OBJ_NOTFOUND && code != -NLE_NODEV)
        return netlink_error(why, code, "remove bridge %s", net->bridge);
    return 0;
}
