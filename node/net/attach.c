/* attach.c - the pair that joins a pod's network namespace (space.c) to the
 * bridge.
 *
 * It is made from the host with the other end in the namespace already: there
 * is no moment in which it could be left behind. */
#include "node/net/senders.h"

#include "base/fd.h"

#include <inttypes.h>
#include <netlink/errno.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

void net_pod_interface(char name[IFNAMSIZ], uint64_t pod_id)
{
    snprintf(name, IFNAMSIZ, "kp%" PRIx64, pod_id);
}

bool net_pod_of(const char *interface, uint64_t *pod_id)
{
    return sscanf(interface, "kp%" SCNx64, pod_id) == 1;
}

/* ---- the pair -------------------------------------------------------------
 */

static struct rtnl_link *describe_pair(const struct net *net,
                                       const struct net_pod *pod, int netns_fd)
{
    struct rtnl_link *link = rtnl_link_veth_alloc();
    struct rtnl_link *peer = link ? rtnl_link_veth_get_peer(link) : NULL;
    char name[IFNAMSIZ];

    if (!peer)
        return NULL;
    net_pod_interface(name, pod->pod_id);
    rtnl_link_set_name(link, name);
    rtnl_link_set_master(link, net->bridge_index);
    rtnl_link_set_mtu(link, (unsigned)net->pod_mtu);
    rtnl_link_set_flags(link, IFF_UP);
    net_set_mac(link, NET_MAC_HOST, pod->address);
    rtnl_link_set_name(peer, "eth0");
    rtnl_link_set_mtu(peer, (unsigned)net->pod_mtu);
    rtnl_link_set_ns_fd(peer, netns_fd);
    net_set_mac(peer, NET_MAC_POD, pod->address);
    rtnl_link_put(peer);
    return link;
}

/* Of an earlier try, whose namespace is still being taken down. What stands
 * on another bridge is another node's: pod ids are unique in a cluster only. */
static void remove_leftover(const struct net *net, struct nl_sock *socket,
                            const char *name)
{
    CLEANUP(netlink_link_put) struct rtnl_link *link = NULL;

    if (rtnl_link_get_kernel(socket, 0, name, &link) == 0 &&
        rtnl_link_get_master(link) == net->bridge_index)
        rtnl_link_delete(socket, link);
}

/* In the socket's network namespace; libnl's code. */
static int index_of(struct nl_sock *socket, const char *name)
{
    struct ifreq request = {0};

    memcpy(request.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
    return ioctl(nl_socket_get_fd(socket), SIOCGIFINDEX, &request) == 0
               ? request.ifr_ifindex
               : -NLE_OBJ_NOTFOUND;
}

/* What a pod sends to itself by way of the host comes back to it: a service
 * that it is itself behind. */
static int set_hairpin(struct nl_sock *socket, int index, const char *name,
                       struct error *why)
{
    CLEANUP(netlink_link_put) struct rtnl_link *port = rtnl_link_alloc();
    CLEANUP(netlink_link_put) struct rtnl_link *change = rtnl_link_alloc();
    int code = -NLE_NOMEM;

    if (port && change) {
        rtnl_link_set_family(port, AF_BRIDGE);
        rtnl_link_set_ifindex(port, index);
        rtnl_link_set_family(change, AF_BRIDGE);
        rtnl_link_bridge_set_flags(change, RTNL_BRIDGE_HAIRPIN_MODE);
        code = rtnl_link_change(socket, port, change, 0);
    }
    if (code < 0)
        return netlink_error(why, code, "set interface %s to hairpin", name);
    return 0;
}

static int make_pair(const struct net *net, const struct net_pod *pod,
                     int netns_fd, struct error *why)
{
    CLEANUP(netlink_close) struct nl_sock *socket = NULL;
    CLEANUP(netlink_link_put) struct rtnl_link *link = NULL;
    char name[IFNAMSIZ];
    int code;

    net_pod_interface(name, pod->pod_id);
    if (netlink_open(&socket, why) != 0)
        return (int)why->code;
    link = describe_pair(net, pod, netns_fd);
    if (!link)
        return netlink_error(why, -NLE_NOMEM, "create interface %s", name);
    code = rtnl_link_add(socket, link, NLM_F_CREATE | NLM_F_EXCL);
    if (code == -NLE_EXIST) {
        remove_leftover(net, socket, name);
        code = rtnl_link_add(socket, link, NLM_F_CREATE | NLM_F_EXCL);
    }
    if (code < 0)
        return netlink_error(why, code, "create interface %s", name);
    net_disable_ipv6(name);
    code = index_of(socket, name);
    if (code < 0)
        return netlink_error(why, code, "find interface %s", name);
    if (set_hairpin(socket, code, name, why) != 0)
        return (int)why->code;
    return pod->net_bits ? net_shape(socket, code, pod->net_bits, why) : 0;
}

/* ---- inside ---------------------------------------------------------------
 */

static int add_default_route(const struct net *net, struct nl_sock *socket,
                             int index)
{
    struct rtnl_route *route = rtnl_route_alloc();
    struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
    struct nl_addr *gateway = nl_addr_build(AF_INET, &net->gateway, 4);
    struct nl_addr *anywhere = NULL;
    int code = nl_addr_parse("0.0.0.0/0", AF_INET, &anywhere);

    if (!route || !hop || !gateway)
        code = -NLE_NOMEM;
    if (code == 0) {
        rtnl_route_set_family(route, AF_INET);
        rtnl_route_set_scope(route, RT_SCOPE_UNIVERSE);
        rtnl_route_set_dst(route, anywhere);
        rtnl_route_nh_set_ifindex(hop, index);
        rtnl_route_nh_set_gateway(hop, gateway);
        rtnl_route_add_nexthop(route, hop); /* takes hop */
        hop = NULL;
        code = rtnl_route_add(socket, route, 0);
    }
    if (hop)
        rtnl_route_nh_free(hop);
    nl_addr_put(gateway);
    nl_addr_put(anywhere);
    rtnl_route_put(route);
    return code;
}

static int configure(const struct net *net, const struct net_pod *pod,
                     struct nl_sock *socket, struct error *why)
{
    int index = index_of(socket, "eth0");
    int code;

    if (index < 0)
        return netlink_error(why, index, "find the pod's eth0");
    /* The kernel takes no end of a pair up before both are there. */
    code = netlink_bring_up(socket, index);
    if (code < 0)
        return netlink_error(why, code, "bring the pod's eth0 up");
    code = netlink_add_address(socket, index, pod->address, net->prefix);
    if (code < 0)
        return netlink_error(why, code, "give the pod's eth0 its address");
    code = add_default_route(net, socket, index);
    if (code < 0)
        return netlink_error(why, code, "set the pod's default route");
    return pod->net_bits ? net_shape(socket, index, pod->net_bits, why) : 0;
}

int net_attach(struct net *net, const struct net_pod *pod, int *netns_fd,
               struct error *why)
{
    struct net_space space;
    char name[IFNAMSIZ];
    int code;

    net_pod_interface(name, pod->pod_id);
    if (net_senders_add(net, name, pod->address, why) != 0)
        return (int)why->code;
    if (net_space_open(net, pod->netns, &space, why) != 0)
        return (int)why->code;
    pthread_mutex_lock(&net_interfaces_turn);
    code = make_pair(net, pod, space.fd, why);
    if (code == 0)
        code = configure(net, pod, space.socket, why);
    pthread_mutex_unlock(&net_interfaces_turn);
    if (code == 0)
        *netns_fd = fd_take(&space.fd);
    net_space_close(&space); /* and where it failed, the pair goes with it */
    return code;
}

void net_detach(struct net *net, uint64_t pod_id, struct in_addr address)
{
    char name[IFNAMSIZ];
    struct error ignored; /* what stays is of a name that never returns */

    net_pod_interface(name, pod_id);
    net_senders_remove(net, name, address, &ignored);
}

int net_each_pod(const struct net *net, struct nl_sock *socket,
                 void (*each)(void *data, uint64_t pod_id,
                              struct in_addr address),
                 void *data, struct error *why)
{
    CLEANUP(netlink_cache_free) struct nl_cache *links = NULL;
    int code = rtnl_link_alloc_cache(socket, AF_UNSPEC, &links);

    if (code < 0)
        return netlink_error(why, code, "list the network interfaces");
    for (struct nl_object *at = nl_cache_get_first(links); at;
         at = nl_cache_get_next(at)) {
        struct rtnl_link *link = (struct rtnl_link *)at;
        const char *name = rtnl_link_get_name(link);
        struct nl_addr *mac = rtnl_link_get_addr(link);
        struct in_addr address;
        uint64_t pod_id;

        if (rtnl_link_get_master(link) != net->bridge_index || !name ||
            !net_pod_of(name, &pod_id) || !mac ||
            nl_addr_get_len(mac) != NET_MAC_BYTES)
            continue;
        memcpy(&address, (char *)nl_addr_get_binary_addr(mac) + 2,
               sizeof address);
        each(data, pod_id, address);
    }
    return 0;
}
