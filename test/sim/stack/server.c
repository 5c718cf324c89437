/* server.c - rpc/server.h on virtual wires. */
#include "rpc/server.h"

#include "base/memory.h"
#include "test/sim/stack/rpc.h"
#include "test/sim/stack/world.h"

#include <assert.h>

static void on_closed(struct task *task)
{
    struct server *server = container_of(task, struct server, task);

    deadlines_remove(&server->process->timers, &server->grace);
    registry_fini(&server->registry);
    if (server->closed)
        server->closed(server->data);
    free(server);
}

void server_release(struct server *server)
{
    assert(server->users > 0);
    if (--server->users == 0)
        process_post(server->process, &server->task);
}

static void close_end(struct end *end, const struct error *why)
{
    struct server *server = end->server;

    if (end->state == END_CLOSED)
        return;
    end_close(end);
    calls_lose(end, why);
    server_release(server);
}

static void drain(struct end *end)
{
    end->draining = true;
    end_send(end, frame_new(FRAME_GOAWAY, 0, 0));
    server_calls_ended(end);
}

void server_calls_ended(struct end *end)
{
    static const struct error drained = {ERROR_UNAVAILABLE,
                                         "the server is shutting down"};

    if (end->server && end->draining && list_empty(&end->calls))
        close_end(end, &drained);
}

static void accept_end(struct end *end)
{
    struct server *server = end->process->server;
    struct frame *frame;

    if (!server) { /* it closed meanwhile */
        end_close(end);
        return;
    }
    frame = frame_new(FRAME_READY, 0, 0);
    end->server = server;
    end->state = END_OPEN;
    server->users++;
    end_send(end, frame);
}

void server_frame(struct end *end, const struct frame *frame)
{
    struct error why;

    if (frame->kind == FRAME_DIAL) {
        accept_end(end);
    } else if (end->state == END_DIALING) {
        end_close(end);
    } else {
        error_set(&why, frame->code, "%s", frame->text);
        close_end(end, &why);
    }
}

static void on_grace(struct deadline *deadline)
{
    static const struct error over = {ERROR_CANCELLED,
                                      "the server is shutting down"};
    struct server *server = container_of(deadline, struct server, grace);

    list_for_each(link, next, &server->process->ends)
    {
        struct end *end = container_of(link, struct end, link);

        if (end->server == server && end->state == END_OPEN)
            close_end(end, &over);
    }
}

int server_open(struct server **out, uv_loop_t *loop, const char *address,
                struct tls_context *context, const struct server_limits *limits,
                struct error *why)
{
    struct server *server = memory_new(sizeof *server);

    (void)address;
    (void)context;
    (void)limits;
    (void)why;
    server->process = process_of(loop);
    server->users = 1;
    server->grace.expired = on_grace;
    task_init(&server->task, on_closed);
    registry_init(&server->registry);
    assert(!server->process->server);
    server->process->server = server;
    *out = server;
    return 0;
}

void server_add(struct server *server, const struct service *service,
                void *data)
{
    registry_add(&server->registry, service, data);
}

/* No health service here. */
void server_set_serving(struct server *server, bool serving)
{
    (void)server;
    (void)serving;
}

/* Whoever dials from now on is refused. */
void server_close(struct server *server, uint64_t grace_ms,
                  void (*closed)(void *data), void *data)
{
    struct process *process = server->process;

    assert(!server->closing);
    server->closing = true;
    server->closed = closed;
    server->data = data;
    process->server = NULL;
    list_for_each(link, next, &process->ends)
    {
        struct end *end = container_of(link, struct end, link);

        if (end->server == server && end->state == END_OPEN)
            drain(end);
    }
    process_set_deadline(process, &server->grace, process->time_ms + grace_ms);
    server_release(server);
}

const struct rpc_identity *
tls_context_identity(const struct tls_context *context)
{
    return &context->identity;
}
