/* The child that saves a snapshot, and what becomes of it when it is needed no
 * more: m1 is a real member, m2 is the test. */
#include "raft_cluster.h"

#include "base/fd.h"
#include "base/memory.h"
#include "kontor/v1/raft.pb-c.h"
#include "raft/install.h"
#include "raft/replica_parts.h"
#include "rpc/channel.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { TERM = 5, INSTALLED = 50, PATIENCE_MS = 10000 };

/* ---- m2, which leads ---- */

struct leading {
    struct channel *channel;
    bool closed;
    struct install_send send;
    uint64_t installed; /* 0: not yet */
};

static void on_ended(struct call *call, const struct error *why)
{
    (void)call;
    (void)why;
}

static void lead_open(struct leading *leading)
{
    const struct channel_config config = {
        .address = cluster.members[0].address,
        .context = cluster.members[1].tls,
        .role = RPC_ROLE_MASTER,
    };

    *leading = (struct leading){0};
    leading->channel = channel_open(&cluster.loop, &config);
}

static void on_closed(void *data)
{
    ((struct leading *)data)->closed = true;
}

static bool is_closed(void *data)
{
    return ((const struct leading *)data)->closed;
}

static void lead_close(struct leading *leading)
{
    channel_close(leading->channel, on_closed, leading);
    cluster_wait(is_closed, leading, "a channel to close");
    snapshot_fini(&leading->send.snapshot);
}

/* Three commands, committed. */
static void lead_commit(struct leading *leading)
{
    static const struct call_events events = {.ended = on_ended};
    const struct call_request request = {
        .path = "/kontor.v1.Raft/Messages",
        .response = &kontor__v1__raft_message__descriptor,
        .events = &events,
    };
    Kontor__V1__RaftMessage message = KONTOR__V1__RAFT_MESSAGE__INIT;
    Kontor__V1__RaftEntry entry = KONTOR__V1__RAFT_ENTRY__INIT;
    Kontor__V1__RaftEntry *entries[] = {&entry, &entry, &entry};
    struct error why;

    entry.term = TERM;
    entry.kind = RAFT_ENTRY_COMMAND;
    message.kind = RAFT_APPEND;
    message.from = 2;
    message.to = 1;
    message.term = TERM;
    message.commit_index = 3;
    message.entries = entries;
    message.n_entries = ARRAY_LEN(entries);
    assert_int_equal(call_send(channel_call(leading->channel, &request),
                               &message.base, &why),
                     0);
}

static void on_sent(struct install_send *send, uint64_t index,
                    const struct error *why)
{
    struct leading *leading = send->data;

    if (why->code)
        fail_msg("the snapshot was not taken: %s", why->message);
    leading->installed = index;
}

static bool is_installed(void *data)
{
    return ((const struct leading *)data)->installed != 0;
}

/* The state of m3, as of INSTALLED. */
static void lead_install(struct leading *leading)
{
    const struct replica_machine machine = member_machine(&cluster.members[2]);
    CLEANUP(free_pointer)
    char *folder = memory_format("%s/sent", cluster.folder);
    struct snapshot snapshot = {.index = INSTALLED, .term = TERM};
    const struct install_send_to to = {
        .channel = leading->channel,
        .folder = folder,
        .from = 2,
        .term = TERM,
    };
    struct error why;

    cluster.members[2].state = (struct member_state){INSTALLED, INSTALLED, 7};
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(
        snapshot_write(folder, INSTALLED, &machine, snapshot.sha256, &why), 0);
    snapshot.configuration =
        raft_configuration_pack(replica_members(cluster.members[0].replica));
    leading->send.done = on_sent;
    leading->send.data = leading;
    assert_int_equal(install_send_start(&leading->send, &snapshot, &to, &why),
                     0);
    snapshot_fini(&snapshot);
    cluster_wait(is_installed, leading, "the snapshot to be installed");
}

/* ---- stories ---- */

static bool is_held(void *data)
{
    return save_gate_child(data) != 0;
}

/* What is being saved is older than what comes: recorded after it, it would
 * take the state back, and the log with it. */
static void an_install_ends_the_save_of_an_older_state(void **state)
{
    struct member *member = &cluster.members[0];
    struct save_gate *gate = save_gate_new();
    struct leading leading;

    (void)state;
    cluster.snapshot_entries = 2;
    member->gate = gate;
    member_start(member);
    lead_open(&leading);
    lead_commit(&leading);
    cluster_wait(is_held, gate, "a save");
    lead_install(&leading);
    assert_int_equal(leading.installed, INSTALLED);
    assert_int_equal(kill(save_gate_child(gate), 0), -1);
    assert_int_equal(errno, ESRCH);
    assert_int_equal(replica_status(member->replica).snapshot_index, INSTALLED);
    lead_close(&leading);

    member_stop(member);
    member->gate = NULL;
    save_gate_free(gate);
    member_start(member);
    assert_int_equal(replica_status(member->replica).snapshot_index, INSTALLED);
    assert_int_equal(member->state.count, INSTALLED);
}

static bool has_failed(void *data)
{
    return ((const struct replica *)data)->save_again_ms != 0;
}

/* It is due again when the wait is over, not when as much has come anew. */
static void what_was_not_saved_still_counts(void **state)
{
    struct member *member = &cluster.members[0];
    struct leading leading;

    (void)state;
    cluster.snapshot_entries = 2;
    member->saving_fails = true;
    member_start(member);
    lead_open(&leading);
    lead_commit(&leading);
    cluster_wait(has_failed, member->replica, "a save to fail");
    assert_true(member->replica->applied_bytes >=
                3 * sizeof(struct raft_entry));
    lead_close(&leading);
}

/* A save by itself, of m3's state. */
static void start_save(struct snapshot_save *save, uv_loop_t *loop)
{
    const struct replica_machine machine = member_machine(&cluster.members[2]);
    struct error why;

    save->index = 1;
    if (snapshot_save_start(save, loop, cluster.folder, &machine, &why) != 0)
        fail_msg("%s", why.message);
}

/* Whoever waits for the end of a connection of ours hears of it though a child
 * lives on. */
static void the_child_has_no_descriptor_of_ours(void **state)
{
    struct save_gate *gate = save_gate_new();
    struct snapshot_save save = {0};
    struct pollfd watched = {.events = POLLIN};
    int ends[2];

    (void)state;
    cluster.members[2].gate = gate;
    assert_int_equal(pipe(ends), 0);
    watched.fd = ends[0];
    start_save(&save, &cluster.loop);
    assert_true(save_gate_await(gate));
    assert_int_equal(poll(&watched, 1, 0), 0);
    close(ends[1]);
    assert_int_equal(poll(&watched, 1, 0), 1);
    assert_true(watched.revents & POLLHUP);
    close(ends[0]);
    snapshot_save_cancel(&save);
    assert_int_equal(kill(save_gate_child(gate), 0), -1);
    save_gate_free(gate);
}

/* Else it would write into the folder of the master that is started next. */
static void the_child_dies_with_us(void **state)
{
    struct save_gate *gate = save_gate_new();
    struct pollfd watched = {.events = POLLIN};
    pid_t master;
    int status;
    int died;

    (void)state;
    cluster.members[2].gate = gate;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    master = fork();
    if (master == 0) {
        struct snapshot_save save = {0};
        uv_loop_t loop;

        uv_loop_init(&loop);
        start_save(&save, &loop);
        for (;;)
            pause();
    }
    assert_true(save_gate_await(gate));
    watched.fd = pidfd_open(save_gate_child(gate), 0);
    assert_true(watched.fd >= 0);
    assert_int_equal(poll(&watched, 1, 0), 0);
    kill(master, SIGKILL);
    assert_int_equal(waitpid(master, &status, 0), master);
    died = poll(&watched, 1, PATIENCE_MS);
    kill(save_gate_child(gate), SIGKILL); /* nothing is left either way */
    assert_int_equal(died, 1);
    assert_int_equal(waitpid(save_gate_child(gate), &status, 0),
                     save_gate_child(gate));
    close(watched.fd);
    save_gate_free(gate);
}

#define STORY(test) \
    cmocka_unit_test_setup_teardown(test, cluster_set_up, cluster_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(an_install_ends_the_save_of_an_older_state),
        STORY(what_was_not_saved_still_counts),
        STORY(the_child_has_no_descriptor_of_ours),
        STORY(the_child_dies_with_us),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
