/* session.h - the calls on one connection, without I/O. */
#pragma once

#include "base/list.h"
#include "rpc/h2.h"
#include "rpc/identity.h"
#include "rpc/registry.h"
#include "rpc/turn.h"

/* What all calls of a connection together may keep of messages that are not
 * complete or wait for call_resume(). */
enum { SESSION_BUFFERED_MAX_BYTES = 64 << 20 };

/* What all its calls together may have queued, before call_send() refuses. */
enum { SESSION_QUEUED_MAX_BYTES = 64 << 20 };

struct session {
    struct h2 *h2;                   /* owned */
    struct turn *turn;               /* borrowed */
    const struct registry *registry; /* borrowed; a server's */
    const char *authority;           /* borrowed; a client's: HOST:PORT */
    struct rpc_identity peer;
    struct list calls;
    size_t buffered_bytes;
    size_t queued_bytes;

    /* For whoever moves the bytes. */
    void (*wake)(struct session *session);  /* there is something to send */
    void (*ready)(struct session *session); /* SETTINGS came */
    void (*goaway)(struct session *session);
    void (*pong)(struct session *session);
};

/* Set what is borrowed, `peer` and the callbacks first. */
void session_start_server(struct session *session, unsigned streams_max);
void session_start_client(struct session *session);

/* The connection is gone: its calls end with `why`. */
void session_lose(struct session *session, const struct error *why);

void session_fini(struct session *session);
