/* traffic.c - how much went through each pod's interface. */
#include "node/net/parts.h"

#include <netlink/route/link.h>

int net_each_traffic(const struct net *net,
                     void (*each)(void *data, uint64_t pod_id,
                                  uint64_t in_bytes, uint64_t out_bytes),
                     void *data, struct error *why)
{
    CLEANUP(netlink_close) struct nl_sock *socket = NULL;
    CLEANUP(netlink_cache_free) struct nl_cache *links = NULL;
    int code;

    if (netlink_open(&socket, why) != 0)
        return (int)why->code;
    code = rtnl_link_alloc_cache(socket, AF_UNSPEC, &links);
    if (code < 0)
        return netlink_error(why, code, "list the network interfaces");
    for (struct nl_object *at = nl_cache_get_first(links); at;
         at = nl_cache_get_next(at)) {
        struct rtnl_link *link = (struct rtnl_link *)at;
        const char *name = rtnl_link_get_name(link);
        uint64_t id;

        if (rtnl_link_get_master(link) != net->bridge_index || !name ||
            !net_pod_of(name, &id))
            continue;
        /* What the host sends is what the pod receives. */
        each(data, id, rtnl_link_get_stat(link, RTNL_LINK_TX_BYTES),
             rtnl_link_get_stat(link, RTNL_LINK_RX_BYTES));
    }
    return 0;
}
