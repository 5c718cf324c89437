/* tls_internal.h - what tls_context.c gives tls.c. */
#pragma once

#include "rpc/tls.h"

#include <openssl/ssl.h>

/* Borrowed: of servers and of clients. */
SSL_CTX *tls_context_ssl(const struct tls_context *context);

/* Who a certificate says that its holder is. PERMISSION_DENIED when its
 * subject is not of the form O=kontor, OU=<role>, CN=<name>. */
int tls_certificate_identity(X509 *certificate, struct rpc_identity *identity,
                             struct error *why);

/* INVALID_ARGUMENT with both dates when now is outside the certificate's
 * time. `name` says which it is. */
int tls_certificate_in_time(X509 *certificate, const char *name,
                            struct error *why);
