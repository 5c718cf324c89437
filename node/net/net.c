/* net.c - opening, closing, and who has which address. */
#include "node/net/net.h"

#include "base/fd.h"
#include "base/map.h"
#include "base/memory.h"
#include "node/net/senders.h"
#include "node/net/table.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

bool net_is_name(const char *name, size_t max)
{
    size_t length = strlen(name);

    return length > 0 && length <= max &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789_-") == length;
}

static int set_names(struct net *net, const char *bridge, const char *table,
                     struct error *why)
{
    if (!net_is_name(bridge, NET_BRIDGE_MAX))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "bridge \"%s\": no name for an interface", bridge);
    if (!net_is_name(table, NET_TABLE_MAX))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "table \"%s\": no name for a table", table);
    snprintf(net->bridge, sizeof net->bridge, "%s", bridge);
    snprintf(net->table, sizeof net->table, "%s", table);
    snprintf(net->tunnel, sizeof net->tunnel, "kv%08x",
             (unsigned)map_hash_bytes(bridge, strlen(bridge)));
    return 0;
}

int net_overlay_parse(const char *text, enum net_overlay *out,
                      struct error *why)
{
    static const char *const names[] = {
        [NET_OVERLAY_AUTO] = "auto",
        [NET_OVERLAY_NEVER] = "never",
        [NET_OVERLAY_ALWAYS] = "always",
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum net_overlay)i;
            return 0;
        }
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "\"%.32s\": one of auto, never and always", text);
}

void net_set_overlay(struct net *net, enum net_overlay overlay)
{
    net->overlay = overlay;
}

static int describe(struct net *net, const struct net_config *config,
                    struct error *why)
{
    if (set_names(net, config->bridge, config->table, why) != 0 ||
        net_subnet_parse(config->subnet, &net->subnet, &net->prefix, why) != 0)
        return (int)why->code;
    net->gateway.s_addr = htonl(net->subnet + 1);
    net_pool_init(&net->pool, net->subnet, net->prefix);
    return 0;
}

int net_open(struct net **out, const struct net_config *config,
             struct error *why)
{
    struct net *net = memory_new(sizeof *net);

    net->filter = -1;
    net_space_init(net);
    if (describe(net, config, why) != 0 || net_bridge_make(net, why) != 0 ||
        net_sysctl("ipv4/ip_forward", "1", why) != 0 ||
        net_table_make(net, why) != 0 || net_senders_open(net, why) != 0) {
        net_free(net);
        return (int)why->code;
    }
    net->tunnel_index = (int)if_nametoindex(net->tunnel);
    *out = net;
    return 0;
}

void net_free(struct net *net)
{
    if (!net)
        return;
    net_pool_fini(&net->pool);
    free(net->found);
    net_space_close(&net->spare);
    fd_close(&net->filter);
    free(net);
}

int net_remove(const char *bridge, const char *table, struct error *why)
{
    struct net net = {0};

    if (set_names(&net, bridge, table, why) != 0 ||
        net_table_remove(&net, why) != 0 || net_routes_remove(&net, why) != 0)
        return (int)why->code;
    return net_bridge_remove(&net, why);
}

int net_claim(struct net *net, uint64_t pod_id, struct in_addr *address,
              struct error *why)
{
    if (pod_id >> NET_POD_ID_BITS)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "pod id %llx does not fit an interface's name",
                         (unsigned long long)pod_id);
    return net_pool_claim(&net->pool, pod_id, address, why);
}

int net_adopt(struct net *net, uint64_t pod_id, struct in_addr address,
              struct error *why)
{
    return net_pool_adopt(&net->pool, pod_id, address, why);
}

void net_adopted(struct net *net)
{
    for (size_t i = 0; i < net->found_count; i++) {
        const struct net_found *found = &net->found[i];

        if (!net_pool_owns(&net->pool, found->pod_id, found->address))
            net_detach(net, found->pod_id, found->address);
    }
    free(net->found);
    net->found = NULL;
    net->found_count = 0;
}

void net_release(struct net *net, uint64_t pod_id)
{
    struct in_addr address;

    net_pool_release(&net->pool, pod_id, &address);
}
