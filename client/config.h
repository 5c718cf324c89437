/* config.h - which cluster kctl speaks to, and as whom.
 *
 *   {"masters": [{"name": "m1", "address": "127.0.0.1:7400"}, ...],
 *    "pki": ".", "identity": "admin"}
 *
 * `pki` is the folder of ca.crt, <identity>.crt and <identity>.key, relative
 * to the file. */
#pragma once

#include "base/error.h"

enum { CONFIG_MASTERS_MAX = 16 };

struct config_master {
    char *name;    /* owned */
    char *address; /* owned; HOST:PORT */
};

struct config {
    char *path; /* owned, like all below; where it was read from */
    char *pki;
    char *identity;
    struct config_master masters[CONFIG_MASTERS_MAX];
    size_t master_count;
};

/* Read `path`; NULL means KONTOR_CONFIG, then ~/.kontor/config.json.
 * INVALID_ARGUMENT names the file and what is missing or wrong in it. */
int config_load(struct config *out, const char *path, struct error *why);
void config_fini(struct config *config);

/* Write such a file (0600). `pki` as it shall stand in it. */
int config_save(const struct config *config, const char *path,
                struct error *why);
