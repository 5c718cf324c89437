#include "raft_cluster.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/memory.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 10000, FILLER_BYTES = 700000 };

struct cluster cluster;

/* ---- the state machine ---- */

/* Between commands that were joined; no command has it. */
enum { JOINT = '\n' };

static const char SLOW[] = "slow";

static void machine_apply(void *data, uint64_t index, const uint8_t *bytes,
                          size_t length)
{
    struct member *member = data;

    assert_true(index > member->state.index);
    member->state.index = index;
    member->state.count++;
    if (length == strlen(SLOW) && memcmp(bytes, SLOW, length) == 0)
        poll(NULL, 0, (int)member->slow_ms);
    for (size_t i = 0; i < length; i++) {
        member->state.count += bytes[i] == JOINT;
        member->state.hash = member->state.hash * 31 + bytes[i];
    }
}

/* With enough behind it to need several chunks. */
static int machine_save(void *data, int fd, struct error *why)
{
    const struct member *member = data;
    CLEANUP(free_pointer) uint8_t *filler = memory_new(FILLER_BYTES);

    if (member->gate)
        save_gate_pass(member->gate);
    if (member->saving_fails)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED, "no room");
    memset(filler, 'f', FILLER_BYTES);
    if (fd_write_all(fd, &member->state, sizeof member->state, why) != 0)
        return why->code;
    return fd_write_all(fd, filler, FILLER_BYTES, why);
}

static int machine_load(void *data, int fd, uint64_t index, void **loaded,
                        struct error *why)
{
    const struct member *member = data;
    struct member_state state;
    struct stat info;

    if (member->load_gate)
        save_gate_pass(member->load_gate);
    if (fstat(fd, &info) != 0 || info.st_size != sizeof state + FILLER_BYTES)
        return error_set(why, ERROR_INVALID_ARGUMENT, "not a state");
    if (fd_read_exact(fd, &state, sizeof state, why) != 0)
        return why->code;
    if (state.index > index)
        return error_set(why, ERROR_INVALID_ARGUMENT, "of another index");
    state.index = index;
    *loaded = memory_copy(&state, sizeof state);
    return 0;
}

static void *machine_exchange(void *data, void *loaded)
{
    struct member *member = data;
    void *former = memory_copy(&member->state, sizeof member->state);

    memcpy(&member->state, loaded, sizeof member->state);
    free(loaded);
    member->loads++;
    return former;
}

static void machine_changed(void *data)
{
    struct member *member = data;

    member->changes++;
}

static uint32_t machine_format(const void *data)
{
    (void)data;
    return cluster.format;
}

static struct raft_payload *machine_join(const void *data,
                                         struct raft_payload *const *commands,
                                         size_t count)
{
    char all[256 << 10];
    size_t length = 0;

    (void)data;
    if (!cluster.joins)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        assert_true(length + commands[i]->length + 1 < sizeof all);
        memcpy(all + length, commands[i]->bytes, commands[i]->length);
        length += commands[i]->length;
        all[length++] = JOINT;
    }
    return raft_payload_new(all, length - 1);
}

struct replica_machine member_machine(struct member *member)
{
    return (struct replica_machine){
        machine_apply,   machine_save, machine_load,   machine_exchange, free,
        machine_changed, member,       machine_format, machine_join,
    };
}

/* ---- members ---- */

static int open_member(struct member *member,
                       const struct replica_member *members, unsigned count,
                       struct error *why)
{
    struct replica_config config = {
        .name = member->name,
        .folder = member->folder,
        .members = members,
        .member_count = count,
        .tls = member->tls,
        .lease_drift_permille = cluster.lease_drift_permille,
        .election_timeout_ms = CLUSTER_ELECTION_TIMEOUT_MS,
        .snapshot_entries = cluster.snapshot_entries,
        .snapshot_bytes = cluster.snapshot_bytes,
        .format = member->format,
        .machine = member_machine(member),
    };
    int code;

    member->state = (struct member_state){0};
    member->loads = 0;
    code = server_open(&member->server, &cluster.loop, member->address,
                       member->tls, &(struct server_limits){0}, why);
    if (code == 0)
        code = replica_open(&member->replica, &cluster.loop, member->server,
                            &config, why);
    return code;
}

int member_try_start(struct member *member, unsigned count, struct error *why)
{
    struct replica_member all[CLUSTER_MEMBERS_MAX];

    for (unsigned i = 0; i < count; i++)
        all[i] = (struct replica_member){
            .name = cluster.members[i].name,
            .address = cluster.members[i].address,
        };
    return open_member(member, all, count, why);
}

void member_join(struct member *member, const struct member *known)
{
    const Kontor__V1__RaftConfiguration *told = replica_members(known->replica);
    struct replica_member all[RAFT_MEMBERS_MAX];
    struct error why;

    for (unsigned i = 0; i < told->n_members; i++)
        all[i] = (struct replica_member){
            .name = told->members[i]->name,
            .address = told->members[i]->address,
            .id = told->members[i]->id,
            .learner = told->members[i]->learner,
        };
    if (open_member(member, all, (unsigned)told->n_members, &why) != 0)
        fail_msg("%s: %s", member->name, why.message);
}

void member_start_of(struct member *member, unsigned count)
{
    struct error why;

    if (member_try_start(member, count, &why) != 0)
        fail_msg("%s: %s", member->name, why.message);
}

void member_start(struct member *member)
{
    member_start_of(member, CLUSTER_MEMBERS);
}

static void on_replica_closed(void *data)
{
    struct member *member = data;

    member->replica = NULL;
}

static void on_server_closed(void *data)
{
    struct member *member = data;

    member->server = NULL;
    if (member->replica)
        replica_close(member->replica, on_replica_closed, member);
}

void member_begin_stop(struct member *member)
{
    if (member->server)
        server_close(member->server, 0, on_server_closed, member);
}

bool member_is_down(void *data)
{
    const struct member *member = data;

    return !member->server && !member->replica;
}

/* ---- waiting ---- */

static void on_patience_ends(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}

/* Run the loop until `condition` holds. */
void cluster_wait(bool (*condition)(void *data), void *data, const char *what)
{
    uv_timer_t *timer = malloc(sizeof *timer);
    bool too_late = false;

    uv_timer_init(&cluster.loop, timer);
    timer->data = &too_late;
    uv_timer_start(timer, on_patience_ends, PATIENCE_MS, 0);
    while (!condition(data) && !too_late)
        uv_run(&cluster.loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)timer, on_timer_closed);
    if (too_late)
        fail_msg("waited in vain for %s", what);
}

void member_stop(struct member *member)
{
    member_begin_stop(member);
    cluster_wait(member_is_down, member, "a member to close");
}

struct member *cluster_leader(void)
{
    for (int i = 0; i < CLUSTER_MEMBERS_MAX; i++)
        if (cluster.members[i].replica &&
            replica_status(cluster.members[i].replica).ready)
            return &cluster.members[i];
    return NULL;
}

static bool has_leader(void *data)
{
    (void)data;
    return cluster_leader() != NULL;
}

struct member *cluster_wait_leader(void)
{
    struct member *found;

    cluster_wait(has_leader, NULL, "a leader");
    found = cluster_leader();
    assert_non_null(found);
    return found;
}

struct member *cluster_follower(const struct member *leading)
{
    return &cluster.members[(leading - cluster.members + 1) % CLUSTER_MEMBERS];
}

/* All that are up have applied the same and everything. */
bool cluster_agrees(void *data)
{
    const struct member *leading = cluster_leader();

    (void)data;
    if (!leading)
        return false;
    for (int i = 0; i < CLUSTER_MEMBERS_MAX; i++)
        if (cluster.members[i].replica &&
            (cluster.members[i].state.count != leading->state.count ||
             cluster.members[i].state.hash != leading->state.hash))
            return false;
    return true;
}

bool member_has_snapshot(void *data)
{
    const struct member *member = data;

    return replica_status(member->replica).snapshot_index > 0;
}

/* No other one will follow before more is applied. */
bool member_has_last_snapshot(void *data)
{
    const struct member *member = data;
    struct replica_status status = replica_status(member->replica);

    return status.applied_index - status.snapshot_index <
           cluster.snapshot_entries;
}

/* ---- proposing and reading ---- */

static void on_proposed(struct replica_proposal *proposal, uint64_t index,
                        const struct error *why)
{
    struct asked *asked = container_of(proposal, struct asked, proposal);

    assert_false(asked->done);
    asked->done = true;
    asked->index = index;
    asked->why = *why;
}

void asked_on_read(struct replica_read *read, const struct error *why)
{
    struct asked *asked = container_of(read, struct asked, read);

    assert_false(asked->done);
    asked->done = true;
    asked->why = *why;
}

bool asked_is_done(void *data)
{
    const struct asked *asked = data;

    return asked->done;
}

void member_ask(struct member *member, struct asked *asked, const char *text)
{
    *asked = (struct asked){.proposal.done = on_proposed};
    replica_propose(member->replica, &asked->proposal,
                    (const uint8_t *)(const void *)text, strlen(text));
    assert_false(asked->done);
}

int member_change(struct member *member, enum replica_change_kind kind,
                  const struct member *whom, struct error *why)
{
    struct asked asked = {.proposal.done = on_proposed};
    const struct replica_change change = {
        .kind = kind,
        .name = whom->name,
        .address = whom->address,
    };

    if (replica_change(member->replica, &asked.proposal, &change, why) != 0)
        return why->code;
    assert_false(asked.done);
    cluster_wait(asked_is_done, &asked, "a change of members");
    *why = asked.why;
    return why->code;
}

struct asked member_propose(struct member *member, const char *text)
{
    struct asked asked;

    member_ask(member, &asked, text);
    cluster_wait(asked_is_done, &asked, "a proposal");
    return asked;
}

void member_commit(struct member *member, const char *text)
{
    struct asked asked = member_propose(member, text);

    if (asked.why.code)
        fail_msg("%s: %s", text, asked.why.message);
    assert_int_equal(member->state.index, asked.index);
}

/* Many at once: they share writes and messages. */
void member_commit_many(struct member *member, unsigned count)
{
    struct asked *asked = memory_array(count, sizeof *asked);

    for (unsigned i = 0; i < count; i++) {
        char text[32];

        snprintf(text, sizeof text, "command %u", i);
        member_ask(member, &asked[i], text);
    }
    for (unsigned i = 0; i < count; i++) {
        cluster_wait(asked_is_done, &asked[i], "many proposals");
        assert_int_equal(asked[i].why.code, 0);
        assert_int_equal(asked[i].index, asked[0].index + i);
    }
    free(asked);
}

/* ---- set up and tear down ---- */

int cluster_set_up(void **state)
{
    struct error why;

    (void)state;
    log_set_level(LOG_LEVEL_ERROR + 1);
    uv_loop_init(&cluster.loop);
    pki_fixture_init(&cluster.pki);
    (void)mkdir("build", 0755);
    snprintf(cluster.folder, sizeof cluster.folder,
             "build/test_raft_replica.XXXXXX");
    if (!mkdtemp(cluster.folder))
        return -1;
    cluster.snapshot_entries = 0;
    cluster.snapshot_bytes = 0;
    cluster.lease_drift_permille = 0;
    cluster.format = 0;
    cluster.joins = false;
    for (int i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        struct member *member = &cluster.members[i];

        memset(member, 0, sizeof *member);
        snprintf(member->name, sizeof member->name, "m%d", i + 1);
        free_address(member->address);
        member->folder = memory_format("%s/%s", cluster.folder, member->name);
        pki_fixture_issue(&cluster.pki, member->name, "master");
        if (tls_context_new(&member->tls, cluster.pki.folder, member->name,
                            &why) != 0)
            return -1;
    }
    return 0;
}

static void on_stuck(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* A test that failed may have left something open: do not wait for ever. */
static void run_to_the_end(void)
{
    uv_timer_t timer;

    uv_timer_init(&cluster.loop, &timer);
    uv_timer_start(&timer, on_stuck, PATIENCE_MS, 0);
    uv_unref((uv_handle_t *)&timer);
    uv_run(&cluster.loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&cluster.loop, UV_RUN_NOWAIT);
}

int cluster_tear_down(void **state)
{
    struct error why;

    (void)state;
    for (int i = 0; i < CLUSTER_MEMBERS_MAX; i++)
        member_begin_stop(&cluster.members[i]);
    run_to_the_end();
    for (int i = 0; i < CLUSTER_MEMBERS_MAX; i++) {
        tls_context_free(cluster.members[i].tls);
        free(cluster.members[i].folder);
    }
    pki_fixture_fini(&cluster.pki);
    return uv_loop_close(&cluster.loop) != 0 ||
           folder_remove(AT_FDCWD, cluster.folder, &why) != 0;
}

void cluster_start(void)
{
    for (int i = 0; i < CLUSTER_MEMBERS; i++)
        member_start(&cluster.members[i]);
}
