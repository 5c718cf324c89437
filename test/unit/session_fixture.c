#include "session_fixture.h"

#include "rpc/reflection.h"

#include <assert.h>

enum { STREAMS_MAX = 1024, OUT_TARGET_BYTES = 1 << 20 };

static void on_turn_closed(struct turn *turn)
{
    container_of(turn, struct session_fixture, turn)->turn_closed = true;
}

static void on_unused(struct turn *turn)
{
    turn_close(turn, on_turn_closed);
}

static void ignore(struct session *session)
{
    (void)session;
}

static void init(struct session_fixture *fixture)
{
    *fixture = (struct session_fixture){0};
    uv_loop_init(&fixture->loop);
    turn_init(&fixture->turn, &fixture->loop, on_unused);
    registry_init(&fixture->registry);
    fixture->session = (struct session){
        .turn = &fixture->turn,
        .wake = ignore,
        .ready = ignore,
        .goaway = ignore,
        .pong = ignore,
    };
}

void session_fixture_init_server(struct session_fixture *fixture)
{
    init(fixture);
    health_init(&fixture->health, &fixture->registry);
    registry_add(&fixture->registry, &health_service, &fixture->health);
    reflection_add(&fixture->registry);
    registry_add(&fixture->registry, &rpc_fixture_service, &fixture->service);
    fixture->session.registry = &fixture->registry;
    fixture->session.peer = (struct rpc_identity){RPC_ROLE_ADMIN, "alice"};
    session_start_server(&fixture->session, STREAMS_MAX);
}

void session_fixture_init_client(struct session_fixture *fixture)
{
    init(fixture);
    fixture->session.authority = "m1:7400";
    fixture->session.peer = (struct rpc_identity){RPC_ROLE_MASTER, "m1"};
    session_start_client(&fixture->session);
}

void session_fixture_fini(struct session_fixture *fixture)
{
    static const struct error lost = {ERROR_UNAVAILABLE, "the test is over"};

    session_lose(&fixture->session, &lost);
    turn_release(&fixture->turn);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert(fixture->turn_closed);
    session_fini(&fixture->session);
    registry_fini(&fixture->registry);
    if (uv_loop_close(&fixture->loop) != 0)
        abort(); /* a handle was left open */
}

int session_fixture_turn(struct session_fixture *fixture, struct buffer *out,
                         struct error *why)
{
    uv_run(&fixture->loop, UV_RUN_NOWAIT);
    return h2_send(fixture->session.h2, out, OUT_TARGET_BYTES, why);
}
