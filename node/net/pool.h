/* pool.h - inside node/net: which pod has which address of the node's subnet.
 *
 * Pure, and not thread-safe. */
#pragma once

#include "base/error.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct net_pool {
    in_addr_t first; /* in host order: the subnet's own, never given away */
    unsigned prefix;
    unsigned count;      /* addresses of the subnet, reserved ones included */
    uint64_t *owners;    /* by offset; NOBODY when free */
    uint32_t *free_ring; /* offsets, the longest free first */
    unsigned free_start;
    unsigned free_count;
};

enum { NET_PREFIX_MIN = 16, NET_PREFIX_MAX = 29 };

/* "10.42.2.0/24"; INVALID_ARGUMENT names what is none. */
int net_subnet_parse(const char *text, in_addr_t *first, unsigned *prefix,
                     struct error *why);

void net_pool_init(struct net_pool *pool, in_addr_t first, unsigned prefix);
void net_pool_fini(struct net_pool *pool);

/* The address `pod_id` has already, or the one that was free the longest. */
int net_pool_claim(struct net_pool *pool, uint64_t pod_id,
                   struct in_addr *address, struct error *why);
int net_pool_adopt(struct net_pool *pool, uint64_t pod_id,
                   struct in_addr address, struct error *why);
/* Is `address` the one of `pod_id`? */
bool net_pool_owns(const struct net_pool *pool, uint64_t pod_id,
                   struct in_addr address);
/* False when it had none. */
bool net_pool_release(struct net_pool *pool, uint64_t pod_id,
                      struct in_addr *address);
