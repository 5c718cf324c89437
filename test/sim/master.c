#include "test/sim/master.h"

#include "base/memory.h"
#include "test/sim/fault.h"
#include "test/sim/sim.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum {
    TURN_US = 400,
    CLOCK_OFFSET_MAX_MS = 100000,
    MASTER_BURST_MAX = 64,
    SLOW_FACTOR = 10,
    HASTY_TIMEOUT_MS = 100,
};

static uint64_t clock_rate(struct sim *sim)
{
    unsigned spread = sim->traits.clock_spread_permille;

    if (sim->traits.clocks_apart)
        return sim_chance(sim, 50) ? 1000 - spread : 1000 + spread;
    return 1000 - spread + random_below(&sim->random, 2 * spread + 1);
}

void master_init(struct sim *sim, unsigned position,
                 struct raft_payload *founders)
{
    struct master *master = &sim->masters[position];

    *master = (struct master){
        .position = position,
        .exists = true,
        .clock_offset_ms =
            (int64_t)random_below(&sim->random, CLOCK_OFFSET_MAX_MS),
        .clock_rate_permille = clock_rate(sim),
    };
    disk_init(&master->disk, founders);
    raft_output_init(&master->out);
}

static void forget_held(struct master *master)
{
    for (size_t i = 0; i < master->held_count; i++)
        raft_message_fini(&master->held[i].message);
    master->held_count = 0;
}

void master_fini(struct master *master)
{
    forget_held(master);
    free(master->held);
    free(master->reads);
    free(master->commands);
    raft_output_fini(&master->out);
    raft_free(master->raft);
    disk_fini(&master->disk);
}

uint64_t master_now_ms(const struct sim *sim, const struct master *master)
{
    return (uint64_t)master->clock_offset_ms +
           sim->now_us * master->clock_rate_permille / 1000000;
}

static void on_tick(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];

    if (event->at_us >= master->tick_at_us)
        master->tick_at_us = UINT64_MAX;
    raft_tick(master->raft, master_now_ms(sim, master), &master->out);
    master_stepped(sim, master);
}

static void schedule_tick(struct sim *sim, struct master *master)
{
    uint64_t due_ms = raft_next_tick_ms(master->raft);
    uint64_t now_ms = master_now_ms(sim, master);
    uint64_t delay_us = 1;
    struct event event = {
        .run = on_tick,
        .to_process = true,
        .master = master->position,
        .incarnation = master->incarnation,
    };

    if (due_ms > now_ms)
        delay_us = (due_ms - now_ms) * 1000000 / master->clock_rate_permille;
    if (sim->now_us + delay_us >= master->tick_at_us)
        return;
    master->tick_at_us = sim->now_us + delay_us;
    sim_after(sim, delay_us, &event);
}

static void load_machine(struct sim *sim, struct master *master)
{
    const struct snapshot *snapshot = master->disk.snapshot;

    if (snapshot)
        master->machine = sim->machine->load(snapshot->bytes, snapshot->length);
    else
        master->machine = sim->machine->create();
    master->applied = snapshot ? snapshot->index : 0;
}

void master_start(struct sim *sim, struct master *master)
{
    struct raft_restart content = disk_content(&master->disk);
    struct raft_config config = sim->traits.config;

    config.self = master->position + 1;
    config.seed = random_next(&sim->random);
    if (sim->traits.unleased >> master->position & 1)
        config.lease_drift_permille = 0;
    if (sim->traits.hasty >> master->position & 1)
        config.election_timeout_ms = HASTY_TIMEOUT_MS;
    master->incarnation++;
    master->up = true;
    master->stalled_until_us = 0;
    master->tick_at_us = UINT64_MAX;
    master->raft = raft_new(&config, &content, master_now_ms(sim, master));
    load_machine(sim, master);
    STORY(sim, master, "started: term %" PRIu64 ", log %" PRIu64 "..%" PRIu64,
          content.term, content.first_index, raft_last_index(master->raft));
    story_mix(&sim->story, 2, master->position, content.term,
              raft_last_index(master->raft));

    if (raft_term(master->raft) < master->checked_term &&
        master->disk.term < master->checked_term)
        master->checked_term = master->disk.term; /* was not promised */
    master->checked_role = RAFT_FOLLOWER;
    master->checked_commit = raft_commit_index(master->raft);
    check_restart(sim, master);
    check_core(sim, master);
    schedule_tick(sim, master);
}

void master_crash(struct sim *sim, struct master *master)
{
    if (!master->up)
        return;
    STORY(sim, master, "crashes");
    story_mix(&sim->story, 3, master->position, 0, sim->now_us);
    sim->checks.crashes++;
    disk_crash(&master->disk, &sim->random);
    raft_free(master->raft);
    master->raft = NULL;
    sim->machine->destroy(master->machine);
    master->machine = NULL;
    raft_output_clear(&master->out);
    forget_held(master);
    memset(master->streams_to, 0, sizeof master->streams_to);
    master->incoming = (struct incoming){0};
    master->read_count = 0;
    master->command_first = 0;
    master->command_count = 0;
    master->compacting = false;
    master->flush_due = false;
    master->up = false;
    network_hint(sim, master, sim->traits.hints_percent);
}

/* ---- outputs ---- */

static void leave(struct sim *sim, struct master *master,
                  struct raft_message *message)
{
    check_message(sim, master, message);
    network_send(sim, message);
    message->entries = NULL; /* taken */
    message->entry_count = 0;
}

static void hold(struct master *master, struct raft_message *message)
{
    if (master->held_count == master->held_capacity) {
        master->held_capacity =
            master->held_capacity ? 2 * master->held_capacity : 8;
        master->held = memory_resize(master->held, master->held_capacity *
                                                       sizeof *master->held);
    }
    master->held[master->held_count++] = (struct held){
        .store_id = master->disk.submitted_id,
        .message = *message,
    };
    message->entries = NULL; /* taken */
    message->entry_count = 0;
}

static void release_held(struct sim *sim, struct master *master)
{
    size_t kept = 0;

    for (size_t i = 0; i < master->held_count; i++) {
        if (master->held[i].store_id <= master->disk.durable_id)
            leave(sim, master, &master->held[i].message);
        else
            master->held[kept++] = master->held[i];
    }
    master->held_count = kept;
}

static void submit_write(struct sim *sim, struct master *master)
{
    const struct raft_output *out = &master->out;
    struct disk_write write = {
        .store_id = out->store_id,
        .since_us = sim->now_us,
        .has_state = out->store_state,
        .term = raft_term(master->raft),
        .voted_for = raft_vote(master->raft),
        .from = out->store_from,
    };

    if (write.from) {
        check_entries(sim, master, write.from);
        write.entry_count =
            (size_t)(raft_last_index(master->raft) + 1 - write.from);
        write.entries = memory_array(write.entry_count, sizeof *write.entries);
    }
    for (size_t i = 0; i < write.entry_count; i++) {
        write.entries[i] = *raft_entry_at(master->raft, write.from + i);
        raft_payload_take(write.entries[i].payload);
    }
    disk_submit(&master->disk, &write);
}

static void tell_clients(struct sim *sim, struct master *master,
                         const struct raft_entry *entry)
{
    while (master->command_count > 0) {
        const struct waiting_command *command =
            &master->commands[master->command_first];

        if (command->index > master->applied)
            return;
        if (command->index == master->applied && command->term == entry->term)
            check_acknowledged(sim, master, command->index, command->term);
        master->command_first++;
        master->command_count--;
    }
    master->command_first = 0;
}

static void apply_to(struct sim *sim, struct master *master, uint64_t index)
{
    STORY(sim, master, "commit %" PRIu64, index);
    story_mix(&sim->story, 4, master->position, index, sim->now_us);
    while (master->applied < index) {
        uint64_t next = master->applied + 1;
        const struct raft_entry *entry = raft_entry_at(master->raft, next);

        if (entry->kind == RAFT_ENTRY_COMMAND)
            sim->machine->apply(master->machine, next, entry->payload->bytes,
                                entry->payload->length);
        master->applied = next;
        check_applied(sim, master, next);
        tell_clients(sim, master, entry);
    }
    stream_save(sim, master);
}

static void serve_reads(struct sim *sim, struct master *master)
{
    size_t served = 0;

    if (master->read_count == 0)
        return;
    while (served < master->read_count &&
           master->reads[served].id <= master->out.reads_ready)
        check_read(sim, master, master->reads[served++].must_see);
    if (master->out.reads_lost)
        served = master->read_count;
    master->read_count -= served;
    memmove(master->reads, master->reads + served,
            master->read_count * sizeof *master->reads);
}

void master_flush(struct sim *sim, struct master *master)
{
    struct raft_output *out = &master->out;

    master->flush_due = false;
    if (out->store_id)
        submit_write(sim, master);
    for (size_t i = 0; i < out->message_count; i++) {
        struct raft_outgoing *outgoing = &out->messages[i];

        if (outgoing->after_store &&
            master->disk.durable_id < master->disk.submitted_id)
            hold(master, &outgoing->message);
        else
            leave(sim, master, &outgoing->message);
    }
    if (out->commit_index > master->applied)
        apply_to(sim, master, out->commit_index);
    serve_reads(sim, master);
    for (unsigned i = 0; i < out->snapshot_count; i++)
        stream_start(sim, master, out->snapshot_to[i] - 1);
    if (raft_role(master->raft) != RAFT_LEADER)
        master->command_count = 0; /* their clients ask again */
    raft_output_clear(out);
    disk_kick(sim, master);
}

static void on_turn(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];

    if (master->flush_due)
        master_flush(sim, master);
}

static void begin_role(struct sim *sim, struct master *master)
{
    enum raft_role role = raft_role(master->raft);

    if (role == RAFT_CANDIDATE || role == RAFT_LEADER)
        ambush_begins(sim, master);
    if (role == RAFT_LEADER)
        members_new_leader(sim, master);
}

void master_stepped(struct sim *sim, struct master *master)
{
    struct event event = {
        .run = on_turn,
        .to_process = true,
        .master = master->position,
        .incarnation = master->incarnation,
    };
    enum raft_role before = master->checked_role;

    check_core(sim, master);
    if (master->checked_role != before)
        begin_role(sim, master);
    schedule_tick(sim, master);
    if (!sim->traits.turns) {
        master_flush(sim, master);
    } else if (!master->flush_due) {
        master->flush_due = true;
        sim_after(sim, 1 + random_below(&sim->random, TURN_US), &event);
    }
}

/* ---- the disk ---- */

static void on_synced(struct sim *sim, struct event *event)
{
    struct master *master = &sim->masters[event->master];
    struct disk *disk = &master->disk;

    if (!disk_sync_end(disk))
        story_fail(&sim->story, "log: a write of m%u leaves a gap",
                   master->position + 1);
    release_held(sim, master);
    raft_stored(master->raft, disk->durable_id, &master->out);
    for (size_t i = 0; i < disk->syncing; i++) {
        const struct disk_write *write = &disk->waiting[i];

        if (!write->snapshot)
            continue;
        if (write->replaces_log) {
            stream_installed(sim, master, write);
            continue;
        }
        raft_compact(master->raft, write->snapshot->index, write->keep_from);
        master->compacting = false;
    }
    disk_sync_forget(disk);
    disk_kick(sim, master);
    master_stepped(sim, master);
}

void disk_kick(struct sim *sim, struct master *master)
{
    uint64_t delay_us;
    struct event event = {
        .run = on_synced,
        .to_process = true,
        .master = master->position,
        .incarnation = master->incarnation,
    };

    if (!disk_sync_begin(&master->disk))
        return;
    delay_us = sim_latency_us(sim, sim->traits.sync_us);
    if (sim->traits.slow_disk == master->position + 1)
        delay_us *= SLOW_FACTOR;
    if (master->disk.hangs_until_us > sim->now_us)
        delay_us += master->disk.hangs_until_us - sim->now_us;
    sim_after(sim, delay_us, &event);
}

/* ---- clients ---- */

void master_propose(struct sim *sim, struct master *master, unsigned count)
{
    struct raft_payload *commands[MASTER_BURST_MAX] = {NULL};
    uint64_t first;

    assert(count > 0 && count <= MASTER_BURST_MAX);
    for (unsigned i = 0; i < count; i++) {
        uint8_t bytes[MACHINE_COMMAND_MAX];
        size_t length =
            sim->machine->command(&sim->random, ++sim->command_number, bytes);

        commands[i] = raft_payload_new(bytes, length);
    }
    first = raft_propose(master->raft, commands, count, &master->out);
    STORY(sim, master, "propose %u from %" PRIu64, count, first);
    story_mix(&sim->story, 5, master->position, first, count);
    for (unsigned i = 0; i < count; i++) {
        size_t at = master->command_first + master->command_count;

        if (at == master->command_capacity) {
            master->command_capacity = at ? 2 * at : 64;
            master->commands =
                memory_resize(master->commands, master->command_capacity *
                                                    sizeof *master->commands);
        }
        master->commands[at] =
            (struct waiting_command){first + i, raft_term(master->raft)};
        master->command_count++;
        raft_payload_drop(commands[i]);
    }
    master_stepped(sim, master);
    ambush_grows(sim, master);
    ambush(sim, master, 1);
}

void master_read(struct sim *sim, struct master *master)
{
    if (master->read_count == master->read_capacity) {
        master->read_capacity =
            master->read_capacity ? 2 * master->read_capacity : 16;
        master->reads = memory_resize(master->reads, master->read_capacity *
                                                         sizeof *master->reads);
    }
    master->reads[master->read_count++] = (struct waiting_read){
        .must_see = sim->checks.last_committed,
        .id = raft_read(master->raft, master_now_ms(sim, master), &master->out),
    };
    master_stepped(sim, master);
}
