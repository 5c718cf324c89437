/* netlink.c - what the other files need of libnl and /proc/sys/net. */
#include "base/fd.h"
#include "node/net/parts.h"

#include <fcntl.h>
#include <netlink/addr.h>
#include <netlink/errno.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int netlink_open(struct nl_sock **out, struct error *why)
{
    struct nl_sock *socket = nl_socket_alloc();
    int code = socket ? nl_connect(socket, NETLINK_ROUTE) : -NLE_NOMEM;

    if (code < 0) {
        nl_socket_free(socket);
        return netlink_error(why, code, "open a netlink socket");
    }
    *out = socket;
    return 0;
}

void netlink_close(struct nl_sock **socket)
{
    nl_socket_free(*socket);
}

void netlink_link_put(struct rtnl_link **link)
{
    rtnl_link_put(*link);
}

void netlink_cache_free(struct nl_cache **cache)
{
    nl_cache_free(*cache);
}

int netlink_bring_up(struct nl_sock *socket, int index)
{
    CLEANUP(netlink_link_put) struct rtnl_link *link = rtnl_link_alloc();
    CLEANUP(netlink_link_put) struct rtnl_link *change = rtnl_link_alloc();

    if (!link || !change)
        return -NLE_NOMEM;
    rtnl_link_set_ifindex(link, index);
    rtnl_link_set_flags(change, IFF_UP);
    return rtnl_link_change(socket, link, change, 0);
}

int netlink_add_address(struct nl_sock *socket, int index,
                        struct in_addr address, unsigned prefix)
{
    struct in_addr last = {address.s_addr | htonl((1u << (32 - prefix)) - 1)};
    struct rtnl_addr *wanted = rtnl_addr_alloc();
    struct nl_addr *local = nl_addr_build(AF_INET, &address, sizeof address);
    struct nl_addr *broadcast = nl_addr_build(AF_INET, &last, sizeof last);
    int code = -NLE_NOMEM;

    if (wanted && local && broadcast) {
        nl_addr_set_prefixlen(local, (int)prefix);
        rtnl_addr_set_local(wanted, local);
        rtnl_addr_set_broadcast(wanted, broadcast);
        rtnl_addr_set_ifindex(wanted, index);
        code = rtnl_addr_add(socket, wanted, 0);
    }
    nl_addr_put(local);
    nl_addr_put(broadcast);
    rtnl_addr_put(wanted);
    return code;
}

static enum error_code code_of_netlink(int code)
{
    switch (code < 0 ? -code : code) {
    case NLE_NODEV:
    case NLE_OBJ_NOTFOUND:
        return ERROR_NOT_FOUND;
    case NLE_EXIST:
        return ERROR_ALREADY_EXISTS;
    case NLE_PERM:
    case NLE_NOACCESS:
        return ERROR_PERMISSION_DENIED;
    case NLE_NOMEM:
        return ERROR_RESOURCE_EXHAUSTED;
    case NLE_INVAL:
    case NLE_RANGE:
        return ERROR_INVALID_ARGUMENT;
    case NLE_BUSY:
        return ERROR_FAILED_PRECONDITION;
    default:
        return ERROR_INTERNAL;
    }
}

int netlink_error(struct error *why, int code, const char *format, ...)
{
    size_t length;
    va_list args;

    why->code = code_of_netlink(code);
    va_start(args, format);
    vsnprintf(why->message, sizeof why->message, format, args);
    va_end(args);
    length = strlen(why->message);
    snprintf(why->message + length, sizeof why->message - length, ": %s",
             nl_geterror(code));
    return (int)why->code;
}

int net_sysctl(const char *path, const char *value, struct error *why)
{
    char name[96];

    snprintf(name, sizeof name, "/proc/sys/net/%s", path);
    CLEANUP(fd_close) int fd = open(name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(why, "open %s", name);
    if (fd_write_all(fd, value, strlen(value), why) != 0)
        return error_wrap(why, "%s", name);
    return 0;
}

void net_disable_ipv6(const char *interface)
{
    struct error ignored; /* there is no such file on a kernel without IPv6 */
    char path[64];

    snprintf(path, sizeof path, "ipv6/conf/%s/disable_ipv6", interface);
    net_sysctl(path, "1", &ignored);
}

void net_mac(unsigned char out[NET_MAC_BYTES], enum net_mac_side side,
             struct in_addr address)
{
    out[0] = (unsigned char)side;
    out[1] = 'k';
    memcpy(out + 2, &address, sizeof address);
}

void net_set_mac(struct rtnl_link *link, enum net_mac_side side,
                 struct in_addr address)
{
    unsigned char bytes[NET_MAC_BYTES];
    struct nl_addr *mac;

    net_mac(bytes, side, address);
    mac = nl_addr_build(AF_LLC, bytes, sizeof bytes);
    if (!mac)
        return; /* the kernel then chooses one */
    rtnl_link_set_addr(link, mac);
    nl_addr_put(mac);
}
