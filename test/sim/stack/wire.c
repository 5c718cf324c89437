#include "test/sim/stack/wire.h"

#include "base/memory.h"
#include "test/sim/stack/world.h"

enum {
    KEEPALIVE_US = 10000000,
    SWEEP_US = 1000000,
    REFUSED_US = 500,
    RETRANSMIT_US = 300000, /* after a lane was blocked, at most */
};

struct wire {
    struct list link;
    struct end client;
    struct end server;
};

struct frame *frame_new(enum frame_kind kind, uint32_t stream, size_t length)
{
    struct frame *frame = memory_new(sizeof *frame + length);

    list_init(&frame->parcel.link);
    frame->kind = kind;
    frame->stream = stream;
    frame->length = length;
    return frame;
}

void frame_free(struct frame *frame)
{
    list_remove(&frame->parcel.link);
    free(frame->text);
    free(frame);
}

static struct lane *lane_of(const struct end *from)
{
    return &world.lanes[from->process->host->position]
                       [from->peer->process->host->position];
}

/* ---- arriving ---- */

static void open_frame(struct parcel *parcel)
{
    struct frame *frame = container_of(parcel, struct frame, parcel);
    struct end *end = frame->to;

    if (end->state == END_CLOSED) {
        frame_free(frame);
        return;
    }
    switch (frame->kind) {
    case FRAME_DIAL:
    case FRAME_READY:
    case FRAME_LOST:
    case FRAME_GOAWAY:
        if (end->channel)
            channel_frame(end->channel, end, frame);
        else
            server_frame(end, frame);
        frame_free(frame);
        return;
    case FRAME_OPEN:
    case FRAME_MESSAGE:
    case FRAME_HALF_CLOSE:
    case FRAME_STATUS:
    case FRAME_RESET:
    case FRAME_WINDOW:
        call_frame(end, frame);
        return;
    }
}

static void deliver(struct end *end, struct frame *frame)
{
    struct end *peer = end->peer;

    if (peer->process->dead || peer->state == END_CLOSED) {
        frame_free(frame);
        return;
    }
    list_remove(&frame->parcel.link);
    story_mix(&world.story, frame->kind, frame->stream, frame->length,
              peer->process->host->position);
    frame->to = peer;
    frame->parcel.open = open_frame;
    frame->parcel.source = peer;
    process_deliver(peer->process, &frame->parcel);
}

static void plan(struct end *end);

static void on_arrival(void *data, uint64_t number)
{
    struct end *end = data;
    struct list due;

    (void)number;
    list_init(&due);
    end->planned = false;
    if (lane_of(end)->blocked) {
        end->stuck = !list_empty(&end->flying);
        return;
    }
    list_for_each(link, next, &end->flying)
    {
        struct frame *frame = container_of(
            container_of(link, struct parcel, link), struct frame, parcel);

        if (frame->at_us > world.now_us)
            break;
        list_remove(link);
        list_append(&due, link);
        end->flying_bytes -= frame->length;
    }
    plan(end);
    list_for_each(link, next, &due)
        deliver(end, container_of(container_of(link, struct parcel, link),
                                  struct frame, parcel));
    if (end->state == END_OPEN && !end->process->dead)
        calls_pump(end);
}

static void plan(struct end *end)
{
    const struct frame *first;

    if (list_empty(&end->flying) || end->planned || end->stuck)
        return;
    first = container_of(list_first(&end->flying, struct parcel, link),
                         struct frame, parcel);
    end->planned = true;
    world_after(first->at_us > world.now_us ? first->at_us - world.now_us : 0,
                on_arrival, end, 0);
}

/* ---- leaving ---- */

static uint64_t latency_us(const struct lane *lane)
{
    uint64_t latency_us = world_between(1, world.traits.delay_us);

    if (!world.healed && world_chance(1))
        latency_us += world_between(0, 20 * world.traits.delay_us);
    return latency_us + lane->delay_us;
}

/* Put it on the line whatever its sender is. */
static void launch(struct end *end, struct frame *frame)
{
    const struct lane *lane = lane_of(end);
    uint64_t at_us;

    if (end->clear_us < world.now_us + end->process->lag_us)
        end->clear_us = world.now_us + end->process->lag_us;
    if (lane->bytes_per_s)
        end->clear_us += (frame->length + 64) * 1000000 / lane->bytes_per_s;
    at_us = end->clear_us + latency_us(lane);
    if (at_us < end->arrive_us)
        at_us = end->arrive_us;
    end->arrive_us = at_us;
    frame->at_us = at_us;
    list_append(&end->flying, &frame->parcel.link);
    end->flying_bytes += frame->length;
    plan(end);
}

void end_send(struct end *end, struct frame *frame)
{
    if (end->state == END_CLOSED || process_is_mute(end->process) || end->mute)
        frame_free(frame);
    else
        launch(end, frame);
}

static void send_lost(struct end *end, const char *text)
{
    struct frame *frame = frame_new(FRAME_LOST, 0, 0);

    frame->code = ERROR_UNAVAILABLE;
    frame->text = memory_string(text);
    launch(end, frame);
}

void end_close(struct end *end)
{
    if (end->state == END_CLOSED)
        return;
    if (!process_is_mute(end->process) && !end->mute)
        send_lost(end, "the peer closed the connection");
    end->state = END_CLOSED;
    list_remove(&end->link);
}

/* ---- dialing ---- */

static void end_init(struct end *end, struct end *peer, struct process *process)
{
    end->peer = peer;
    end->process = process;
    end->state = END_DIALING;
    end->heard_us = world.now_us;
    list_init(&end->link);
    list_init(&end->calls);
    list_init(&end->flying);
    list_append(&process->ends, &end->link);
}

/* Nobody answers: a refusal when the machine is there. */
static void refuse(struct end *end, struct host *host)
{
    end->peer = end;
    if (!world.lanes[end->process->host->position][host->position].blocked &&
        !world.lanes[host->position][end->process->host->position].blocked)
        send_lost(end, "connection refused");
}

struct end *wire_dial(struct process *process, const char *address,
                      struct channel *channel)
{
    struct wire *wire = memory_new(sizeof *wire);
    struct host *host = world_find(address);
    struct process *there = host ? host->life : NULL;

    list_append(&world.wires, &wire->link);
    wire->client.channel = channel;
    wire->client.mute = process_is_mute(process);
    end_init(&wire->client, &wire->server, process);
    list_init(&wire->server.link);
    list_init(&wire->server.calls);
    list_init(&wire->server.flying);
    wire->server.state = END_CLOSED;
    wire->server.peer = &wire->client;
    wire->server.process = process;
    if (wire->client.mute || !host || host->vanished)
        return &wire->client;
    if (!there || !there->server) {
        refuse(&wire->client, host);
        return &wire->client;
    }
    end_init(&wire->server, &wire->client, there);
    end_send(&wire->client, frame_new(FRAME_DIAL, 0, 0));
    return &wire->client;
}

/* ---- what happens to wires ---- */

void wires_cut(struct process *process, bool silent)
{
    list_for_each(link, next, &process->ends)
    {
        struct end *end = container_of(link, struct end, link);

        if (!silent)
            send_lost(end, "connection reset by peer");
        end->mute = true;
    }
}

void wires_forgotten(struct host *host)
{
    list_for_each(link, next, &world.wires)
    {
        struct wire *wire = container_of(link, struct wire, link);
        struct end *ends[] = {&wire->client, &wire->server};

        for (unsigned i = 0; i < 2; i++)
            if (ends[i]->mute && ends[i]->process->host == host &&
                ends[i]->peer != ends[i] && !ends[i]->peer->process->dead &&
                ends[i]->peer->state != END_CLOSED)
                send_lost(ends[i], "connection reset by peer");
    }
}

static bool stands(const struct wire *wire)
{
    return wire->client.state == END_OPEN && wire->server.state == END_OPEN &&
           !wire->client.process->dead && !wire->server.process->dead;
}

void wires_reset_one(void)
{
    unsigned count = 0;
    uint64_t chosen;

    list_for_each(link, next, &world.wires) count +=
        stands(container_of(link, struct wire, link));
    if (count == 0)
        return;
    chosen = world_between(0, count - 1);
    list_for_each(link, next, &world.wires)
    {
        struct wire *wire = container_of(link, struct wire, link);

        if (!stands(wire) || chosen-- > 0)
            continue;
        tell(NULL, "reset: %s - %s", wire->client.process->host->identity.name,
             wire->server.process->host->identity.name);
        send_lost(&wire->client, "connection reset");
        send_lost(&wire->server, "connection reset");
        return;
    }
}

void wires_release(void)
{
    list_for_each(link, next, &world.wires)
    {
        struct wire *wire = container_of(link, struct wire, link);
        struct end *ends[] = {&wire->client, &wire->server};

        for (unsigned i = 0; i < 2; i++) {
            if (!ends[i]->stuck || lane_of(ends[i])->blocked)
                continue;
            ends[i]->stuck = false;
            ends[i]->planned = true;
            world_after(world_between(1, RETRANSMIT_US), on_arrival, ends[i],
                        0);
        }
    }
}

/* Was the peer heard within two keepalives? */
static void look_at(struct end *end)
{
    const struct end *peer = end->peer;
    struct frame *frame;

    if (end->state != END_OPEN || end->process->dead)
        return;
    if (!lane_of(end)->blocked && !lane_of(peer)->blocked && !peer->mute &&
        peer->state == END_OPEN)
        end->heard_us = world.now_us;
    if (world.now_us - end->heard_us < 2 * KEEPALIVE_US)
        return;
    frame = frame_new(FRAME_LOST, 0, 0);
    frame->code = ERROR_UNAVAILABLE;
    frame->text = memory_string("the peer is mute");
    deliver(end->peer, frame);
}

/* Nothing points to it any more. */
static bool is_over(const struct end *end)
{
    return (end->state == END_CLOSED || end->process->dead) && !end->planned &&
           list_empty(&end->flying) && list_empty(&end->calls) &&
           list_empty(&end->process->inbox);
}

static void on_sweep(void *data, uint64_t number)
{
    (void)data;
    (void)number;
    list_for_each(link, next, &world.wires)
    {
        struct wire *wire = container_of(link, struct wire, link);

        look_at(&wire->client);
        look_at(&wire->server);
        if (is_over(&wire->client) && is_over(&wire->server) &&
            !wire->client.process->host->vanished &&
            !wire->server.process->host->vanished) {
            list_remove(&wire->link);
            free(wire);
        }
    }
    world_after(SWEEP_US, on_sweep, NULL, 0);
}

void wires_start(void)
{
    world_after(SWEEP_US, on_sweep, NULL, 0);
}

static void drop_flying(struct end *end)
{
    list_for_each(link, next, &end->flying) frame_free(container_of(
        container_of(link, struct parcel, link), struct frame, parcel));
}

void wires_free(void)
{
    list_for_each(link, next, &world.wires)
    {
        struct wire *wire = container_of(link, struct wire, link);

        drop_flying(&wire->client);
        drop_flying(&wire->server);
        free(wire);
    }
    list_init(&world.wires);
}
