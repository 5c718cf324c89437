/* attach.c - a pod's network namespace and the pair that joins it to the
 * bridge.
 *
 * The namespace is made by a thread of its own, so that no other thread ever
 * stands in a foreign one, whatever fails. The pair is made from the host
 * with the other end in the namespace already: there is no moment in which
 * it could be left behind. */
#include "node/net/parts.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <netlink/errno.h>
#include <netlink/route/link.h>
#include <netlink/route/link/bridge.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/route.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOOPBACK_INDEX = 1 }; /* in every network namespace */

/* The kernel has one lock for all that is done here to interfaces. Netlink
 * sleeps until it is free; but writing a sysctl of IPv6 tries again and again,
 * with a whole processor, and others go before it. So our threads take turns.
 */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static const char prefix[] = "kp";

void net_pod_interface(char name[IFNAMSIZ], uint64_t pod_id)
{
    snprintf(name, IFNAMSIZ, "%s%llx", prefix, (unsigned long long)pod_id);
}

/* ---- the namespace --------------------------------------------------------
 */

struct space {
    int given; /* 0: to be made */
    int fd;
    struct nl_sock *socket; /* in it */
    struct error why;
};

/* What a pod may do without CAP_NET_RAW and CAP_NET_BIND_SERVICE: ping, and
 * serve port 80 as any user; its interface has no IPv6 address. */
static void set_sysctls(void)
{
    struct error ignored; /* a kernel may lack some; none is vital */

    net_sysctl("ipv6/conf/default/disable_ipv6", "1", &ignored);
    net_sysctl("ipv6/conf/default/accept_ra", "0", &ignored);
    net_sysctl("ipv4/ping_group_range", "0 2147483647", &ignored);
    net_sysctl("ipv4/ip_unprivileged_port_start", "0", &ignored);
}

static void *make_space(void *data)
{
    struct space *space = data;

    if ((space->given > 0 ? setns(space->given, CLONE_NEWNET)
                          : unshare(CLONE_NEWNET)) != 0) {
        error_errno(&space->why, "make a network namespace");
        return NULL;
    }
    space->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (space->fd < 0) {
        error_errno(&space->why, "open the new network namespace");
        return NULL;
    }
    pthread_mutex_lock(&turn);
    set_sysctls();
    pthread_mutex_unlock(&turn);
    netlink_open(&space->socket, &space->why);
    return NULL;
}

static void close_space(struct space *space)
{
    fd_reset(&space->fd);
    nl_socket_free(space->socket);
    space->socket = NULL;
}

static int open_space(struct space *space, int given, struct error *why)
{
    pthread_t thread;

    *space = (struct space){.given = given, .fd = -1};
    errno = pthread_create(&thread, NULL, make_space, space);
    if (errno != 0)
        return error_errno(why, "start a thread");
    pthread_join(thread, NULL);
    *why = space->why;
    return (int)why->code;
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

static int index_of(struct nl_sock *socket, const char *name)
{
    CLEANUP(netlink_link_put) struct rtnl_link *link = NULL;
    int code = rtnl_link_get_kernel(socket, 0, name, &link);

    return code < 0 ? code : rtnl_link_get_ifindex(link);
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

/* The kernel takes no end of a pair up before both are there. */
static int bring_up(struct nl_sock *socket, int index)
{
    CLEANUP(netlink_link_put) struct rtnl_link *link = rtnl_link_alloc();
    CLEANUP(netlink_link_put) struct rtnl_link *change = rtnl_link_alloc();

    if (!link || !change)
        return -NLE_NOMEM;
    rtnl_link_set_ifindex(link, index);
    rtnl_link_set_flags(change, IFF_UP);
    return rtnl_link_change(socket, link, change, 0);
}

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
    int code = bring_up(socket, LOOPBACK_INDEX);

    if (index < 0)
        return netlink_error(why, index, "find the pod's eth0");
    if (code < 0)
        return netlink_error(why, code, "bring the pod's loopback up");
    code = bring_up(socket, index);
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
    struct space space;
    char name[IFNAMSIZ];
    int code;

    net_pod_interface(name, pod->pod_id);
    if (net_senders_add(net, name, pod->address, why) != 0)
        return (int)why->code;
    code = open_space(&space, pod->netns, why);
    if (code == 0) {
        pthread_mutex_lock(&turn);
        code = make_pair(net, pod, space.fd, why);
        if (code == 0)
            code = configure(net, pod, space.socket, why);
        pthread_mutex_unlock(&turn);
    }
    if (code != 0) {
        close_space(&space); /* and with it goes the pair */
        return (int)why->code;
    }
    *netns_fd = space.fd;
    space.fd = -1;
    close_space(&space);
    return 0;
}

void net_detach(struct net *net, uint64_t pod_id, struct in_addr address)
{
    char name[IFNAMSIZ];
    struct error ignored; /* what stays is of a name that never returns */

    net_pod_interface(name, pod_id);
    net_senders_remove(net, name, address, &ignored);
}

int net_each_pod(const struct net *net, struct nl_sock *socket,
                 void (*each)(void *data, const char *name,
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

        if (rtnl_link_get_master(link) != net->bridge_index || !name ||
            strncmp(name, prefix, strlen(prefix)) != 0 || !mac ||
            nl_addr_get_len(mac) != 6)
            continue;
        memcpy(&address, (char *)nl_addr_get_binary_addr(mac) + 2,
               sizeof address);
        each(data, name, address);
    }
    return 0;
}
