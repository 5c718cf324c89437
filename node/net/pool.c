/* pool.c - which pod has which address of the node's subnet.
 *
 * Invariant: an offset from 2 to count - 2 is either owned or in the ring of
 * free ones, once. 0 is the subnet, 1 the bridge, the last broadcast. */
#include "node/net/pool.h"

#include "base/memory.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

#define NOBODY UINT64_MAX

enum { OFFSET_FIRST = 2 };

int net_subnet_parse(const char *text, in_addr_t *first, unsigned *prefix,
                     struct error *why)
{
    char address[INET_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    struct in_addr parsed;
    unsigned long bits;
    char *end;

    if (!slash || (size_t)(slash - text) >= sizeof address)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "subnet \"%s\": not ADDRESS/BITS", text);
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = '\0';
    bits = strtoul(slash + 1, &end, 10);
    if (inet_pton(AF_INET, address, &parsed) != 1 || slash[1] < '0' ||
        slash[1] > '9' || *end)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "subnet \"%s\": not ADDRESS/BITS", text);
    if (bits < NET_PREFIX_MIN || bits > NET_PREFIX_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "subnet \"%s\": from /%d to /%d can be used", text,
                         NET_PREFIX_MIN, NET_PREFIX_MAX);
    if (ntohl(parsed.s_addr) & ((1u << (32 - bits)) - 1))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "subnet \"%s\": the address has bits beyond the "
                         "prefix",
                         text);
    *first = ntohl(parsed.s_addr);
    *prefix = (unsigned)bits;
    return 0;
}

static void push_free(struct net_pool *pool, unsigned offset)
{
    unsigned at = (pool->free_start + pool->free_count++) % pool->count;

    pool->free_ring[at] = offset;
}

void net_pool_init(struct net_pool *pool, in_addr_t first, unsigned prefix)
{
    unsigned count = 1u << (32 - prefix);

    *pool = (struct net_pool){
        .first = first,
        .prefix = prefix,
        .count = count,
        .owners = memory_array(count, sizeof *pool->owners),
        .free_ring = memory_array(count, sizeof *pool->free_ring),
    };
    for (unsigned i = 0; i < count; i++)
        pool->owners[i] = NOBODY;
    for (unsigned i = OFFSET_FIRST; i < count - 1; i++)
        push_free(pool, i);
}

void net_pool_fini(struct net_pool *pool)
{
    free(pool->owners);
    free(pool->free_ring);
    *pool = (struct net_pool){0};
}

static struct in_addr at_offset(const struct net_pool *pool, unsigned offset)
{
    return (struct in_addr){htonl(pool->first + offset)};
}

/* The offset that `pod_id` owns, or 0. O(count). */
static unsigned find_owner(const struct net_pool *pool, uint64_t pod_id)
{
    for (unsigned i = OFFSET_FIRST; i < pool->count - 1; i++)
        if (pool->owners[i] == pod_id)
            return i;
    return 0;
}

int net_pool_claim(struct net_pool *pool, uint64_t pod_id,
                   struct in_addr *address, struct error *why)
{
    unsigned offset = find_owner(pool, pod_id);

    assert(pod_id != NOBODY);
    if (offset == 0 && pool->free_count == 0)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "no address is left in the node's subnet of %u",
                         pool->count);
    if (offset == 0) {
        offset = pool->free_ring[pool->free_start];
        pool->free_start = (pool->free_start + 1) % pool->count;
        pool->free_count--;
        pool->owners[offset] = pod_id;
    }
    *address = at_offset(pool, offset);
    return 0;
}

/* Take `offset` out of the middle of the ring; the order of the others
 * stays. */
static void take_free(struct net_pool *pool, unsigned offset)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < pool->free_count; i++) {
        unsigned from = (pool->free_start + i) % pool->count;
        unsigned to = (pool->free_start + kept) % pool->count;

        if (pool->free_ring[from] == offset)
            continue;
        pool->free_ring[to] = pool->free_ring[from];
        kept++;
    }
    pool->free_count = kept;
}

int net_pool_adopt(struct net_pool *pool, uint64_t pod_id,
                   struct in_addr address, struct error *why)
{
    unsigned offset = ntohl(address.s_addr) - pool->first;
    unsigned had = find_owner(pool, pod_id);
    char text[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &address, text, sizeof text);
    if (offset < OFFSET_FIRST || offset >= pool->count - 1)
        return error_set(why, ERROR_OUT_OF_RANGE,
                         "%s is no pod's address in this node's subnet", text);
    if (had == offset)
        return 0;
    if (had || pool->owners[offset] != NOBODY)
        return error_set(why, ERROR_ALREADY_EXISTS,
                         "address %s: it or the pod is taken already", text);
    take_free(pool, offset);
    pool->owners[offset] = pod_id;
    return 0;
}

bool net_pool_owns(const struct net_pool *pool, uint64_t pod_id,
                   struct in_addr address)
{
    unsigned offset = ntohl(address.s_addr) - pool->first;

    return offset < pool->count && pool->owners[offset] == pod_id;
}

bool net_pool_release(struct net_pool *pool, uint64_t pod_id,
                      struct in_addr *address)
{
    unsigned offset = find_owner(pool, pod_id);

    if (offset == 0)
        return false;
    pool->owners[offset] = NOBODY;
    push_free(pool, offset);
    *address = at_offset(pool, offset);
    return true;
}
