/* pki.h - a certificate authority for one cluster, in one folder.
 *
 *   ca.crt ca.key           P-256, ten years
 *   NAME.crt NAME.key       of each master and node, of admin and viewer
 *
 * A subject is O=kontor, OU=<role>, CN=<name>. Files are 0600, and 0700 is a
 * folder that is made here. A key is written before its certificate, so a
 * NAME.crt that is there has its key. No certificate and no authority's key
 * is ever replaced. */
#pragma once

#include "base/error.h"
#include "rpc/identity.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

enum {
    PKI_DAYS = 365,
    PKI_DAYS_MAX = 3650,
    PKI_CA_DAYS = 3650,
    PKI_BACKDATE_SECONDS = 300, /* clocks differ */
};

struct pki {
    char *folder; /* owned */
    EVP_PKEY *key;
    X509 *certificate;
    bool made; /* just now, not found */
};

/* The CA in `folder`: read, or made together with the folder. DATA_LOSS: one
 * of its two files is missing or they do not belong together. */
int pki_open(struct pki *out, const char *folder, struct error *why);
void pki_close(struct pki *pki);

struct pki_subject {
    const char *name;
    enum rpc_role role;
    const char *host; /* IP or DNS name of a server; NULL for a person */
    unsigned days;
};

/* Make key and certificate of `subject` unless it has one; *made says which.
 * FAILED_PRECONDITION: the certificate there is of another role, or does not
 * name the subject's host. */
int pki_issue(const struct pki *pki, const struct pki_subject *subject,
              bool *made, struct error *why);

/* A name for a master or node: 1 to 63 of a-z 0-9 and -, none of those that
 * the folder uses itself. */
int pki_check_name(const char *name, struct error *why);
