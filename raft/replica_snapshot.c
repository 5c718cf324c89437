/* replica_snapshot.c - when a snapshot is made, sent and taken.
 *
 *   made    enough applied -> snapshot_save (child) -> store_compact
 *           -> raft_compact, the older file removed
 *   sent    the core asks -> install_send -> raft_snapshot_sent
 *   taken   install_receive -> snapshot_load (worker thread)
 *           -> machine.exchange, raft_installed, store_compact in one turn
 *           -> answered when durable
 *
 * Loading takes seconds when the state is large. The core does not know of it:
 * it goes on as a follower whose log lacks what the snapshot holds, and is
 * asked again whether the snapshot is wanted when it is loaded. So whoever
 * counts a snapshot, by its answer, has it on the disk and in use, and may lead
 * at once. */
#include "raft/replica_parts.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/memory.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* What stays in the log after a snapshot, for followers that are a little
 * behind: these parts of snapshot_entries and, at most, of snapshot_bytes. Half
 * of 8 MiB is as much as may be on its way to one (INFLIGHT_BYTES_MAX). */
enum { TAIL_DIVISOR = 5, TAIL_BYTES_DIVISOR = 2 };

enum { SAVE_RETRY_MS = 10000, SEND_RETRY_MS = 1000 };

struct compaction {
    struct store_compaction store;
    struct replica *replica;
    struct raft_payload *configuration; /* a reference */
    uint64_t store_id;                  /* of an installed one */
    struct install_receive *receive;    /* of an installed one */
};

static struct compaction *compaction_new(struct replica *replica,
                                         const struct snapshot *snapshot)
{
    struct compaction *compaction = memory_new(sizeof *compaction);

    compaction->replica = replica;
    compaction->store.snapshot_index = snapshot->index;
    compaction->store.snapshot_term = snapshot->term;
    memcpy(compaction->store.snapshot_sha256, snapshot->sha256,
           sizeof snapshot->sha256);
    compaction->configuration = raft_payload_take(snapshot->configuration);
    compaction->store.configuration = compaction->configuration;
    return compaction;
}

static void compaction_free(struct compaction *compaction)
{
    raft_payload_drop(compaction->configuration);
    free(compaction);
}

/* The store has recorded it. */
static void record(struct replica *replica,
                   const struct store_compaction *compaction)
{
    uint64_t older = replica->snapshot.index;

    raft_payload_drop(replica->snapshot.configuration);
    replica->snapshot.configuration =
        raft_payload_take(compaction->configuration);
    replica->snapshot.index = compaction->snapshot_index;
    replica->snapshot.term = compaction->snapshot_term;
    memcpy(replica->snapshot.sha256, compaction->snapshot_sha256,
           sizeof replica->snapshot.sha256);
    if (older)
        snapshot_remove(replica->loop, replica->folder, older);
}

/* ---- made ---- */

static uint64_t tail_from(const struct replica *replica, uint64_t index)
{
    uint64_t entries = replica->snapshot_entries / TAIL_DIVISOR;
    uint64_t from = index + 1;
    size_t bytes = 0;

    while (from > raft_first_index(replica->raft) &&
           index + 1 - from < entries) {
        const struct raft_entry *entry = raft_entry_at(replica->raft, from - 1);

        bytes += sizeof *entry;
        if (entry->payload)
            bytes += entry->payload->length;
        if (bytes > replica->snapshot_bytes / TAIL_BYTES_DIVISOR)
            break;
        from--;
    }
    return from;
}

static void on_compacted(struct store_compaction *done)
{
    struct compaction *compaction =
        container_of(done, struct compaction, store);
    struct replica *replica = compaction->replica;

    replica->compacting = false;
    if (!replica->closing) {
        raft_compact(replica->raft, done->snapshot_index, done->keep_from);
        record(replica, done);
        log_info("raft: snapshot %" PRIu64 " saved in %" PRIu64
                 " ms; the log begins at %" PRIu64,
                 done->snapshot_index,
                 clock_boot_ms() - replica->save_started_ms,
                 raft_first_index(replica->raft));
    }
    compaction_free(compaction);
}

static void on_saved(struct snapshot_save *save, const struct error *why)
{
    struct replica *replica = save->data;
    struct snapshot snapshot = {.index = save->index,
                                .term = replica->save_term};
    struct compaction *compaction;

    if (why->code) {
        log_warn("raft: no snapshot, again in %d s: %s", SAVE_RETRY_MS / 1000,
                 why->message);
        replica->save_again_ms = clock_boot_ms() + SAVE_RETRY_MS;
        return;
    }
    replica->applied_bytes -= replica->save_bytes;
    memcpy(snapshot.sha256, save->sha256, sizeof snapshot.sha256);
    snapshot.configuration =
        raft_configuration_at(replica->raft, save->index)->payload;
    compaction = compaction_new(replica, &snapshot);
    compaction->store.keep_from = tail_from(replica, save->index);
    compaction->store.done = on_compacted;
    replica->compacting = true;
    store_compact(replica->store, &compaction->store);
}

/* Of the newest snapshot's file; 0 when there is none. */
static uint64_t snapshot_size(struct replica *replica)
{
    CLEANUP(free_pointer) char *path = NULL;
    struct stat file;

    if (replica->sized_index == replica->snapshot.index)
        return replica->sized_bytes;
    path = snapshot_path(replica->folder, replica->snapshot.index, "");
    replica->sized_index = replica->snapshot.index;
    replica->sized_bytes = stat(path, &file) == 0 ? (uint64_t)file.st_size : 0;
    return replica->sized_bytes;
}

uint64_t replica_reserve_bytes(struct replica *replica)
{
    return STORE_RESERVE_BYTES + snapshot_size(replica);
}

/* Cheap enough to be written whenever it is asked for. */
enum { SNAPSHOT_SMALL_BYTES = 4 << 20 };

/* A large state is not written down for a few entries, but when the log has
 * grown by half as many bytes: what snapshots write stays in proportion to
 * what was logged, however large the state is. */
static bool due(struct replica *replica)
{
    uint64_t entries = replica->applied_index - replica->snapshot.index;
    uint64_t bytes = replica->applied_bytes;

    return (entries >= replica->snapshot_entries ||
            (entries > 0 && bytes >= replica->snapshot_bytes)) &&
           (snapshot_size(replica) <= SNAPSHOT_SMALL_BYTES ||
            bytes >= snapshot_size(replica) / 2) &&
           clock_boot_ms() >= replica->save_again_ms;
}

/* Is a stream past the point where it can be given up? */
static bool installing(const struct replica *replica)
{
    return replica->receive && install_receive_whole(replica->receive);
}

void replica_snapshot_check(struct replica *replica)
{
    struct error why;

    if (replica->closing || replica->save.running || replica->compacting ||
        !due(replica) || installing(replica))
        return;
    replica->save.index = replica->applied_index;
    replica->save.done = on_saved;
    replica->save.data = replica;
    replica->save_term =
        raft_entry_at(replica->raft, replica->applied_index)->term;
    replica->save_started_ms = clock_boot_ms();
    replica->save_bytes = replica->applied_bytes;
    if (snapshot_save_start(&replica->save, replica->loop, replica->folder,
                            &replica->machine, &why) != 0)
        on_saved(&replica->save, &why);
}

/* ---- sent ---- */

static void on_sent(struct install_send *send, uint64_t index,
                    const struct error *why)
{
    struct replica *replica = send->data;
    uint32_t member = container_of(send, struct replica_send, send)->member;

    if (replica->closing)
        return;
    if (why->code) {
        log_warn("raft: snapshot %" PRIu64 " to %s: %s", send->snapshot.index,
                 replica_name(replica, member), why->message);
        send->again_ms = clock_boot_ms() + SEND_RETRY_MS;
    } else {
        log_info("raft: %s has snapshot %" PRIu64,
                 replica_name(replica, member), index);
    }
    raft_snapshot_sent(replica->raft, member, index, clock_boot_ms(),
                       &replica->out);
    replica->stepped = true;
}

/* The member's, or else one that is not sending. There is one: members who
 * have left are not sent to for long, and others are fewer than these. NULL
 * when there is none all the same. */
static struct install_send *send_of(struct replica *replica, uint32_t member)
{
    struct replica_send *idle = NULL;

    for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
        struct replica_send *at = &replica->sends[i];

        if (at->member == member)
            return &at->send;
        if (!at->send.call)
            idle = at;
    }
    if (!idle)
        return NULL;
    idle->member = member;
    idle->send.again_ms = 0;
    return &idle->send;
}

/* False: not now. */
static bool send_to(struct replica *replica, uint32_t member)
{
    struct install_send *send = send_of(replica, member);
    const struct install_send_to to = {
        .channel = peers_channel(replica->peers, member),
        .folder = replica->folder,
        .from = replica->self,
        .term = raft_term(replica->raft),
    };
    struct error why;

    if (send && send->call)
        return true; /* its end is the answer */
    /* A call would wait for the connection, and the snapshot would age. */
    if (!send || !to.channel || !channel_connected(to.channel) ||
        clock_boot_ms() < send->again_ms)
        return false;
    send->done = on_sent;
    send->data = replica;
    if (install_send_start(send, &replica->snapshot, &to, &why) == 0)
        return true;
    log_error("raft: snapshot to %s: %s", replica_name(replica, member),
              why.message);
    send->again_ms = clock_boot_ms() + SEND_RETRY_MS;
    return false;
}

/* The core offers again with each heartbeat what was not sent. */
void replica_snapshot_send(struct replica *replica, const uint32_t *members,
                           unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (send_to(replica, members[i]))
            continue;
        raft_snapshot_sent(replica->raft, members[i], 0, clock_boot_ms(),
                           &replica->out);
        replica->stepped = true;
    }
}

/* ---- taken ---- */

/* What a stranger may say that it is: a member that we do not know yet, or one
 * whose removal may yet be taken back. */
static bool may_be_stranger(struct replica *replica, uint32_t from)
{
    const Kontor__V1__RaftConfiguration *members = replica_members(replica);
    const struct raft *raft = replica->raft;
    bool settled = raft_configuration(raft)->index <= raft_commit_index(raft);

    for (size_t i = 0; i < members->n_members; i++)
        if (members->members[i]->id == from)
            return false;
    return from != replica->self && (from >= members->next_id || !settled);
}

static int on_chunk(void *data, uint32_t from, uint64_t term, struct error *why)
{
    struct replica *replica = data;

    if (replica->receive_of_stranger && !may_be_stranger(replica, from))
        return error_set(why, ERROR_PERMISSION_DENIED,
                         "a snapshot of member %" PRIu32
                         " from a master that is none",
                         from);
    replica->stepped = true;
    if (raft_snapshot_incoming(replica->raft, from, term, clock_boot_ms(),
                               &replica->out))
        return 0;
    return error_set(
        why, ERROR_FAILED_PRECONDITION,
        "%s does not lead in term %" PRIu64 ", the term is %" PRIu64,
        replica_name(replica, from), term, raft_term(replica->raft));
}

static bool is_wanted(void *data, const struct snapshot *snapshot,
                      uint64_t *settled)
{
    struct replica *replica = data;

    if (replica->closing)
        return false;
    if (raft_snapshot_arrived(replica->raft, snapshot->index, snapshot->term,
                              &replica->out))
        return true;
    replica->stepped = true;
    *settled = raft_settled_index(replica->raft);
    return false;
}

static void on_installed(struct store_compaction *done)
{
    struct compaction *compaction =
        container_of(done, struct compaction, store);
    struct replica *replica = compaction->replica;
    struct install_receive *receive = compaction->receive;
    uint64_t store_id = compaction->store_id;

    if (!replica->closing) {
        record(replica, done);
        log_info("raft: snapshot %" PRIu64 " installed", done->snapshot_index);
    }
    replica_durable(replica, store_id);
    install_receive_answer(receive, done->snapshot_index);
    compaction_free(compaction);
}

/* From here to the submitted write there is no other event: what was asked
 * stays true. */
static void install(struct replica *replica, struct install_receive *receive,
                    const struct snapshot *snapshot)
{
    struct compaction *compaction = compaction_new(replica, snapshot);

    snapshot_save_cancel(&replica->save); /* of an older state */
    raft_installed(replica->raft, snapshot->index, snapshot->term,
                   snapshot->configuration, &replica->out);
    assert(replica->out.store_id && !replica->out.store_state);
    compaction->receive = receive;
    compaction->store_id = replica->out.store_id;
    compaction->store.replaces_log = true;
    compaction->store.done = on_installed;
    replica->submitted_id = replica->out.store_id;
    replica->out.store_id = 0;
    store_compact(replica->store, &compaction->store);
    replica->applied_index = snapshot->index;
    replica->applied_bytes = 0;
    replica_perform(replica);
}

/* A snapshot that came, read on a thread of its own. `receive` stays, and with
 * it the replica, until it is answered. */
struct loading {
    uv_work_t work;
    struct replica *replica;
    struct install_receive *receive;
    const struct snapshot *snapshot; /* borrowed from `receive` */
    void *state;                     /* owned, when it could be loaded */
    struct error why;
};

static void load(uv_work_t *work)
{
    struct loading *loading = container_of(work, struct loading, work);
    const struct replica *replica = loading->replica; /* what is constant */

    (void)snapshot_load(replica->folder, loading->snapshot, &replica->machine,
                        &loading->state, &loading->why);
}

/* An answer frees `receive`, and the last of it the replica. */
static void on_loaded(uv_work_t *work, int status)
{
    struct loading *loading = container_of(work, struct loading, work);
    struct replica *replica = loading->replica;
    const struct replica_machine *machine = &replica->machine;
    const struct snapshot *snapshot = loading->snapshot;
    uint64_t settled = 0;

    (void)status; /* nobody cancels it */
    if (!replica->closing)
        replica_perform(replica); /* raft_installed() wants it empty */
    if (loading->why.code) {
        log_error("raft: install snapshot %" PRIu64 ": %s", snapshot->index,
                  loading->why.message);
        install_receive_fail(loading->receive, &loading->why);
    } else if (is_wanted(replica, snapshot, &settled)) {
        snapshot_drop(replica->loop, machine,
                      machine->exchange(machine->data, loading->state));
        install(replica, loading->receive, snapshot);
    } else {
        snapshot_drop(replica->loop, machine, loading->state);
        snapshot_remove(replica->loop, replica->folder, snapshot->index);
        install_receive_answer(loading->receive, settled);
    }
    free(loading);
}

static void on_ready(void *data, struct install_receive *receive,
                     const struct snapshot *snapshot)
{
    struct replica *replica = data;
    struct loading *loading = memory_new(sizeof *loading);

    loading->replica = replica;
    loading->receive = receive;
    loading->snapshot = snapshot;
    uv_queue_work(replica->loop, &loading->work, load, on_loaded);
}

static void on_receive_ended(void *data, struct install_receive *receive)
{
    struct replica *replica = data;

    if (replica->receive != receive)
        return; /* another took its place */
    replica->receive = NULL;
    if (replica->closing)
        replica_part_closed(replica);
}

void replica_snapshot_receive(void *data, uint32_t member, struct call *call)
{
    static const struct install_receive_events events = {
        .chunk = on_chunk,
        .wanted = is_wanted,
        .ready = on_ready,
        .ended = on_receive_ended,
    };
    struct replica *replica = data;

    if (replica->receive &&
        !install_receive_cancel(replica->receive, ERROR_ABORTED,
                                "a newer stream took its place")) {
        call_fail(call, ERROR_UNAVAILABLE, "a snapshot is being installed");
        return;
    }
    replica->receive_of_stranger = member == RAFT_NOBODY;
    replica->receive = install_receive_new(replica->loop, replica->folder,
                                           member, &events, replica);
    install_receive_start(replica->receive, call);
}

void replica_snapshot_close(struct replica *replica)
{
    snapshot_save_cancel(&replica->save);
    if (replica->receive &&
        !install_receive_cancel(replica->receive, ERROR_UNAVAILABLE,
                                "this master is shutting down"))
        replica->open_parts++;
}
