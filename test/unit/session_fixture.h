/* session_fixture.h - one side of a connection without a socket, for tests
 * and fuzzers: what the peer would have sent goes in, what it would have got
 * comes out. */
#pragma once

#include "rpc/call_core.h"
#include "rpc/health.h"
#include "rpc_fixture.h"

struct session_fixture {
    uv_loop_t loop;
    struct turn turn;
    struct registry registry;
    struct health health;
    struct rpc_fixture service; /* what test.Echo saw */
    struct session session;
    bool turn_closed;
};

/* A server with health, reflection and test.Echo, whose caller is admin
 * alice; or a client without calls. */
void session_fixture_init_server(struct session_fixture *fixture);
void session_fixture_init_client(struct session_fixture *fixture);

/* Loses what calls there are, and demands that nothing is left of them. */
void session_fixture_fini(struct session_fixture *fixture);

/* One turn of the loop, and what it has for the peer. */
int session_fixture_turn(struct session_fixture *fixture, struct buffer *out,
                         struct error *why);
