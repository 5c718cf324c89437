#include "client/dev_net.h"

#include "base/fd.h"
#include "base/memory.h"
#include "client/dev.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netlink/errno.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/route.h>
#include <nftables/libnftables.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static const char forward_path[] = "/proc/sys/net/ipv4/ip_forward";

static int failed(struct error *why, int code, const char *what)
{
    return error_set(why,
                     code == -NLE_EXIST ? ERROR_ALREADY_EXISTS : ERROR_INTERNAL,
                     "%s: %s", what, nl_geterror(code));
}

static void close_socket(struct nl_sock **socket)
{
    nl_socket_free(*socket);
}

static void put_link(struct rtnl_link **link)
{
    rtnl_link_put(*link);
}

static void put_address(struct nl_addr **address)
{
    nl_addr_put(*address);
}

/* A route socket of the namespace that the thread stands in. */
static int open_socket(struct nl_sock **out, struct error *why)
{
    struct nl_sock *socket = nl_socket_alloc();
    int code = socket ? nl_connect(socket, NETLINK_ROUTE) : -NLE_NOMEM;

    if (code < 0) {
        nl_socket_free(socket);
        return failed(why, code, "open a netlink socket");
    }
    *out = socket;
    return 0;
}

/* ---- pieces ---------------------------------------------------------------
 */

static int get_link(struct nl_sock *socket, const char *name,
                    struct rtnl_link **out, struct error *why)
{
    int code = rtnl_link_get_kernel(socket, 0, name, out);

    if (code == 0)
        return 0;
    if (code == -NLE_NODEV || code == -NLE_OBJ_NOTFOUND)
        return error_set(why, ERROR_NOT_FOUND, "there is no %s", name);
    return failed(why, code, name);
}

static int set_up(struct nl_sock *socket, const char *name, struct error *why)
{
    CLEANUP(put_link) struct rtnl_link *link = NULL;
    CLEANUP(put_link) struct rtnl_link *change = rtnl_link_alloc();
    int code;

    if (get_link(socket, name, &link, why) != 0)
        return (int)why->code;
    rtnl_link_set_flags(change, IFF_UP);
    code = rtnl_link_change(socket, link, change, 0);
    return code < 0 ? failed(why, code, name) : 0;
}

/* Give `name` the address "10.77.0.1/24". */
static int add_address(struct nl_sock *socket, const char *name,
                       const char *text, struct error *why)
{
    CLEANUP(put_link) struct rtnl_link *link = NULL;
    CLEANUP(put_address) struct nl_addr *local = NULL;
    struct rtnl_addr *address;
    int code = nl_addr_parse(text, AF_INET, &local);

    if (code < 0)
        return failed(why, code, text);
    if (get_link(socket, name, &link, why) != 0)
        return (int)why->code;
    address = rtnl_addr_alloc();
    rtnl_addr_set_ifindex(address, rtnl_link_get_ifindex(link));
    rtnl_addr_set_local(address, local);
    code = rtnl_addr_add(socket, address, 0);
    rtnl_addr_put(address);
    return code < 0 && code != -NLE_EXIST ? failed(why, code, text) : 0;
}

static int add_route(struct nl_sock *socket, const char *to, const char *via,
                     struct error *why)
{
    CLEANUP(put_address) struct nl_addr *subnet = NULL;
    CLEANUP(put_address) struct nl_addr *gateway = NULL;
    struct rtnl_route *route;
    struct rtnl_nexthop *hop;
    int code = nl_addr_parse(to, AF_INET, &subnet);

    if (code == 0)
        code = nl_addr_parse(via, AF_INET, &gateway);
    if (code < 0)
        return failed(why, code, to);
    route = rtnl_route_alloc();
    hop = rtnl_route_nh_alloc();
    rtnl_route_nh_set_gateway(hop, gateway);
    rtnl_route_set_dst(route, subnet);
    rtnl_route_add_nexthop(route, hop);
    code = rtnl_route_add(socket, route, NLM_F_CREATE | NLM_F_REPLACE);
    rtnl_route_put(route);
    return code < 0 ? failed(why, code, to) : 0;
}

static int remove_link(struct nl_sock *socket, const char *name,
                       struct error *why)
{
    CLEANUP(put_link) struct rtnl_link *link = NULL;
    int code = get_link(socket, name, &link, why);

    if (code == ERROR_NOT_FOUND)
        return 0;
    if (code != 0)
        return code;
    code = rtnl_link_delete(socket, link);
    return code < 0 && code != -NLE_NODEV ? failed(why, code, name) : 0;
}

/* ---- the bridge -----------------------------------------------------------
 */

static int taken(struct nl_sock *socket, struct error *why)
{
    CLEANUP(put_link) struct rtnl_link *link = NULL;
    const char *owner;

    if (get_link(socket, DEV_BRIDGE, &link, why) != 0)
        return (int)why->code;
    owner = rtnl_link_get_ifalias(link);
    return error_set(why, ERROR_ALREADY_EXISTS,
                     "a dev cluster is on this machine already, in %s; kctl "
                     "dev down --dir %s ends it",
                     owner ? owner : "?", owner ? owner : "DIR");
}

/* A bridge without an address of its own takes a port's, and changes it when
 * that port goes: what others learned would be wrong. */
static void set_mac(struct rtnl_link *bridge)
{
    static const unsigned char bytes[] = {0x02, 'k', 10, 77, 0, 1};
    CLEANUP(put_address)
    struct nl_addr *mac = nl_addr_build(AF_LLC, bytes, sizeof bytes);

    if (mac)
        rtnl_link_set_addr(bridge, mac);
}

int dev_net_make(const char *owner, struct error *why)
{
    CLEANUP(close_socket) struct nl_sock *socket = NULL;
    CLEANUP(put_link) struct rtnl_link *bridge = rtnl_link_alloc();
    CLEANUP(put_link) struct rtnl_link *made = NULL;
    CLEANUP(put_link) struct rtnl_link *change = rtnl_link_alloc();
    int code;

    if (open_socket(&socket, why) != 0)
        return (int)why->code;
    rtnl_link_set_name(bridge, DEV_BRIDGE);
    rtnl_link_set_type(bridge, "bridge");
    set_mac(bridge);
    code = rtnl_link_add(socket, bridge, NLM_F_CREATE | NLM_F_EXCL);
    if (code == -NLE_EXIST)
        return taken(socket, why);
    if (code < 0)
        return failed(why, code, "make bridge " DEV_BRIDGE);
    if (get_link(socket, DEV_BRIDGE, &made, why) != 0)
        return (int)why->code;
    rtnl_link_set_ifalias(change, owner);
    code = rtnl_link_change(socket, made, change, 0);
    if (code < 0)
        return failed(why, code, "name the owner of " DEV_BRIDGE);
    if (add_address(socket, DEV_BRIDGE, DEV_HOST "/24", why) != 0)
        return (int)why->code;
    return set_up(socket, DEV_BRIDGE, why);
}

int dev_net_is_foreign(const char *owner, bool *foreign, struct error *why)
{
    CLEANUP(close_socket) struct nl_sock *socket = NULL;
    CLEANUP(put_link) struct rtnl_link *link = NULL;
    const char *alias = NULL;
    int code;

    if (open_socket(&socket, why) != 0)
        return (int)why->code;
    code = get_link(socket, DEV_BRIDGE, &link, why);
    if (code != 0 && code != ERROR_NOT_FOUND)
        return code;
    if (code == 0)
        alias = rtnl_link_get_ifalias(link);
    *foreign = alias && alias[0] && strcmp(alias, owner) != 0;
    return 0;
}

int dev_net_route(const char *subnet, const char *host, struct error *why)
{
    CLEANUP(close_socket) struct nl_sock *socket = NULL;

    if (open_socket(&socket, why) != 0)
        return (int)why->code;
    return add_route(socket, subnet, host, why);
}

int dev_net_forwarding(bool *on, struct error *why)
{
    CLEANUP(fd_close) int fd = open(forward_path, O_RDONLY | O_CLOEXEC);
    char digit;

    if (fd < 0 || read(fd, &digit, 1) != 1)
        return error_errno(why, "read %s", forward_path);
    *on = digit != '0';
    return 0;
}

int dev_net_set_forwarding(bool on, struct error *why)
{
    CLEANUP(fd_close) int fd = open(forward_path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return error_errno(why, "open %s", forward_path);
    if (fd_write_all(fd, on ? "1" : "0", 1, why) != 0)
        return error_wrap(why, "%s", forward_path);
    return 0;
}

/* libnftables, loaded by the few verbs that need it: with what it is linked to,
 * it would be a tenth of the time that every other one takes. */
struct nft {
    __typeof__(nft_ctx_new) *open;
    __typeof__(nft_ctx_free) *close;
    __typeof__(nft_ctx_buffer_error) *keep_errors;
    __typeof__(nft_ctx_buffer_output) *keep_output;
    __typeof__(nft_run_cmd_from_buffer) *run;
    __typeof__(nft_ctx_get_error_buffer) *errors;
};

/* False: dlerror() says why not. */
static bool load_nft(struct nft *nft)
{
    const struct {
        const char *name;
        void *function;
    } functions[] = {
        {"nft_ctx_new", &nft->open},
        {"nft_ctx_free", &nft->close},
        {"nft_ctx_buffer_error", &nft->keep_errors},
        {"nft_ctx_buffer_output", &nft->keep_output},
        {"nft_run_cmd_from_buffer", &nft->run},
        {"nft_ctx_get_error_buffer", &nft->errors},
    };
    void *library = dlopen("libnftables.so.1", RTLD_NOW);

    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        void *found = library ? dlsym(library, functions[i].name) : NULL;

        if (!found)
            return false;
        memcpy(functions[i].function, &found, sizeof found);
    }
    return true;
}

static int run_nft(const char *script, struct error *why)
{
    struct nft nft;
    struct nft_ctx *context;
    const char *message;
    int code = 0;

    if (!load_nft(&nft))
        return error_set(why, ERROR_INTERNAL, "load libnftables: %s",
                         dlerror());
    context = nft.open(NFT_CTX_DEFAULT);
    if (!context)
        return error_set(why, ERROR_INTERNAL, "open nftables");
    nft.keep_errors(context);
    nft.keep_output(context);
    if (nft.run(context, script) != 0) {
        message = nft.errors(context);
        code = error_set(why, ERROR_INTERNAL, "nftables: %.*s",
                         (int)strcspn(message, "\n"), message);
    }
    nft.close(context);
    return code;
}

int dev_net_masquerade(struct error *why)
{
    return run_nft("table ip kontor_dev\n"
                   "delete table ip kontor_dev\n"
                   "table ip kontor_dev {\nchain out {\n"
                   "type nat hook postrouting priority srcnat;\n"
                   "ip saddr 10.77.0.0/24 oifname != \"" DEV_BRIDGE
                   "\" masquerade\n"
                   "}\n}\n",
                   why);
}

/* Input has no owner: what comes to connections that the master made is known
 * by the mark that they get from what it sends. They are tracked from their
 * beginning, as masquerading was there before. */
int dev_net_cut(unsigned port, struct error *why)
{
    CLEANUP(free_pointer)
    char *script = memory_format("table ip kontor_drill\n"
                                 "delete table ip kontor_drill\n"
                                 "table ip kontor_drill {\nchain out {\n"
                                 "type filter hook output priority 0;\n"
                                 "ip daddr " DEV_HOST " tcp dport %u drop\n"
                                 "ip saddr " DEV_HOST " tcp sport %u drop\n"
                                 "meta skgid %u ct mark set %u drop\n"
                                 "}\nchain in {\n"
                                 "type filter hook input priority 0;\n"
                                 "ip daddr " DEV_HOST " tcp dport %u drop\n"
                                 "ct mark %u drop\n"
                                 "}\n}\n",
                                 port, port, port, port, port, port);

    return run_nft(script, why);
}

int dev_net_uncut(struct error *why)
{
    return run_nft("table ip kontor_drill\ndelete table ip kontor_drill\n",
                   why);
}

int dev_net_remove(struct error *why)
{
    CLEANUP(close_socket) struct nl_sock *socket = NULL;

    if (open_socket(&socket, why) != 0)
        return (int)why->code;
    /* Its routes go with it. */
    if (remove_link(socket, DEV_BRIDGE, why) != 0)
        return (int)why->code;
    if (dev_net_uncut(why) != 0)
        return (int)why->code;
    return run_nft("table ip kontor_dev\ndelete table ip kontor_dev\n", why);
}

/* ---- the nodes' namespaces ------------------------------------------------
 */

static char *netns_path(const char *netns)
{
    return memory_format("%s/%s", DEV_NETNS_FOLDER, netns);
}

int dev_net_enter(const char *netns, struct error *why)
{
    CLEANUP(free_pointer) char *path = netns_path(netns);
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return error_errno(why, "open %s", path);
    if (setns(fd, CLONE_NEWNET) != 0)
        return error_errno(why, "enter network namespace %s", netns);
    return 0;
}

/* Make a namespace, give it its name, open a socket in it, come back. */
static int make_netns(const char *netns, struct nl_sock **socket,
                      struct error *why)
{
    CLEANUP(free_pointer) char *path = netns_path(netns);
    CLEANUP(fd_close)
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    CLEANUP(fd_close) int file = -1;
    int code = 0;

    if (home < 0)
        return error_errno(why, "open /proc/thread-self/ns/net");
    if (folder_make(DEV_NETNS_FOLDER, 0755, why) != 0)
        return (int)why->code;
    file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (file < 0)
        return error_errno(why, "create %s", path);
    if (unshare(CLONE_NEWNET) != 0)
        return error_errno(why, "make network namespace %s", netns);
    if (mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL) != 0)
        code = error_errno(why, "name network namespace %s", netns);
    else
        code = open_socket(socket, why);
    if (setns(home, CLONE_NEWNET) != 0)
        abort(); /* we would go on in the wrong namespace */
    return code;
}

/* The pair: `netns` on the bridge, eth0 in the namespace from the start. */
static int add_pair(struct nl_sock *socket, const char *netns,
                    struct error *why)
{
    CLEANUP(free_pointer) char *path = netns_path(netns);
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(put_link) struct rtnl_link *bridge = NULL;
    struct rtnl_link *pair;
    struct rtnl_link *peer;
    int code;

    if (fd < 0)
        return error_errno(why, "open %s", path);
    if (get_link(socket, DEV_BRIDGE, &bridge, why) != 0)
        return (int)why->code;
    pair = rtnl_link_veth_alloc();
    peer = rtnl_link_veth_get_peer(pair);
    rtnl_link_set_name(pair, netns);
    rtnl_link_set_master(pair, rtnl_link_get_ifindex(bridge));
    rtnl_link_set_name(peer, "eth0");
    rtnl_link_set_ns_fd(peer, fd);
    code = rtnl_link_add(socket, pair, NLM_F_CREATE | NLM_F_EXCL);
    rtnl_link_put(peer);
    rtnl_link_veth_release(pair);
    if (code < 0)
        return failed(why, code, netns);
    return set_up(socket, netns, why);
}

int dev_net_add_node(const char *netns, const char *host, struct error *why)
{
    CLEANUP(close_socket) struct nl_sock *outside = NULL;
    CLEANUP(close_socket) struct nl_sock *inside = NULL;
    CLEANUP(free_pointer) char *address = memory_format("%s/24", host);

    if (open_socket(&outside, why) != 0 ||
        make_netns(netns, &inside, why) != 0 ||
        add_pair(outside, netns, why) != 0 || set_up(inside, "lo", why) != 0 ||
        add_address(inside, "eth0", address, why) != 0 ||
        set_up(inside, "eth0", why) != 0 ||
        add_route(inside, "0.0.0.0/0", DEV_HOST, why) != 0)
        return error_wrap(why, "node network %s", netns);
    return 0;
}

int dev_net_remove_node(const char *netns, struct error *why)
{
    CLEANUP(close_socket) struct nl_sock *socket = NULL;
    CLEANUP(free_pointer) char *path = netns_path(netns);

    if (open_socket(&socket, why) != 0 || remove_link(socket, netns, why) != 0)
        return (int)why->code;
    while (umount2(path, MNT_DETACH) == 0)
        ;
    if (unlink(path) != 0 && errno != ENOENT)
        return error_errno(why, "remove %s", path);
    rmdir(DEV_NETNS_FOLDER); /* unless others have theirs there */
    return 0;
}
