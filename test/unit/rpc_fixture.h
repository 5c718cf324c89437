/* rpc_fixture.h - a server with a method of every kind, for tests of rpc/.
 *
 * Service test.Echo; every message is a kontor.v1.LogsChunk, whose `data` is
 * the payload:
 *
 *   Unary     the same message back
 *   Count     "N": N messages back, 1 to N as text
 *   Sum       a stream: one message back, the payloads' total length as text
 *   Chat      a stream: each message back
 *   Hang      never answered
 *   Flood     "N": N bytes back in messages of 64 KiB, as fast as it may
 *   Fail      INVALID_ARGUMENT, with the payload as message
 *   Masters   Unary, for masters only */
#pragma once

#include "kontor/v1/cluster.pb-c.h"
#include "pki_fixture.h"
#include "rpc/channel.h"
#include "rpc/server.h"

extern const struct service rpc_fixture_service;

/* What the service saw; its data. */
struct rpc_fixture {
    uv_loop_t loop;
    struct pki_fixture pki;
    struct tls_context *server_context;
    struct server *server;
    char address[64];
    unsigned calls_hanging; /* so many calls of Hang have come */
    unsigned calls_ended;
    struct error last_ended;
    size_t flood_queued_max_bytes;
    struct rpc_identity last_peer;
};

/* A server as master m1 on a free port; certificates for master m1, node n1,
 * admin alice and viewer bob. */
void rpc_fixture_init(struct rpc_fixture *fixture);

/* Closes the server if it is there, and runs the loop until it is empty. */
void rpc_fixture_fini(struct rpc_fixture *fixture);

/* Client contexts and channels, by certificate name. */
struct tls_context *rpc_fixture_context(struct rpc_fixture *fixture,
                                        const char *name);

/* What happened to one call. */
struct rpc_record {
    unsigned messages;
    size_t bytes;
    char last[64]; /* start of the last message's payload, terminated */
    unsigned writable;
    bool ended;
    unsigned ended_count;
    struct error why;
    unsigned pause_after; /* messages; 0: never */
};

extern const struct call_events rpc_record_events;

/* A call of test.Echo/`method`, recorded in `record`. */
struct call *rpc_fixture_call(struct channel *channel, const char *path,
                              uint64_t timeout_ms, struct rpc_record *record);
int rpc_fixture_send(struct call *call, const void *bytes, size_t length,
                     struct error *why);

/* Run the loop until the record's call has ended; aborts when that takes
 * more than ten seconds. */
void rpc_fixture_wait(struct rpc_fixture *fixture,
                      const struct rpc_record *record);

/* Run the loop for so long. */
void rpc_fixture_run_ms(struct rpc_fixture *fixture, uint64_t ms);
