/* table.c - the node's nftables tables: `ip` for NAT and what may be routed,
 * `bridge` for what may enter from a pod. Both carry the same name.
 *
 *   set bridge senders   interface . MAC . address: what a pod may send from
 *   set bridge ports     the pods' interfaces
 *   set ip peers         other nodes' subnets, reached without NAT
 *   set ip ends          other nodes that have a tunnel to this one
 *
 * Chains and the bridge's table are replaced whole, in one transaction with
 * what is true of running pods; the other sets are only ever brought up to
 * date: a restart of knode costs no packet. Single pods come and go by
 * senders.c. */
#include "node/net/table.h"

#include "base/memory.h"
#include "node/net/senders.h"

#include <arpa/inet.h>
#include <nftables/libnftables.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SCRIPT_MAX_BYTES = 16 << 20, COMMAND_MAX_BYTES = 512 };

struct script {
    struct buffer text;
    const struct net *net;
    struct error why; /* the first error */
};

static void PRINTF_LIKE(2, 3)
    add(struct script *script, const char *format, ...)
{
    char line[COMMAND_MAX_BYTES];
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (script->why.code)
        return;
    if (length < 0 || (size_t)length >= sizeof line)
        error_set(&script->why, ERROR_INTERNAL, "an nft command is too long");
    else
        buffer_append(&script->text, line, (size_t)length, &script->why);
}

static void close_nft(struct nft_ctx **nft)
{
    if (*nft)
        nft_ctx_free(*nft);
}

/* A context lasts for one transaction: it would keep a megabyte of what it
 * has read, which the next transaction reads anew anyway. */
static int run_text(char *text, const char *what, struct error *why)
{
    CLEANUP(close_nft) struct nft_ctx *nft = nft_ctx_new(NFT_CTX_DEFAULT);
    const char *message;

    if (!nft || nft_ctx_buffer_error(nft) != 0)
        return error_set(why, ERROR_INTERNAL, "%s: open nftables", what);
    if (nft_run_cmd_from_buffer(nft, text) == 0)
        return 0;
    message = nft_ctx_get_error_buffer(nft);
    return error_set(why, ERROR_INTERNAL, "%s: nft: %.*s", what,
                     (int)strcspn(message, "\n"), message);
}

static int run(struct script *script, const char *what, struct error *why)
{
    int code;

    if (script->why.code == 0)
        buffer_append(&script->text, "", 1, &script->why);
    if (script->why.code) {
        *why = script->why;
        code = error_wrap(why, "%s", what);
    } else {
        /* What the library has read must be what it changes. */
        pthread_mutex_lock(&net_filter_turn);
        code = run_text((char *)buffer_data(&script->text), what, why);
        pthread_mutex_unlock(&net_filter_turn);
    }
    buffer_fini(&script->text);
    return code;
}

static void begin(struct script *script, const struct net *net)
{
    *script = (struct script){.net = net};
    buffer_init(&script->text, SCRIPT_MAX_BYTES);
}

static void add_pod(struct script *script, const struct net_found *pod)
{
    const char *table = script->net->table;
    struct in_addr address = pod->address;
    unsigned char mac[NET_MAC_BYTES];
    char text[INET_ADDRSTRLEN];
    char name[IFNAMSIZ];

    net_pod_interface(name, pod->pod_id);
    inet_ntop(AF_INET, &address, text, sizeof text);
    net_mac(mac, NET_MAC_POD, address);
    add(script,
        "add element bridge %s senders { \"%s\" . "
        "%02x:%02x:%02x:%02x:%02x:%02x . %s }\n",
        table, name, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], text);
    add(script, "add element bridge %s ports { \"%s\" }\n", table, name);
}

/* From a pod comes IPv4 and ARP, from its own MAC and its own address, and
 * nothing else: no IPv6, so no router advertisement (CVE-2020-13401), no VLAN,
 * no spanning tree. The table is made anew, as sets cannot change their type;
 * in one transaction, with all the pods that are there. */
static void add_bridge_rules(struct script *script, const char *t)
{
    add(script, "add table bridge %s\ndelete table bridge %s\n", t, t);
    add(script, "add table bridge %s\n", t);
    add(script,
        "add set bridge %s senders { type ifname . ether_addr . ipv4_addr; }\n"
        "add set bridge %s ports { type ifname; }\n",
        t, t);
    add(script,
        "add chain bridge %s enter { type filter hook prerouting priority "
        "-300; policy accept; }\n"
        "add rule bridge %s enter iifname != @ports accept\n",
        t, t);
    add(script,
        "add rule bridge %s enter ether type ip iifname . ether saddr . ip "
        "saddr @senders accept\n",
        t);
    add(script,
        "add rule bridge %s enter ether type arp iifname . ether saddr . arp "
        "saddr ip @senders iifname . arp saddr ether . arp saddr ip @senders "
        "accept\n"
        "add rule bridge %s enter drop\n",
        t, t);
}

static void add_ip_rules(struct script *script, const char *t)
{
    const char *bridge = script->net->bridge;
    struct in_addr first = {htonl(script->net->subnet)};
    char subnet[INET_ADDRSTRLEN];
    unsigned prefix = script->net->prefix;

    inet_ntop(AF_INET, &first, subnet, sizeof subnet);
    add(script,
        "add table ip %s\n"
        "add set ip %s peers { type ipv4_addr; flags interval; }\n"
        "add set ip %s ends { type ipv4_addr; }\n",
        t, t, t);
    add(script,
        "add chain ip %s forward { type filter hook forward priority 0; "
        "policy accept; }\n"
        "flush chain ip %s forward\n",
        t, t);
    add(script,
        "add rule ip %s forward iifname \"%s\" ip saddr != %s/%u drop\n", t,
        bridge, subnet, prefix);
    /* Pods older than the tunnel have a greater MTU: what they agree on with
     * the other side must fit it, both ways. */
    add(script,
        "add rule ip %s forward iifname \"%s\" oifname \"%s\" tcp flags syn "
        "tcp option maxseg size set rt mtu\n",
        t, bridge, script->net->tunnel);
    add(script,
        "add chain ip %s leave { type nat hook postrouting priority 100; "
        "policy accept; }\n"
        "flush chain ip %s leave\n",
        t, t);
    add(script,
        "add rule ip %s leave ip saddr %s/%u oifname != \"%s\" ip daddr != "
        "@peers masquerade\n",
        t, subnet, prefix, bridge);
}

static void find_pod(void *data, uint64_t pod_id, struct in_addr address)
{
    struct net *net = data;

    net->found =
        memory_resize(net->found, (net->found_count + 1) * sizeof *net->found);
    net->found[net->found_count++] = (struct net_found){pod_id, address};
}

int net_table_make(struct net *net, struct error *why)
{
    CLEANUP(netlink_close) struct nl_sock *socket = NULL;
    struct script script;

    if (netlink_open(&socket, why) != 0)
        return (int)why->code;
    if (net_each_pod(net, socket, find_pod, net, why) != 0)
        return (int)why->code;
    begin(&script, net);
    add_ip_rules(&script, net->table);
    add_bridge_rules(&script, net->table);
    for (size_t i = 0; i < net->found_count; i++)
        add_pod(&script, &net->found[i]);
    return run(&script, "set the packet filter", why);
}

int net_table_remove(const struct net *net, struct error *why)
{
    struct script script;

    /* Added first, as deleting what is not there is an error. */
    begin(&script, net);
    add(&script, "add table ip %s\ndelete table ip %s\n", net->table,
        net->table);
    add(&script, "add table bridge %s\ndelete table bridge %s\n", net->table,
        net->table);
    return run(&script, "remove the packet filter", why);
}

/* What comes to the tunnel's port is heard from other nodes alone. */
static void add_tunnel_rules(struct script *script, const struct net_way *ways,
                             size_t count)
{
    const char *t = script->net->table;
    bool any = false;

    add(script,
        "add chain ip %s enter { type filter hook input priority 0; policy "
        "accept; }\n"
        "flush chain ip %s enter\n"
        "flush set ip %s ends\n",
        t, t, t);
    for (size_t i = 0; i < count; i++) {
        if (ways[i].here || !ways[i].tunnel)
            continue;
        add(script, "add element ip %s ends { %s }\n", t, ways[i].route->via);
        any = true;
    }
    if (any)
        add(script,
            "add rule ip %s enter udp dport %d ip saddr != @ends drop\n", t,
            NET_TUNNEL_PORT);
}

int net_table_set_peers(struct net *net, const struct net_way *ways,
                        size_t count, struct error *why)
{
    struct script script;

    begin(&script, net);
    add(&script, "flush set ip %s peers\n", net->table);
    for (size_t i = 0; i < count; i++)
        add(&script, "add element ip %s peers { %s }\n", net->table,
            ways[i].route->subnet);
    add_tunnel_rules(&script, ways, count);
    return run(&script, "set the nodes reached without NAT", why);
}
