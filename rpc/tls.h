/* tls.h - mutual TLS 1.3 without I/O: bytes in, bytes out.
 *
 * `struct tls_context` holds our certificate, our key and the CA; servers and
 * channels share it. `struct tls` is one connection. */
#pragma once

#include "base/buffer.h"
#include "rpc/identity.h"

#include <stdbool.h>

struct tls_context;
struct tls;

/* Read `folder`/ca.crt, `folder`/`name`.crt and `folder`/`name`.key (PEM); what
 * stands between the two certificates follows in `name`.crt.
 * UNAUTHENTICATED, or PERMISSION_DENIED for a certificate that names no role:
 * the file is named and, for a certificate outside its time, the dates. */
int tls_context_new(struct tls_context **out, const char *folder,
                    const char *name, struct error *why);
void tls_context_free(struct tls_context *context);

/* Who our own certificate says that we are. Borrowed. */
const struct rpc_identity *
tls_context_identity(const struct tls_context *context);

/* One side of a connection. For a client, `host` is what the server's
 * certificate must name (DNS name or IP address) and `role` what it must be. */
struct tls *tls_new_server(struct tls_context *context);
struct tls *tls_new_client(struct tls_context *context, const char *host,
                           enum rpc_role role);
void tls_free(struct tls *tls);

/* A client begins with tls_receive() of no bytes.
 *
 * Bytes that came from the peer go in; decrypted bytes are appended to
 * `plain` and bytes for the peer (handshake, alerts) to `wire`. Errors say
 * what is wrong with the peer's certificate, or that it speaks no TLS, or
 * (UNAVAILABLE) that it closed the connection; what stands in `wire` then is
 * the alert to send before closing. */
int tls_receive(struct tls *tls, const void *bytes, size_t length,
                struct buffer *plain, struct buffer *wire, struct error *why);

/* Encrypt; only after tls_ready(). */
int tls_send(struct tls *tls, const void *bytes, size_t length,
             struct buffer *wire, struct error *why);

/* Append close_notify to `wire`. */
void tls_finish(struct tls *tls, struct buffer *wire);

/* The handshake is done and the peer is who it must be. */
bool tls_ready(const struct tls *tls);

/* Valid once tls_ready(). Borrowed. */
const struct rpc_identity *tls_peer(const struct tls *tls);
