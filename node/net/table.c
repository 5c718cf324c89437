/* table.c - the node's nftables tables: `ip` for NAT and what may be routed,
 * `bridge` for what may enter from a pod. Both carry the same name.
 *
 *   set bridge senders   interface . address: what each pod may send from
 *   set bridge ports     the pods' interfaces
 *   set ip peers         other nodes' subnets, reached without NAT
 *
 * Chains are replaced whole, in one transaction. The sets hold what is true
 * of running pods and are only ever brought up to date, so that a restart of
 * knode costs no packet. */
#include "node/net/parts.h"

#include "base/memory.h"

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
        code = run_text((char *)buffer_data(&script->text), what, why);
    }
    buffer_fini(&script->text);
    return code;
}

static void begin(struct script *script, const struct net *net)
{
    *script = (struct script){.net = net};
    buffer_init(&script->text, SCRIPT_MAX_BYTES);
}

static void add_pod(void *data, const char *name, struct in_addr address)
{
    struct script *script = data;
    const char *table = script->net->table;
    char text[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &address, text, sizeof text);
    add(script, "add element bridge %s senders { \"%s\" . %s }\n", table, name,
        text);
    add(script, "add element bridge %s ports { \"%s\" }\n", table, name);
}

static void add_bridge_rules(struct script *script, const char *t)
{
    add(script, "add table bridge %s\n", t);
    add(script,
        "add set bridge %s senders { type ifname . ipv4_addr; }\n"
        "add set bridge %s ports { type ifname; }\n",
        t, t);
    add(script,
        "add chain bridge %s enter { type filter hook prerouting priority "
        "-300; policy accept; }\n"
        "flush chain bridge %s enter\n",
        t, t);
    add(script,
        "add rule bridge %s enter iifname @ports ether type ip iifname . ip "
        "saddr != @senders drop\n"
        "add rule bridge %s enter iifname @ports ether type arp iifname . arp "
        "saddr ip != @senders drop\n",
        t, t);
    add(script, "flush set bridge %s senders\nflush set bridge %s ports\n", t,
        t);
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
        "add set ip %s peers { type ipv4_addr; flags interval; }\n",
        t, t);
    add(script,
        "add chain ip %s forward { type filter hook forward priority 0; "
        "policy accept; }\n"
        "flush chain ip %s forward\n",
        t, t);
    add(script,
        "add rule ip %s forward iifname \"%s\" ip saddr != %s/%u drop\n", t,
        bridge, subnet, prefix);
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

int net_table_make(struct net *net, struct error *why)
{
    CLEANUP(netlink_close) struct nl_sock *socket = NULL;
    struct script script;

    if (netlink_open(&socket, why) != 0)
        return (int)why->code;
    begin(&script, net);
    add_ip_rules(&script, net->table);
    add_bridge_rules(&script, net->table);
    if (net_each_pod(net, socket, add_pod, &script, why) != 0) {
        buffer_fini(&script.text);
        return (int)why->code;
    }
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

int net_table_add_pod(struct net *net, const char *name, struct in_addr address,
                      struct error *why)
{
    struct script script;

    begin(&script, net);
    add_pod(&script, name, address);
    return run(&script, "let a pod through the packet filter", why);
}

int net_table_remove_pod(struct net *net, const char *name,
                         struct in_addr address, struct error *why)
{
    char text[INET_ADDRSTRLEN];
    struct script script;

    inet_ntop(AF_INET, &address, text, sizeof text);
    begin(&script, net);
    add(&script, "delete element bridge %s senders { \"%s\" . %s }\n",
        net->table, name, text);
    add(&script, "delete element bridge %s ports { \"%s\" }\n", net->table,
        name);
    return run(&script, "take a pod out of the packet filter", why);
}

int net_table_set_peers(struct net *net, const struct net_route *routes,
                        size_t count, struct error *why)
{
    struct script script;

    begin(&script, net);
    add(&script, "flush set ip %s peers\n", net->table);
    for (size_t i = 0; i < count; i++)
        add(&script, "add element ip %s peers { %s }\n", net->table,
            routes[i].subnet);
    return run(&script, "set the nodes reached without NAT", why);
}
