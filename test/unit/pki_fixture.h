/* pki_fixture.h - a CA and certificates in a temporary folder, for tests.
 *
 *   struct pki_fixture pki;
 *   pki_fixture_init(&pki);                      /tmp/kontor-pki-XXXXXX, ca.crt
 *   pki_fixture_issue(&pki, "m1", "master");     m1.crt, m1.key
 *   tls_context_new(&context, pki.folder, "m1", &why);
 *   pki_fixture_fini(&pki);                      the folder is removed
 *
 * Certificates name localhost, 127.0.0.1, ::1 and their own name, and are
 * valid from five minutes ago for a day. What cannot be done ends the test
 * program. */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

struct pki_fixture {
    char folder[64];
    EVP_PKEY *ca_key;
    X509 *ca;
    long serial;
};

void pki_fixture_init(struct pki_fixture *pki);
void pki_fixture_fini(struct pki_fixture *pki);

/* Write NAME.crt and NAME.key with O=kontor, OU=`role`, CN=`name`. */
void pki_fixture_issue(struct pki_fixture *pki, const char *name,
                       const char *role);

/* The same, valid between now + `from_s` and now + `until_s`. */
void pki_fixture_issue_between(struct pki_fixture *pki, const char *name,
                               const char *role, long from_s, long until_s);
