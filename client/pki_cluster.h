/* pki_cluster.h - all certificates of one cluster, and its config.json. */
#pragma once

#include "base/options.h"
#include "client/pki.h"

enum { PKI_SERVERS_MAX = OPTION_STRINGS_MAX };

struct pki_server {
    char name[RPC_NAME_MAX];
    const char *address; /* HOST:PORT, borrowed */
    char *host;          /* owned */
};

struct pki_cluster {
    const char *folder; /* borrowed */
    uint64_t days;
    /* Called for each certificate, the authority's (no role) first; or NULL.
     * What was there already is kept. */
    void (*told)(void *data, const char *name, const char *role, bool made);
    void *data;
    struct pki_server *masters; /* owned */
    size_t master_count;
    struct pki_server *nodes; /* owned */
    size_t node_count;
};

/* Fill masters and nodes from "m1=HOST:PORT" each. INVALID_ARGUMENT names
 * the text. After either result, pki_cluster_make() or pki_cluster_fini(). */
int pki_cluster_read(struct pki_cluster *cluster,
                     const struct option_strings *masters,
                     const struct option_strings *nodes, struct error *why);
void pki_cluster_fini(struct pki_cluster *cluster);

/* Make what is missing in the folder; frees masters and nodes. */
int pki_cluster_make(struct pki_cluster *cluster, struct error *why);
