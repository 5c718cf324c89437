/* pki_certificate.h - P-256 keys and X.509 certificates (RFC 5280) in memory.
 */
#pragma once

#include "client/pki.h"

struct pki_pair {
    EVP_PKEY *key;
    X509 *certificate;
};

/* A self-signed authority that may sign servers and clients only. INTERNAL:
 * what OpenSSL said. */
int pki_make_ca(struct pki_pair *out, struct error *why);

/* A key and its certificate, signed by `pki`. Its time ends no later than
 * the authority's. A server's names: its name, its host, localhost,
 * 127.0.0.1 and ::1. */
int pki_make_pair(struct pki_pair *out, const struct pki_subject *subject,
                  const struct pki *pki, struct error *why);
/* May a server at `host`, IP or DNS name, show this certificate? */
bool pki_names_host(X509 *certificate, const char *host);

void pki_pair_fini(struct pki_pair *pair);
