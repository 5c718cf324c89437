/* options.h - knode's command line. */
#pragma once

#include "base/label.h"
#include "base/options.h"
#include "node/capacity.h"
#include "node/net/net.h"

enum {
    NODE_MASTERS_MAX = 16,
    NODE_NAME_MAX = 63,
    NODE_CGROUP_MAX = 128, /* leaves room for pods and their containers */
    NODE_OPTIONS_OWNED_MAX = 4,
};

struct node_options {
    const char *name;
    const char *listen;
    const char *advertise; /* what the masters are told; NULL: as listen */
    const char *masters[NODE_MASTERS_MAX];
    size_t master_count;
    const char *data;
    const char *pki;
    const char *cgroup; /* "kontor/<name>" */
    const char *bridge;
    const char *table;
    enum net_overlay overlay;
    const char *kpod; /* beside knode, as kpull */
    const char *kpull;
    uint64_t log_limit_bytes;
    uint64_t image_keep_ms;
    struct capacity_wishes capacity;
    struct label labels[LABELS_MAX];
    size_t label_count;
    struct option_strings insecure;
    char *owned[NODE_OPTIONS_OWNED_MAX]; /* what is not argv's */
    size_t owned_count;
};

/* Read `knode ...`. Strings are borrowed from argv, or `owned`: to be let go
 * with node_options_fini() after success. Help was printed when *help.
 * INVALID_ARGUMENT names the option. */
int node_options_parse(struct node_options *out, int argc, char **argv,
                       bool *help, struct error *why);

void node_options_fini(struct node_options *options);
