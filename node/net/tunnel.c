/* tunnel.c - the way to nodes that are no neighbours: VXLAN (RFC 7348), their
 * pods' packets in UDP to the node.
 *
 * One device a node, without an address of its own. The far end is called by
 * its subnet's own address, which no pod has and which makes its MAC address,
 * so all that the kernel is told follows from the route, and nothing has to
 * be remembered:
 *
 *   route      10.42.3.0/24 via 10.42.3.0 dev kv1a2b3c4d onlink
 *   neighbour  10.42.3.0 is at 0a:6b:0a:2a:03:00
 *   device     0a:6b:0a:2a:03:00 is behind 192.0.2.9
 *
 * A route's end takes the other two along; the last one's, the device. */
#include "node/net/tunnel.h"

#include <linux/neighbour.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/route/link.h>
#include <netlink/route/link/vxlan.h>
#include <stdint.h>

/* The same on all nodes. The port is our own, so that what others send to the
 * usual one, 4789, is none of ours. */
enum { TUNNEL_ID = 0x6b6f6e };

static struct in_addr own_end(const struct net *net)
{
    return (struct in_addr){htonl(net->subnet)};
}

/* ---- the device ----------------------------------------------------------
 */

static struct rtnl_link *describe(const struct net *net)
{
    struct rtnl_link *link = rtnl_link_vxlan_alloc();

    if (!link)
        return NULL;
    rtnl_link_set_name(link, net->tunnel);
    rtnl_link_vxlan_set_id(link, TUNNEL_ID);
    rtnl_link_vxlan_set_port(link, NET_TUNNEL_PORT);
    rtnl_link_vxlan_set_learning(link, 0);
    return link;
}

static int bring_up(const struct net *net, struct nl_sock *socket,
                    struct rtnl_link *link)
{
    CLEANUP(netlink_link_put) struct rtnl_link *change = rtnl_link_alloc();

    if (!change)
        return -NLE_NOMEM;
    net_disable_ipv6(net->tunnel);
    net_set_mac(change, NET_MAC_TUNNEL, own_end(net));
    rtnl_link_set_mtu(change, (unsigned)net_tunnel_mtu(net));
    rtnl_link_set_flags(change, IFF_UP);
    return rtnl_link_change(socket, link, change, 0);
}

int net_tunnel_make(struct net *net, struct nl_sock *socket, struct error *why)
{
    CLEANUP(netlink_link_put) struct rtnl_link *wanted = describe(net);
    CLEANUP(netlink_link_put) struct rtnl_link *link = NULL;
    int code = wanted ? rtnl_link_add(socket, wanted, NLM_F_CREATE | NLM_F_EXCL)
                      : -NLE_NOMEM;

    if (code < 0 && code != -NLE_EXIST)
        return netlink_error(why, code, "create tunnel %s", net->tunnel);
    code = rtnl_link_get_kernel(socket, 0, net->tunnel, &link);
    if (code < 0)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "create tunnel %s: another node on this machine has "
                         "UDP port %d for its own",
                         net->tunnel, NET_TUNNEL_PORT);
    code = bring_up(net, socket, link);
    if (code < 0)
        return netlink_error(why, code, "bring tunnel %s up", net->tunnel);
    net->tunnel_index = rtnl_link_get_ifindex(link);
    return 0;
}

int net_tunnel_remove(struct net *net, struct nl_sock *socket,
                      struct error *why)
{
    CLEANUP(netlink_link_put) struct rtnl_link *link = NULL;
    int code = rtnl_link_get_kernel(socket, 0, net->tunnel, &link);

    if (code == 0)
        code = rtnl_link_delete(socket, link);
    if (code < 0 && code != -NLE_OBJ_NOTFOUND && code != -NLE_NODEV)
        return netlink_error(why, code, "remove tunnel %s", net->tunnel);
    net->tunnel_index = 0;
    return 0;
}

/* ---- who is behind it ----------------------------------------------------
 */

/* An entry of the neighbours' table (`flags` 0), or of the device's own
 * (NTF_SELF). `at` 0: without an address. */
static int tell(struct nl_sock *socket, int type, const struct ndmsg *entry,
                struct in_addr end, struct in_addr at)
{
    int flags = NLM_F_REQUEST |
                (type == RTM_NEWNEIGH ? NLM_F_CREATE | NLM_F_REPLACE : 0);
    struct nl_msg *message = nlmsg_alloc_simple(type, flags);
    unsigned char mac[NET_MAC_BYTES];

    net_mac(mac, NET_MAC_TUNNEL, end);
    if (!message ||
        nlmsg_append(message, without_const(entry), sizeof *entry,
                     NLMSG_ALIGNTO) != 0 ||
        (at.s_addr && nla_put_u32(message, NDA_DST, at.s_addr) != 0) ||
        nla_put(message, NDA_LLADDR, sizeof mac, mac) != 0) {
        nlmsg_free(message);
        return -NLE_NOMEM;
    }
    return nl_send_sync(socket, message); /* frees the message */
}

static struct ndmsg near_entry(const struct net *net)
{
    return (struct ndmsg){.ndm_family = AF_INET,
                          .ndm_ifindex = net->tunnel_index,
                          .ndm_state = NUD_PERMANENT};
}

static struct ndmsg far_entry(const struct net *net)
{
    return (struct ndmsg){.ndm_family = AF_BRIDGE,
                          .ndm_ifindex = net->tunnel_index,
                          .ndm_state = NUD_PERMANENT | NUD_NOARP,
                          .ndm_flags = NTF_SELF};
}

int net_tunnel_add_end(const struct net *net, struct nl_sock *socket,
                       struct in_addr end, struct in_addr node)
{
    struct ndmsg near = near_entry(net);
    struct ndmsg far = far_entry(net);
    int code = tell(socket, RTM_NEWNEIGH, &near, end, end);

    return code < 0 ? code : tell(socket, RTM_NEWNEIGH, &far, end, node);
}

void net_tunnel_forget_end(const struct net *net, struct nl_sock *socket,
                           struct in_addr end)
{
    struct ndmsg near = near_entry(net);
    struct ndmsg far = far_entry(net);

    tell(socket, RTM_DELNEIGH, &near, end, end);
    tell(socket, RTM_DELNEIGH, &far, end, (struct in_addr){0});
}
