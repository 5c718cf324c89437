/* replica.c - a member's life, loop turn by loop turn.
 *
 *   poll: messages, proposals, reads, completed writes --> the core, `out`
 *   check, and again prepare: end_turn()
 *       new proposals and reads --> the core, `out`
 *       replica_perform(out): store, messages, apply, answer
 *
 * All that one turn of the loop brings thus shares one write and one message
 * for each member, and nothing waits: the turn ends before the loop sleeps. */
#include "raft/replica_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    ELECTION_TIMEOUT_MS = 150,
    HEARTBEAT_MS = 50,
    SNAPSHOT_ENTRIES = 50000,
    SNAPSHOT_BYTES = 8 << 20,
    INFLIGHT_MESSAGES_MAX = 256,
    INFLIGHT_BYTES_MAX = 4 << 20,
};

/* What the commands of one entry change, and their bytes: it is applied in one
 * go, some ms, and several times as many when a snapshot's child has just been
 * forked, whose pages are copied as we write. A larger command is by itself. */
enum { JOINED_MAX = 128, JOINED_MAX_BYTES = 64 << 10 };

/* A tick that comes so late says that the loop was held up, or the machine: for
 * how long, nobody knows who slept. */
enum { LATE_MS = 5, PUT_OFF_MS = 10, PUT_OFFS_MAX = 3 };

/* Of each turn, for what is committed. */
enum { APPLY_NS = 16000000 };

/* ---- the end of a turn ---- */

/* What keeps us from taking a command after so many others of this turn.
 * Returns the code, 0 for nothing. */
static int check_command(struct replica *replica,
                         const struct replica_command *command, size_t others,
                         struct error *why)
{
    uint64_t reserve_bytes = replica_reserve_bytes(replica);
    uint64_t free_bytes = store_free_bytes(replica->store, reserve_bytes);
    uint32_t leader = raft_leader(replica->raft);

    if (raft_role(replica->raft) != RAFT_LEADER)
        return error_set(why, ERROR_UNAVAILABLE,
                         "%s does not lead; the leader is %s", replica->name,
                         replica_name(replica, leader));
    if (!raft_accepts(replica->raft))
        return error_set(why, ERROR_UNAVAILABLE,
                         "%s is handing leadership over", replica->name);
    if (command->length > REPLICA_COMMAND_MAX_BYTES)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "the command is larger than %d bytes",
                         REPLICA_COMMAND_MAX_BYTES);
    if (!command->payload)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "commands of %d MiB are under way",
                         REPLICA_PROPOSALS_MAX_BYTES >> 20);
    if (free_bytes < reserve_bytes)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "the disk of %s:%s has %" PRIu64 " KiB left, %" PRIu64
                         " MiB are kept in reserve",
                         replica->name, replica->folder, free_bytes >> 10,
                         reserve_bytes >> 20);
    if (replica->pending.count + others >= REPLICA_PROPOSALS_MAX)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "%d commands are under way", REPLICA_PROPOSALS_MAX);
    return 0;
}

/* Keep those of the commands that can be taken; the others fail. Returns how
 * many are left. */
static size_t sift(struct replica *replica, struct replica_command *commands,
                   size_t count)
{
    size_t taken = 0;

    for (size_t i = 0; i < count; i++) {
        struct replica_proposal *proposal = commands[i].proposal;
        struct error why;

        if (check_command(replica, &commands[i], taken, &why) == 0) {
            commands[taken++] = commands[i];
            continue;
        }
        if (commands[i].payload)
            replica->proposal_bytes -= proposal->bytes;
        raft_payload_drop(commands[i].payload);
        proposal->done(proposal, 0, &why);
    }
    return taken;
}

static size_t changes_of(const struct replica_command *command)
{
    return command->proposal->changes ? command->proposal->changes : 1;
}

/* The first of so many commands, 1 at least, as one entry; *payload is owned by
 * the caller, who no longer owns theirs. Returns how many they are. */
static size_t join(const struct replica *replica,
                   const struct replica_command *commands, size_t count,
                   struct raft_payload **payload)
{
    const struct replica_machine *machine = &replica->machine;
    struct raft_payload *parts[JOINED_MAX];
    size_t changes = changes_of(&commands[0]);
    size_t bytes = commands[0].length;
    size_t size = 1;

    parts[0] = commands[0].payload;
    while (machine->join && size < count &&
           changes + changes_of(&commands[size]) <= JOINED_MAX &&
           bytes + commands[size].length <= JOINED_MAX_BYTES) {
        changes += changes_of(&commands[size]);
        bytes += commands[size].length;
        parts[size] = commands[size].payload;
        size++;
    }
    *payload = size > 1 ? machine->join(machine->data, parts, size) : NULL;
    if (!*payload) {
        *payload = parts[0];
        return 1;
    }
    for (size_t i = 0; i < size; i++)
        raft_payload_drop(parts[i]);
    return size;
}

/* Give the core the commands of this turn, in as few entries as can be: each
 * costs every member a row, a checksum and a place in messages. */
static void propose(struct replica *replica)
{
    struct replica_command *commands = replica->commands;
    size_t count = replica->command_count;
    struct raft_payload **entries = memory_array(count, sizeof(void *));
    size_t entry_count = 0;
    uint64_t first = raft_last_index(replica->raft) + 1;
    uint64_t reserve_bytes = replica_reserve_bytes(replica);

    if (store_free_bytes(replica->store, reserve_bytes) < reserve_bytes)
        replica_make_way(replica);
    replica->commands = NULL; /* a callback may bring new ones */
    replica->command_count = 0;
    replica->command_capacity = 0;
    count = sift(replica, commands, count);
    for (size_t i = 0, size; i < count; i += size, entry_count++) {
        size = join(replica, &commands[i], count - i, &entries[entry_count]);
        for (size_t k = i; k < i + size; k++)
            replica_wait(replica, commands[k].proposal, first + entry_count);
    }
    if (entry_count) {
        uint64_t index =
            raft_propose(replica->raft, entries, entry_count, &replica->out);

        assert(index == first);
        replica->stepped = true;
    }
    for (size_t i = 0; i < entry_count; i++)
        raft_payload_drop(entries[i]);
    free(entries);
    free(commands);
}

/* All reads of a turn are one to the core. */
static void ask_reads(struct replica *replica)
{
    struct replica_reads *fresh = &replica->new_reads;
    uint64_t id;

    if (raft_role(replica->raft) != RAFT_LEADER) {
        replica_fail_reads(fresh, "this master does not lead");
        return;
    }
    id = raft_read(replica->raft, clock_boot_ms(), &replica->out);
    for (struct replica_read *read = fresh->first; read; read = read->next)
        read->id = id;
    *replica->reads.last = fresh->first;
    replica->reads.last = fresh->last;
    fresh->first = NULL;
    fresh->last = &fresh->first;
    replica->stepped = true;
}

static bool has_work(const struct replica *replica)
{
    return replica->stepped || replica->command_count > 0 ||
           replica->new_reads.first ||
           replica->applied_index < replica->commit_index;
}

/* Why we step down though nobody else is known to lead. */
static const char *why_not(const struct replica *replica)
{
    if (raft_disk_hangs(replica->raft))
        return "its disk takes too long to write";
    if (!raft_votes(replica->raft))
        return "it was removed";
    return "too few of the others have answered in time";
}

static void log_role(const struct replica *replica)
{
    const char *self = replica->name;
    uint32_t leader = raft_leader(replica->raft);
    uint64_t term = raft_term(replica->raft);

    if (raft_role(replica->raft) == RAFT_LEADER)
        log_info("raft: %s leads, term %" PRIu64, self, term);
    else if (leader != RAFT_NOBODY)
        log_info("raft: %s follows %s, term %" PRIu64, self,
                 replica_name(replica, leader), term);
    else if (replica->known.role == RAFT_LEADER && replica->known.term == term)
        log_warn("raft: %s leads no more, term %" PRIu64 ": %s", self, term,
                 why_not(replica));
    else
        log_info("raft: %s knows no leader, term %" PRIu64, self, term);
}

static void tell_changes(struct replica *replica)
{
    struct replica_status status = replica_status(replica);
    struct replica_known now = {
        .members = raft_configuration(replica->raft)->payload,
        .role = status.role,
        .term = status.term,
        .leader = raft_leader(replica->raft),
        .ready = status.ready,
        .hands_over = status.hands_over,
    };
    struct replica_known *known = &replica->known;
    bool role_changed =
        (now.role == RAFT_LEADER) != (known->role == RAFT_LEADER);

    if (now.role == known->role && now.term == known->term &&
        now.leader == known->leader && now.ready == known->ready &&
        now.hands_over == known->hands_over && now.members == known->members)
        return;
    if (role_changed || now.leader != known->leader)
        log_role(replica);
    *known = now;
    replica->machine.changed(replica->machine.data);
}

static void on_tick(uv_timer_t *timer);

/* With work left, the loop must come back without sleeping. */
static void arm_tick(struct replica *replica)
{
    uint64_t now_ms = clock_boot_ms();
    uint64_t at_ms;

    if (replica->tick_put_offs == 0)
        replica->tick_due_ms = raft_next_tick_ms(replica->raft);
    at_ms = has_work(replica) ? now_ms : replica->tick_due_ms;
    if (at_ms == replica->tick_at_ms)
        return;
    replica->tick_at_ms = at_ms;
    uv_timer_start(&replica->tick, on_tick, at_ms > now_ms ? at_ms - now_ms : 0,
                   0);
}

static void end_turn(struct replica *replica)
{
    if (!has_work(replica))
        return;
    if (replica->command_count > 0)
        propose(replica);
    if (replica->new_reads.first)
        ask_reads(replica);
    if (!replica->closing)
        replica_promote(replica); /* its vote may commit what it has */
    replica_perform(replica);
    if (!replica->closing)
        tell_changes(replica);
    if (!replica->closing)
        arm_tick(replica);
}

static void on_prepare(uv_prepare_t *prepare)
{
    end_turn(container_of(prepare, struct replica, prepare));
}

static void on_check(uv_check_t *check)
{
    struct replica *replica = container_of(check, struct replica, check);

    replica->apply_left_ns = APPLY_NS;
    end_turn(replica);
}

/* When the loop was held up, what the others sent meanwhile waits in the
 * sockets: read it before deciding that nobody was heard. And if the machine
 * was, they were with us, and have yet to speak and to answer. So may the turn
 * in which that is read be a long one: but whose turns all are late must judge
 * in the end. That we lead is not put off: many long turns must not add up to
 * our silence. */
static void on_tick(uv_timer_t *timer)
{
    struct replica *replica = container_of(timer, struct replica, tick);
    uint64_t now_ms = clock_boot_ms();

    replica->tick_at_ms = 0;
    if (now_ms < replica->tick_due_ms) {
        ; /* there was work left */
    } else if (now_ms > replica->tick_due_ms + LATE_MS &&
               replica->tick_put_offs < PUT_OFFS_MAX) {
        replica->tick_put_offs++;
        replica->tick_due_ms = now_ms + PUT_OFF_MS;
        raft_beat(replica->raft, now_ms, &replica->out);
    } else {
        replica->tick_put_offs = 0;
        raft_tick(replica->raft, now_ms, &replica->out);
    }
    replica_perform(replica); /* it is sent before the sockets are read */
    replica->stepped = true;  /* for the next tick */
}

/* ---- events ---- */

static void on_message(void *data, const struct raft_message *message)
{
    struct replica *replica = data;

    raft_receive(replica->raft, message, clock_boot_ms(), &replica->out);
    replica->stepped = true;
}

static void on_lost(void *data, uint32_t member)
{
    struct replica *replica = data;

    raft_peer_lost(replica->raft, member, clock_boot_ms(), &replica->out);
    replica->stepped = true;
}

static bool members_are_settled(void *data)
{
    const struct raft *raft = ((const struct replica *)data)->raft;

    return raft_configuration(raft)->index <= raft_commit_index(raft);
}

void replica_propose(struct replica *replica, struct replica_proposal *proposal,
                     const uint8_t *bytes, size_t length)
{
    struct replica_command *command;
    bool fits = length <= REPLICA_COMMAND_MAX_BYTES &&
                replica->proposal_bytes + proposal->kept_bytes + length <=
                    REPLICA_PROPOSALS_MAX_BYTES;

    assert(!replica->closing);
    if (replica->command_count == replica->command_capacity) {
        replica->command_capacity =
            replica->command_capacity ? 2 * replica->command_capacity : 16;
        replica->commands =
            memory_resize(replica->commands, replica->command_capacity *
                                                 sizeof *replica->commands);
    }
    command = &replica->commands[replica->command_count++];
    command->proposal = proposal;
    command->length = length;
    command->payload = fits ? raft_payload_new(bytes, length) : NULL;
    if (!fits)
        return;
    proposal->bytes = proposal->kept_bytes + length;
    replica->proposal_bytes += proposal->bytes;
}

void replica_read(struct replica *replica, struct replica_read *read)
{
    assert(!replica->closing);
    read->next = NULL;
    read->index = 0;
    *replica->new_reads.last = read;
    replica->new_reads.last = &read->next;
}

struct replica_status replica_status(const struct replica *replica)
{
    const struct raft *raft = replica->raft;
    uint32_t leader = raft_leader(raft);

    return (struct replica_status){
        .role = raft_role(raft),
        .ready = raft_accepts(raft) &&
                 replica->applied_index >= raft_term_start_index(raft),
        .hands_over = raft_hands_over(raft),
        .term = raft_term(raft),
        .leader = leader == RAFT_NOBODY ? NULL : replica_name(replica, leader),
        .last_index = raft_last_index(raft),
        .commit_index = raft_commit_index(raft),
        .applied_index = replica->applied_index,
        .snapshot_index = replica->snapshot.index,
    };
}

/* ---- opening ---- */

static void start_core(struct replica *replica,
                       const struct replica_config *config,
                       const struct store_content *content)
{
    struct raft_config core = {
        .self = content->id,
        .lease_drift_permille = config->lease_drift_permille,
        .election_timeout_ms = config->election_timeout_ms
                                   ? config->election_timeout_ms
                                   : ELECTION_TIMEOUT_MS,
        .heartbeat_ms =
            config->heartbeat_ms ? config->heartbeat_ms : HEARTBEAT_MS,
        .inflight_messages_max = INFLIGHT_MESSAGES_MAX,
        .inflight_bytes_max = INFLIGHT_BYTES_MAX,
        .append_bytes_max = CODEC_ENTRIES_BYTES_MAX,
    };
    const struct raft_restart restart = {
        .term = content->term,
        .voted_for = content->voted_for,
        .snapshot_index = content->snapshot_index,
        .snapshot_term = content->snapshot_term,
        .configuration = content->configuration,
        .first_index = content->first_index,
        .entries = content->entries,
        .entry_count = content->entry_count,
    };

    replica->self = content->id;
    random_bytes(&core.seed, sizeof core.seed);
    replica->raft = raft_new(&core, &restart, clock_boot_ms());
    replica->applied_index = content->snapshot_index;
    replica_take_members(replica);
}

/* An empty folder begins with those who are named on the command line; one
 * that is in use knows better. */
static int open_store(struct replica *replica,
                      const struct replica_config *config,
                      struct store_content *content, struct error *why)
{
    struct store_options options = {
        .folder = replica->folder,
        .self = config->name,
        .prepared_bytes = STORE_PREPARED_BYTES,
    };
    int code;

    if (!store_exists(replica->folder)) {
        options.configuration = replica_founders(config, &options.id, why);
        if (!options.configuration)
            return why->code;
    }
    code = store_open(&replica->store, &options, content, why);
    raft_payload_drop(options.configuration);
    return code;
}

/* Nobody is there yet whom it could hold up. */
static int load_snapshot(struct replica *replica, struct error *why)
{
    const struct replica_machine *machine = &replica->machine;
    void *loaded;

    if (replica->snapshot.index == 0)
        return 0;
    if (snapshot_load(replica->folder, &replica->snapshot, machine, &loaded,
                      why) != 0)
        return why->code;
    machine->drop(machine->exchange(machine->data, loaded));
    return 0;
}

/* What the disk holds: the store, then the snapshot that it names. */
static int open_disk(struct replica *replica,
                     const struct replica_config *config, struct error *why)
{
    struct snapshot *snapshot = &replica->snapshot;
    struct store_content content = {0};

    if (open_store(replica, config, &content, why) != 0)
        return why->code;
    snapshot->index = content.snapshot_index;
    snapshot->term = content.snapshot_term;
    memcpy(snapshot->sha256, content.snapshot_sha256, sizeof snapshot->sha256);
    snapshot->configuration = raft_payload_take(content.configuration);
    if (snapshot_clean(replica->folder, snapshot->index, why) != 0 ||
        load_snapshot(replica, why) != 0) {
        store_content_fini(&content);
        store_free(replica->store);
        return why->code;
    }
    uv_update_time(replica->loop); /* reading took its time */
    start_core(replica, config, &content);
    store_content_fini(&content);
    return 0;
}

static void start_loop(struct replica *replica, struct server *server,
                       struct tls_context *tls)
{
    const struct peers_config peers = {
        .self = replica->self,
        .format = replica->format,
        .tls = tls,
        .events = {on_message, on_lost, members_are_settled,
                   replica_snapshot_receive},
        .data = replica,
    };

    store_start(replica->store, replica->loop);
    replica->peers = peers_open(replica->loop, server, &peers);
    peers_set(replica->peers, replica->members);
    uv_timer_init(replica->loop, &replica->tick);
    uv_prepare_init(replica->loop, &replica->prepare);
    uv_prepare_start(&replica->prepare, on_prepare);
    uv_check_init(replica->loop, &replica->check);
    uv_check_start(&replica->check, on_check);
    arm_tick(replica);
}

static void replica_free(struct replica *replica)
{
    if (replica->members)
        kontor__v1__raft_configuration__free_unpacked(replica->members, NULL);
    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
        snapshot_fini(&replica->sends[i].send.snapshot);
    snapshot_fini(&replica->snapshot);
    raft_output_fini(&replica->out);
    raft_free(replica->raft);
    free(replica->commands);
    free(replica->held);
    free(replica->folder);
    free(replica);
}

int replica_open(struct replica **out, uv_loop_t *loop, struct server *server,
                 const struct replica_config *config, struct error *why)
{
    struct replica *replica = memory_new(sizeof *replica);

    replica->loop = loop;
    replica->folder = memory_string(config->folder);
    replica->machine = config->machine;
    replica->snapshot_entries =
        config->snapshot_entries ? config->snapshot_entries : SNAPSHOT_ENTRIES;
    replica->snapshot_bytes =
        config->snapshot_bytes ? config->snapshot_bytes : SNAPSHOT_BYTES;
    replica->apply_entries = config->apply_entries;
    replica->format = config->format;
    replica->pending.last = &replica->pending.first;
    replica->new_reads.last = &replica->new_reads.first;
    replica->reads.last = &replica->reads.first;
    raft_output_init(&replica->out);
    snprintf(replica->name, sizeof replica->name, "%s", config->name);
    if (open_disk(replica, config, why) != 0) {
        replica_free(replica);
        return why->code;
    }
    start_loop(replica, server, config->tls);
    *out = replica;
    return 0;
}

/* ---- closing ---- */

void replica_part_closed(struct replica *replica)
{
    void (*closed)(void *data) = replica->closed;
    void *data = replica->closed_data;

    if (--replica->open_parts > 0)
        return;
    replica_free(replica);
    closed(data);
}

static void on_part_closed(void *data)
{
    replica_part_closed(data);
}

static void on_tick_closed(uv_handle_t *handle)
{
    replica_part_closed(
        container_of((uv_timer_t *)(void *)handle, struct replica, tick));
}

static void on_prepare_closed(uv_handle_t *handle)
{
    replica_part_closed(
        container_of((uv_prepare_t *)(void *)handle, struct replica, prepare));
}

static void on_check_closed(uv_handle_t *handle)
{
    replica_part_closed(
        container_of((uv_check_t *)(void *)handle, struct replica, check));
}

static void fail_all(struct replica *replica)
{
    static const char text[] = "this master is shutting down";
    struct error why;

    error_set(&why, ERROR_UNAVAILABLE, "%s", text);
    for (size_t i = 0; i < replica->command_count; i++) {
        struct replica_proposal *proposal = replica->commands[i].proposal;

        raft_payload_drop(replica->commands[i].payload);
        proposal->done(proposal, 0, &why);
    }
    replica->command_count = 0;
    replica_fail_proposals(replica, ERROR_ABORTED, text);
    replica_fail_reads(&replica->new_reads, text);
    replica_fail_reads(&replica->reads, text);
}

void replica_close(struct replica *replica, void (*closed)(void *data),
                   void *data)
{
    assert(!replica->closing);
    replica->closing = true;
    replica->closed = closed;
    replica->closed_data = data;
    replica->open_parts = 5;
    fail_all(replica);
    replica_snapshot_close(replica);
    uv_close((uv_handle_t *)&replica->tick, on_tick_closed);
    uv_close((uv_handle_t *)&replica->prepare, on_prepare_closed);
    uv_close((uv_handle_t *)&replica->check, on_check_closed);
    store_close(replica->store, on_part_closed, replica);
    peers_close(replica->peers, on_part_closed, replica);
}
