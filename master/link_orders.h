/* link_orders.h - what one node is ordered; orders go one at a time. */
#pragma once

#include "kontor/v1/node.pb-c.h"

#include <stdbool.h>

struct link;

/* A pod to be ordered; which generation, the state says when it is sent. */
struct link_order {
    uint64_t pod_id;
    uint32_t generation; /* deletions only */
    bool sent;           /* creations: with others, and the node refused some */
};

/* A queue: what is before `first` has been taken. */
struct link_orders {
    struct link_order *orders; /* owned */
    size_t first;
    size_t count; /* with what has been taken */
    size_t capacity;
};

enum link_rpc {
    LINK_RPC_NONE,
    LINK_RPC_CREATE,
    LINK_RPC_DELETE,
    LINK_RPC_ROUTES,
    LINK_RPC_KINDS /* how many there are */
};

void link_order_create(struct link *link, uint64_t pod_id);
void link_order_delete(struct link *link, uint64_t pod_id, uint32_t generation);
/* Order the difference between what the node has and what it should. */
void link_compare(struct link *link,
                  const Kontor__V1__NodeListPodsResponse *list);
void link_flush(struct link *link);
/* Something waited for its time, and the time has come. */
bool link_orders_due(const struct link *link, uint64_t now_ms);
void link_forget_orders(struct link *link);
/* Nothing waits any more for having been refused; another term begins. */
void link_forget_holds(struct link *link);
