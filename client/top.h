/* top.h - what pods use: asked of every node twice, a moment apart. */
#pragma once

#include "client/contact.h"

#include <jansson.h>

struct top_use {
    uint64_t pod_id;
    uint64_t cpu_milli;
    uint64_t memory_bytes;
    uint64_t disk_bytes;
    uint64_t net_in_bits; /* per second, as is: */
    uint64_t net_out_bits;
};

struct top_node {
    Kontor__V1__NodeInfo *info; /* the listing's */
    ProtobufCMessage *before;   /* owned; UsageResponse, or NULL */
    ProtobufCMessage *after;
    struct error trouble; /* why it is not measured; code 0: it is */
};

struct top {
    ProtobufCMessage *listing; /* owned; ListNodesResponse */
    struct top_node *nodes;    /* owned */
    size_t count;
};

/* Print what was measured; `contact` may be asked for more. */
typedef int top_show_cb(struct top *top, struct contact *contact, bool json,
                        struct error *why);

/* A verb without operands: measure the pods of all nodes, which takes a second,
 * and show it. A node that cannot be asked has its trouble. Returns the exit
 * code. */
int top_run(struct words *words, top_show_cb *show);

/* What a pod uses; false: it was not measured. */
bool top_find(const struct top *top, const char *node, uint64_t pod_id,
              struct top_use *out);

/* The greater of both ways. */
uint64_t top_net_bits(const struct top_use *use);

/* All pods of a node together. */
struct top_use top_sum(const struct top_node *node);

json_t *top_json(const struct top_use *use);

/* Say which nodes are missing, on stderr. */
void top_complain(const struct top *top);

/* "0.2/2", "12Mi/-": `asked` 0 is nothing. */
typedef char *top_amount_cb(char *text, uint64_t amount);
struct table;
void top_cell(struct table *table, top_amount_cb *format, uint64_t used,
              uint64_t asked);
