/* stream.c - snapshots: saved beside the work, streamed in chunks, installed.
 *
 * As the replica does it, less the bytes: every chunk carries a reference to
 * the whole, and only when all came in order is it looked at. */
#include "base/memory.h"
#include "test/sim/sim.h"

#include <inttypes.h>
#include <string.h>

enum { CHUNKS_MAX = 4, STREAM_TIMEOUT_US = 400000 };

static void drop_snapshot(void *data)
{
    snapshot_drop(data);
}

/* ---- saving ---- */

static void on_saved(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];
    struct disk_write write = {.snapshot = event->data, .keep_from = event->a};

    disk_submit(&master->disk, &write);
    disk_kick(sim, master);
}

static struct snapshot *save(struct sim *sim, const struct master *master)
{
    struct buffer bytes;
    struct snapshot *snapshot;

    buffer_init(&bytes, MACHINE_STATE_MAX);
    sim->machine->save(master->machine, &bytes);
    snapshot = memory_new(sizeof *snapshot + buffer_length(&bytes));
    snapshot->references = 1;
    snapshot->index = master->applied;
    snapshot->term = raft_entry_at(master->raft, master->applied)->term;
    snapshot->configuration = raft_payload_take(
        raft_configuration_at(master->raft, master->applied)->payload);
    snapshot->length = buffer_length(&bytes);
    memcpy(snapshot->bytes, buffer_data(&bytes), snapshot->length);
    buffer_fini(&bytes);
    return snapshot;
}

void stream_save(struct sim *sim, struct master *master)
{
    uint64_t every = sim->traits.snapshot_every;
    uint64_t before = master->disk.snapshot ? master->disk.snapshot->index : 0;
    uint64_t tail;
    struct event event = {
        .run = on_saved,
        .to_process = true,
        .master = master->position,
        .incarnation = master->incarnation,
        .drop = drop_snapshot,
    };

    if (master->compacting || master->applied < before + every)
        return;
    master->compacting = true;
    tail = random_below(&sim->random, every);
    event.a = master->applied + 1 - tail;
    event.data = save(sim, master);
    sim_after(sim, sim_latency_us(sim, 3 * sim->traits.sync_us), &event);
}

/* ---- sending ---- */

static void end(struct sim *sim, struct master *master, unsigned to,
                uint64_t index)
{
    STORY(sim, master, "snapshot to m%u ended, it has %" PRIu64, to + 1, index);
    master->streams_to[to] = 0;
    raft_snapshot_sent(master->raft, to + 1, index, master_now_ms(sim, master),
                       &master->out);
    master_stepped(sim, master);
}

static void on_timeout(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];

    if (master->streams_to[event->b] == event->a)
        end(sim, master, (unsigned)event->b, 0);
}

static void on_answer(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];

    if (master->streams_to[event->b] != event->a)
        return;
    check_streamed(sim, master, (unsigned)event->b);
    end(sim, master, (unsigned)event->b, event->c);
}

static void answer(struct sim *sim, const struct master *master,
                   unsigned stream_from, uint64_t stream_id, uint64_t index)
{
    struct event event = {
        .run = on_answer,
        .incarnation = sim->masters[stream_from].incarnation,
        .a = stream_id,
        .b = master->position,
        .c = index,
    };

    network_event(sim, master->position, stream_from, &event);
}

/* ---- receiving ---- */

static void install(struct sim *sim, struct master *master,
                    const struct event *event)
{
    struct snapshot *snapshot = event->data;
    struct disk_write write = {
        .snapshot = snapshot_take(snapshot),
        .replaces_log = true,
        .stream_from = event->message.from - 1,
        .stream_id = event->a,
    };

    STORY(sim, master, "installs snapshot %" PRIu64 "@%" PRIu64,
          snapshot->index, snapshot->term);
    sim->checks.installs++;
    sim->machine->destroy(master->machine);
    master->machine = sim->machine->load(snapshot->bytes, snapshot->length);
    master->applied = snapshot->index;
    check_applied(sim, master, snapshot->index);
    raft_installed(master->raft, snapshot->index, snapshot->term,
                   snapshot->configuration, &master->out);
    write.store_id = master->out.store_id;
    write.since_us = sim->now_us;
    disk_submit(&master->disk, &write);
    master->out.store_id = 0;
    check_core(sim, master);
    master_flush(sim, master);
}

static void on_whole(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];
    const struct snapshot *snapshot = event->data;

    master_flush(sim, master);
    if (raft_snapshot_arrived(master->raft, snapshot->index, snapshot->term,
                              &master->out)) {
        install(sim, master, event);
    } else {
        answer(sim, master, event->message.from - 1, event->a,
               raft_settled_index(master->raft));
        master_stepped(sim, master);
    }
    event_fini(event);
}

void stream_installed(struct sim *sim, struct master *master,
                      const struct disk_write *write)
{
    answer(sim, master, write->stream_from, write->stream_id,
           write->snapshot->index);
}

static void on_chunk(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];
    bool taken = raft_snapshot_incoming(
        master->raft, event->message.from, event->message.term,
        master_now_ms(sim, master), &master->out);

    master_stepped(sim, master);
    if (taken && event->b == 0)
        master->incoming = (struct incoming){.stream_id = event->a};
    if (!taken || master->incoming.stream_id != event->a ||
        master->incoming.chunks != event->b) {
        event_fini(event);
        return;
    }
    if (++master->incoming.chunks < event->c) {
        event_fini(event);
        return;
    }
    event->run = on_whole;
    event->incarnation = master->incarnation;
    sim_after(sim, sim_latency_us(sim, sim->traits.install_us), event);
}

void stream_start(struct sim *sim, struct master *master, unsigned to)
{
    uint64_t chunks = 1 + random_below(&sim->random, CHUNKS_MAX);
    struct event timeout = {
        .run = on_timeout,
        .to_process = true,
        .master = master->position,
        .incarnation = master->incarnation,
        .b = to,
    };

    if (master->streams_to[to])
        return; /* its end is the answer */
    STORY(sim, master, "streams snapshot %" PRIu64 " to m%u",
          master->disk.snapshot->index, to + 1);
    master->streams_to[to] = ++sim->stream_number;
    master->streams_index[to] = master->disk.snapshot->index;
    timeout.a = sim->stream_number;
    sim_after(sim, STREAM_TIMEOUT_US, &timeout);
    for (uint64_t i = 0; i < chunks; i++) {
        struct event chunk = {
            .run = on_chunk,
            .in_order = true,
            .a = sim->stream_number,
            .b = i,
            .c = chunks,
            .message = {.from = master->position + 1,
                        .term = raft_term(master->raft)},
            .data = snapshot_take(master->disk.snapshot),
            .drop = drop_snapshot,
        };

        network_event(sim, master->position, to, &chunk);
    }
}
