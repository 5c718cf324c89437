/* register.c - one operation, repeated for each master in turn:
 *
 *   IDLE --start--> CONNECT -> ASK -> HANG_UP --accepted--> IDLE
 *                      ^                 |
 *                      +---- WAIT <------+ refused; waits once a round
 *
 * A channel lives for one attempt: a registered node has no connection of
 * its own to any master. */
#include "node/register.h"

#include "base/memory.h"
#include "base/random.h"

enum {
    ASK_TIMEOUT_MS = 3000,
    ROUND_WAIT_FIRST_MS = 200,
    ROUND_WAIT_MAX_MS = 5000,
};

enum registration_state {
    REGISTRATION_IDLE,
    REGISTRATION_CONNECT,
    REGISTRATION_ASK,
    REGISTRATION_HANG_UP,
    REGISTRATION_WAIT,
};

struct registration {
    uv_loop_t *loop;
    struct registration_config config;
    enum registration_state state;
    size_t master; /* whose turn it is */
    size_t refusals;
    bool accepted;
    uint64_t wait_ms;
    struct channel *channel;
    struct call *call;      /* while asking */
    struct error unreached; /* why the master could not be asked */
    uv_timer_t timer;
    bool closing;
    void (*closed)(void *data);
    void *closed_data;
};

static void registration_step(struct registration *op);

static void registration_on_closed(uv_handle_t *handle)
{
    struct registration *op =
        container_of((uv_timer_t *)handle, struct registration, timer);
    void (*closed)(void *data) = op->closed;
    void *data = op->closed_data;

    free(op);
    closed(data);
}

static void registration_on_timer(uv_timer_t *timer)
{
    struct registration *op = container_of(timer, struct registration, timer);

    op->state = REGISTRATION_CONNECT;
    registration_step(op);
}

/* ---- one attempt --------------------------------------------------------- */

static void registration_on_answer(struct call *call,
                                   const ProtobufCMessage *message)
{
    struct registration *op = call_data(call);

    op->accepted = true;
    if (!op->closing)
        op->config.registered(
            op->config.data, (const Kontor__V1__RegisterNodeResponse *)message);
}

/* A master that cannot be reached is not waited for: the next may be. */
static void registration_on_changed(void *data, bool connected,
                                    const struct error *why)
{
    struct registration *op = data;

    if (connected || op->state != REGISTRATION_ASK || op->accepted)
        return;
    op->unreached = *why;
    call_cancel(op->call);
}

static void registration_on_ended(struct call *call, const struct error *why)
{
    static const struct error empty = {ERROR_INTERNAL,
                                       "the master answered without an answer"};
    struct registration *op = call_data(call);

    if (op->closing)
        return; /* registration_close() has hung up */
    if (!op->accepted && why->code == ERROR_OK)
        why = &empty;
    if (!op->accepted)
        op->config.refused(op->config.data, op->config.masters[op->master],
                           op->unreached.code != ERROR_OK ? &op->unreached
                                                          : why);
    op->state = REGISTRATION_HANG_UP;
    registration_step(op);
}

static const struct call_events registration_events = {
    .message = registration_on_answer,
    .ended = registration_on_ended,
};

static void registration_connect(struct registration *op)
{
    struct channel_config config = {
        .address = op->config.masters[op->master],
        .context = op->config.tls,
        .role = RPC_ROLE_MASTER,
        .changed = registration_on_changed,
        .data = op,
    };

    error_clear(&op->unreached);
    op->channel = channel_open(op->loop, &config);
}

static void registration_ask(struct registration *op)
{
    struct call_request request = {
        .path = "/kontor.v1.Cluster/RegisterNode",
        .response = &kontor__v1__register_node_response__descriptor,
        .timeout_ms = ASK_TIMEOUT_MS,
        .events = &registration_events,
        .data = op,
    };

    op->call =
        channel_call_unary(op->channel, &request, &op->config.request->base);
}

static void registration_on_hung_up(void *data)
{
    struct registration *op = data;

    op->channel = NULL;
    if (op->accepted) {
        op->state = REGISTRATION_IDLE;
    } else {
        op->master = (op->master + 1) % op->config.master_count;
        op->refusals++;
        op->state = op->refusals % op->config.master_count == 0
                        ? REGISTRATION_WAIT
                        : REGISTRATION_CONNECT;
    }
    registration_step(op);
}

static void registration_wait(struct registration *op)
{
    uv_timer_start(&op->timer, registration_on_timer, op->wait_ms, 0);
    op->wait_ms *= 2;
    if (op->wait_ms > ROUND_WAIT_MAX_MS)
        op->wait_ms = ROUND_WAIT_MAX_MS;
}

/* ---- all of it ----------------------------------------------------------- */

static void registration_step(struct registration *op)
{
    if (op->closing && !op->channel) {
        uv_close((uv_handle_t *)&op->timer, registration_on_closed);
        return;
    }
    switch (op->state) {
    case REGISTRATION_CONNECT:
        registration_connect(op);
        op->state = REGISTRATION_ASK;
        registration_ask(op);
        return;
    case REGISTRATION_HANG_UP:
        channel_close(op->channel, registration_on_hung_up, op);
        return;
    case REGISTRATION_WAIT:
        registration_wait(op);
        return;
    case REGISTRATION_IDLE:
    case REGISTRATION_ASK:
        return;
    }
}

struct registration *registration_open(uv_loop_t *loop,
                                       const struct registration_config *config)
{
    struct registration *op = memory_new(sizeof *op);

    op->loop = loop;
    op->config = *config;
    uv_timer_init(loop, &op->timer);
    return op;
}

void registration_start(struct registration *op)
{
    Kontor__V1__RequestId *id = op->config.request->request_id;

    if (op->state != REGISTRATION_IDLE || op->closing)
        return;
    /* One id for all attempts: sent twice, it is done once. */
    random_bytes(&id->high, sizeof id->high);
    random_bytes(&id->low, sizeof id->low);
    op->accepted = false;
    op->refusals = 0;
    op->wait_ms = ROUND_WAIT_FIRST_MS;
    op->state = REGISTRATION_CONNECT;
    registration_step(op);
}

void registration_close(struct registration *op, void (*closed)(void *data),
                        void *data)
{
    op->closing = true;
    op->closed = closed;
    op->closed_data = data;
    uv_timer_stop(&op->timer);
    /* While asking: the call ends with CANCELLED, and goes on from there. */
    if (op->state == REGISTRATION_ASK) {
        op->state = REGISTRATION_HANG_UP;
        registration_step(op);
    } else if (op->state != REGISTRATION_HANG_UP) {
        registration_step(op);
    }
}
