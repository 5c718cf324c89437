/* What a member must survive: peers that are not who they say, snapshots that
 * arrive broken, disks that are full. */
#include "raft_cluster.h"
#include "raft_members.h"

#include "base/fd.h"
#include "base/memory.h"
#include "kontor/v1/raft.pb-c.h"
#include "raft/core/message.h"
#include "raft/replica_state.h"
#include "rpc/channel.h"

#include <dirent.h>
#include <openssl/sha.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a peer that we play ---- */

struct rogue {
    struct tls_context *tls;
    struct channel *channel;
    bool closed;
    bool ended;
    struct error why;    /* of the call */
    uint64_t end_answer; /* RaftSnapshotEnd */
    unsigned answers;    /* RaftMessage */
};

static void on_message(struct call *call, const ProtobufCMessage *message)
{
    struct rogue *rogue = call_data(call);

    if (message->descriptor == &kontor__v1__raft_snapshot_end__descriptor)
        rogue->end_answer =
            ((const Kontor__V1__RaftSnapshotEnd *)(const void *)message)
                ->snapshot_index;
    else
        rogue->answers++;
}

static bool was_answered(void *data)
{
    const struct rogue *rogue = data;

    return rogue->answers > 0;
}

static void on_ended(struct call *call, const struct error *why)
{
    struct rogue *rogue = call_data(call);

    rogue->ended = true;
    rogue->why = *why;
}

static bool has_ended(void *data)
{
    const struct rogue *rogue = data;

    return rogue->ended;
}

static void on_closed(void *data)
{
    struct rogue *rogue = data;

    rogue->closed = true;
}

static bool is_closed(void *data)
{
    const struct rogue *rogue = data;

    return rogue->closed;
}

static void rogue_open(struct rogue *rogue, const char *name, const char *role)
{
    struct channel_config config = {.address = cluster.members[0].address,
                                    .role = RPC_ROLE_MASTER};
    struct error why;

    *rogue = (struct rogue){0};
    pki_fixture_issue(&cluster.pki, name, role);
    if (tls_context_new(&rogue->tls, cluster.pki.folder, name, &why) != 0)
        fail_msg("%s", why.message);
    config.context = rogue->tls;
    rogue->channel = channel_open(&cluster.loop, &config);
}

static void rogue_close(struct rogue *rogue)
{
    channel_close(rogue->channel, on_closed, rogue);
    cluster_wait(is_closed, rogue, "a channel to close");
    tls_context_free(rogue->tls);
}

static struct call *rogue_call(struct rogue *rogue, const char *path,
                               const ProtobufCMessageDescriptor *response)
{
    static const struct call_events events = {.message = on_message,
                                              .ended = on_ended};
    const struct call_request request = {
        .path = path, .response = response, .events = &events, .data = rogue};

    rogue->ended = false;
    rogue->end_answer = 0;
    return channel_call(rogue->channel, &request);
}

static struct call *call_messages(struct rogue *rogue)
{
    return rogue_call(rogue, "/kontor.v1.Raft/Messages",
                      &kontor__v1__raft_message__descriptor);
}

static struct call *call_install(struct rogue *rogue)
{
    return rogue_call(rogue, "/kontor.v1.Raft/InstallSnapshot",
                      &kontor__v1__raft_snapshot_end__descriptor);
}

static void expect_end(struct rogue *rogue, enum error_code code,
                       const char *text)
{
    cluster_wait(has_ended, rogue, "a call to end");
    if (rogue->why.code != code || !strstr(rogue->why.message, text))
        fail_msg("expected %s, \"%s\"; got %s, \"%s\"", error_name(code), text,
                 error_name(rogue->why.code), rogue->why.message);
}

/* ---- who may speak ---- */

static void only_members_may_speak(void **state)
{
    struct rogue rogue;

    (void)state;
    member_start(&cluster.members[0]);

    rogue_open(&rogue, "n1", "node");
    call_messages(&rogue);
    expect_end(&rogue, ERROR_PERMISSION_DENIED, "n1");
    call_install(&rogue);
    expect_end(&rogue, ERROR_PERMISSION_DENIED, "n1");
    rogue_close(&rogue);

    rogue_open(&rogue, "m1", "master"); /* itself */
    call_messages(&rogue);
    expect_end(&rogue, ERROR_PERMISSION_DENIED, "m1 is not another master");
    rogue_close(&rogue);
}

/* One that our log does not know yet, as it was added lately: what it asks is
 * answered on its own stream. It may not speak for a member. */
static void strangers_are_answered(void **state)
{
    Kontor__V1__RaftMessage message = KONTOR__V1__RAFT_MESSAGE__INIT;
    struct rogue rogue;
    struct error why;

    (void)state;
    member_start(&cluster.members[0]);
    rogue_open(&rogue, "m9", "master");
    message.kind = RAFT_PRE_VOTE;
    message.term = 9;
    message.to = 1;
    message.from = 2;
    assert_int_equal(call_send(call_messages(&rogue), &message.base, &why), 0);
    expect_end(&rogue, ERROR_INVALID_ARGUMENT, "sent a message from 2");
    message.from = 9;
    assert_int_equal(call_send(call_messages(&rogue), &message.base, &why), 0);
    cluster_wait(was_answered, &rogue, "an answer to a stranger");
    rogue_close(&rogue);
}

static void member_speaks_for_itself_only(void **state)
{
    Kontor__V1__RaftMessage message = KONTOR__V1__RAFT_MESSAGE__INIT;
    struct rogue rogue;
    struct error why;

    (void)state;
    member_start(&cluster.members[0]);
    rogue_open(&rogue, "m2", "master");
    message.kind = RAFT_VOTE;
    message.term = 1000;
    message.from = 3; /* m3, says m2 */
    message.to = 1;
    assert_int_equal(call_send(call_messages(&rogue), &message.base, &why), 0);
    expect_end(&rogue, ERROR_INVALID_ARGUMENT, "sent a message from 3");

    message.from = 2;
    message.kind = 99;
    assert_int_equal(call_send(call_messages(&rogue), &message.base, &why), 0);
    expect_end(&rogue, ERROR_INVALID_ARGUMENT, "unknown kind 99");
    assert_true(replica_status(cluster.members[0].replica).term < 1000);
    rogue_close(&rogue);
}

/* ---- a member whose removal is on its way ---- */

static void send_message(struct call *call, Kontor__V1__RaftMessage message)
{
    struct error why;

    message.from = 2;
    message.to = 1;
    assert_int_equal(call_send(call, &message.base, &why), 0);
}

static bool lacks_m2(void *data)
{
    (void)data;
    return replica_members(cluster.members[0].replica)->n_members == 2;
}

/* m2 leads in term 9 and has m1 take an entry that removes it. While that is
 * not committed m2 is heard: nobody else could take the entry back. */
static void a_removal_silences_once_it_is_committed(void **state)
{
    struct raft_payload *without_m2 = raft_members(3, 0, 2);
    Kontor__V1__RaftMessage append = KONTOR__V1__RAFT_MESSAGE__INIT;
    Kontor__V1__RaftEntry entry = KONTOR__V1__RAFT_ENTRY__INIT;
    Kontor__V1__RaftEntry *entries[] = {&entry};
    struct rogue rogue;
    struct call *call;

    (void)state;
    member_start(&cluster.members[0]);
    rogue_open(&rogue, "m2", "master");
    append.kind = RAFT_APPEND;
    append.term = entry.term = 9;
    entry.kind = RAFT_ENTRY_CONFIGURATION;
    entry.data.data = without_m2->bytes;
    entry.data.len = without_m2->length;
    append.entries = entries;
    append.n_entries = 1;
    send_message(call_messages(&rogue), append);
    cluster_wait(lacks_m2, NULL, "the entry");
    expect_end(&rogue, ERROR_PERMISSION_DENIED, "m2 was removed");
    append.n_entries = 0;
    append.last_index = 1;
    append.last_term = 9;
    call = call_messages(&rogue);
    send_message(call, append);
    cluster_wait(was_answered, &rogue, "an answer to who is being removed");
    append.commit_index = 1;
    send_message(call, append);
    send_message(call, append);
    expect_end(&rogue, ERROR_PERMISSION_DENIED, "m2 was removed");
    rogue_close(&rogue);
    raft_payload_drop(without_m2);
}

/* ---- a leader without what is committed ---- */

static bool stands(void *data)
{
    (void)data;
    return replica_status(cluster.members[0].replica).role ==
           RAFT_PRE_CANDIDATE;
}

static bool has_committed(void *data)
{
    (void)data;
    return cluster.members[0].state.count == 1;
}

static bool has_heard_of_term_10(void *data)
{
    (void)data;
    return replica_status(cluster.members[0].replica).term == 10;
}

/* Or of a term after which there is none: m1 takes no harm, and stands. */
static void what_is_committed_stays_whoever_leads(void **state)
{
    Kontor__V1__RaftMessage append = KONTOR__V1__RAFT_MESSAGE__INIT;
    Kontor__V1__RaftEntry entry = KONTOR__V1__RAFT_ENTRY__INIT;
    Kontor__V1__RaftEntry *entries[] = {&entry};
    struct member *member = &cluster.members[0];
    struct rogue rogue;
    struct call *call;

    (void)state;
    member_start(member);
    rogue_open(&rogue, "m2", "master");
    call = call_messages(&rogue);
    append.kind = RAFT_APPEND;
    append.term = entry.term = 9;
    append.commit_index = 1;
    entry.kind = RAFT_ENTRY_COMMAND;
    append.entries = entries;
    append.n_entries = 1;
    send_message(call, append);
    cluster_wait(has_committed, NULL, "a command");
    append.term = UINT64_MAX;
    send_message(call, append);
    append.term = entry.term = 10;
    send_message(call, append);
    cluster_wait(has_heard_of_term_10, NULL, "another leader");
    cluster_wait(stands, NULL, "an election");
    assert_null(replica_status(member->replica).leader);
    assert_int_equal(replica_status(member->replica).last_index, 1);
    assert_int_equal(member->state.count, 1);
    call_cancel(call);
    cluster_wait(has_ended, &rogue, "a call to end");
    rogue_close(&rogue);
}

/* ---- a leader whose command is replaced ---- */

static bool asks_for_votes(void *data)
{
    (void)data;
    return replica_status(cluster.members[0].replica).role == RAFT_CANDIDATE;
}

static bool leads(void *data)
{
    (void)data;
    return replica_status(cluster.members[0].replica).role == RAFT_LEADER;
}

static bool has_two_entries(void *data)
{
    (void)data;
    return replica_status(cluster.members[0].replica).last_index == 2;
}

/* m1 leads thanks to m2's vote. */
static void vote_for_m1(struct call *call)
{
    Kontor__V1__RaftMessage vote = KONTOR__V1__RAFT_MESSAGE__INIT;

    cluster_wait(stands, NULL, "an election");
    vote.granted = true;
    vote.term = 1;
    vote.kind = RAFT_PRE_VOTE_RESULT;
    send_message(call, vote);
    cluster_wait(asks_for_votes, NULL, "a candidate");
    vote.kind = RAFT_VOTE_RESULT;
    send_message(call, vote);
    cluster_wait(leads, NULL, "a leader");
}

/* One append takes m1's command away, puts another in its place and commits
 * it: m1's client is not told that this was its own. */
static void a_command_that_was_replaced_is_not_done(void **state)
{
    Kontor__V1__RaftMessage append = KONTOR__V1__RAFT_MESSAGE__INIT;
    Kontor__V1__RaftEntry noop = KONTOR__V1__RAFT_ENTRY__INIT;
    Kontor__V1__RaftEntry command = KONTOR__V1__RAFT_ENTRY__INIT;
    Kontor__V1__RaftEntry *entries[] = {&noop, &command};
    struct rogue rogue;
    static struct asked asked;
    struct call *call;

    (void)state;
    member_start(&cluster.members[0]);
    rogue_open(&rogue, "m2", "master");
    call = call_messages(&rogue);
    vote_for_m1(call);
    member_ask(&cluster.members[0], &asked, "m1's");
    cluster_wait(has_two_entries, NULL, "the command in the log");

    noop.term = 2;
    noop.kind = RAFT_ENTRY_NOOP;
    command.term = 2;
    command.kind = RAFT_ENTRY_COMMAND;
    command.data.data = (uint8_t[]){'x'};
    command.data.len = 1;
    append.kind = RAFT_APPEND;
    append.term = 2;
    append.entries = entries;
    append.n_entries = ARRAY_LEN(entries);
    append.commit_index = 2;
    send_message(call, append);
    cluster_wait(asked_is_done, &asked, "the command's fate");
    assert_int_equal(asked.why.code, ERROR_ABORTED);
    assert_int_equal(cluster.members[0].state.index, 2);
    call_cancel(call);
    cluster_wait(has_ended, &rogue, "a call to end");
    rogue_close(&rogue);
}

/* ---- snapshots that arrive broken ---- */

enum { SNAPSHOT_BYTES = 16 };

struct sent_chunk {
    uint64_t term;
    uint64_t index;
    uint64_t total;
    uint64_t offset;
    size_t length;
    bool last;  /* carries a checksum */
    bool wrong; /* and not the right one */
    uint32_t from;
};

static const struct {
    const char *rule;
    struct sent_chunk chunks[2];
    size_t count;
    enum error_code code;
    const char *text;
} broken[] = {
    {"a wrong checksum",
     {{9, 50, 16, 0, 16, true, true, 2}},
     1,
     ERROR_DATA_LOSS,
     "snapshot 50 arrived with a wrong checksum"},
    {"a gap",
     {{9, 50, 16, 0, 4, false, false, 2}, {9, 50, 16, 8, 8, true, false, 2}},
     2,
     ERROR_INVALID_ARGUMENT,
     "at 8, expected one at 4"},
    {"more than announced",
     {{9, 50, 8, 0, 16, true, false, 2}},
     1,
     ERROR_INVALID_ARGUMENT,
     "a chunk of 16 bytes"},
    {"another one in between",
     {{9, 50, 16, 0, 8, false, false, 2}, {9, 51, 16, 8, 8, true, false, 2}},
     2,
     ERROR_INVALID_ARGUMENT,
     "another snapshot"},
    {"too large",
     {{9, 50, UINT64_MAX, 0, 16, false, false, 2}},
     1,
     ERROR_INVALID_ARGUMENT,
     "snapshot 50 of"},
    {"no progress",
     {{9, 50, 16, 0, 0, false, false, 2}},
     1,
     ERROR_INVALID_ARGUMENT,
     "a chunk of 0 bytes"},
    {"a checksum too early",
     {{9, 50, 16, 0, 8, true, false, 2}},
     1,
     ERROR_INVALID_ARGUMENT,
     "last chunk alone"},
    {"from somebody else",
     {{9, 50, 16, 0, 16, true, false, 3}},
     1,
     ERROR_INVALID_ARGUMENT,
     "member 3"},
    {"an end too early",
     {{9, 50, 16, 0, 8, false, false, 2}},
     1,
     ERROR_INVALID_ARGUMENT,
     "ends early"},
};

static void send_chunk(struct call *call, const struct sent_chunk *sent)
{
    static uint8_t bytes[SNAPSHOT_BYTES] = "state";
    uint8_t sha256[SHA256_DIGEST_LENGTH];
    struct raft_payload *members = raft_members(3, 0, RAFT_NOBODY);
    Kontor__V1__RaftSnapshotChunk chunk = KONTOR__V1__RAFT_SNAPSHOT_CHUNK__INIT;
    struct error why;

    SHA256(bytes, sizeof bytes, sha256);
    sha256[0] ^= sent->wrong;
    chunk.term = sent->term;
    chunk.from = sent->from;
    chunk.snapshot_index = sent->index;
    chunk.snapshot_term = 1;
    chunk.total_bytes = sent->total;
    chunk.offset = sent->offset;
    chunk.data.data = bytes;
    chunk.data.len = sent->length;
    chunk.configuration.data = members->bytes;
    chunk.configuration.len = members->length;
    if (sent->last) {
        chunk.sha256.data = sha256;
        chunk.sha256.len = sizeof sha256;
    }
    assert_int_equal(call_send(call, &chunk.base, &why), 0);
    raft_payload_drop(members);
}

/* Files of `member` whose names begin with "snapshot-". */
static unsigned count_snapshots(const struct member *member)
{
    DIR *stream = opendir(member->folder);
    const struct dirent *entry;
    unsigned count = 0;

    assert_non_null(stream);
    while ((entry = readdir(stream)))
        count += strncmp(entry->d_name, "snapshot-", 9) == 0;
    closedir(stream);
    return count;
}

static void broken_snapshots_are_refused(void **state)
{
    static const struct sent_chunk stale = {1, 50, 16, 0, 16, true, false, 2};
    struct rogue rogue;
    struct call *call;

    (void)state;
    member_start(&cluster.members[0]);
    rogue_open(&rogue, "m2", "master");
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        call = call_install(&rogue);
        for (size_t c = 0; c < broken[i].count; c++)
            send_chunk(call, &broken[i].chunks[c]);
        call_half_close(call);
        expect_end(&rogue, broken[i].code, broken[i].text);
    }
    assert_int_equal(cluster.members[0].loads, 0);
    assert_int_equal(replica_status(cluster.members[0].replica).term, 9);
    call = call_install(&rogue);
    send_chunk(call, &stale);
    expect_end(&rogue, ERROR_FAILED_PRECONDITION, "does not lead in term 1");
    assert_int_equal(count_snapshots(&cluster.members[0]), 0);
    rogue_close(&rogue);
}

static void a_stranger_installs_as_nobody_else(void **state)
{
    /* term, index, total, offset, length, last, wrong, from */
    static const struct sent_chunk posing = {99, 50, 16, 0, 8, false, false, 2};
    struct rogue rogue;
    struct call *call;

    (void)state;
    cluster_start();
    cluster_wait_leader();
    rogue_open(&rogue, "m9", "master");
    call = call_install(&rogue);
    send_chunk(call, &posing);
    call_half_close(call);
    cluster_wait(has_ended, &rogue, "end");
    assert_int_equal(rogue.why.code, ERROR_PERMISSION_DENIED);
    assert_true(replica_status(cluster.members[0].replica).term < 99);
    rogue_close(&rogue);
}

/* Whole as a file and nothing that the state machine can load: the state and
 * the log stay, the sender is told, the file is gone. */
static void snapshot_that_cannot_be_loaded_changes_nothing(void **state)
{
    static const struct sent_chunk chunk = {9, 50, 16, 0, 16, true, false, 2};
    struct member *member = &cluster.members[0];
    struct rogue rogue;
    struct call *call;

    (void)state;
    member_start(member);
    rogue_open(&rogue, "m2", "master");
    call = call_install(&rogue);
    send_chunk(call, &chunk);
    expect_end(&rogue, ERROR_INVALID_ARGUMENT, "not a state");
    assert_int_equal(replica_status(member->replica).last_index, 0);
    assert_int_equal(count_snapshots(member), 0);
    rogue_close(&rogue);
}

/* ---- disks ---- */

static void failed_snapshots_do_not_stop_the_log(void **state)
{
    struct member *leading;

    (void)state;
    cluster.snapshot_entries = 50;
    for (int i = 0; i < CLUSTER_MEMBERS; i++)
        cluster.members[i].saving_fails = true;
    cluster_start();
    leading = cluster_wait_leader();
    for (int i = 0; i < 5; i++)
        member_commit_many(leading, 100);
    cluster_wait(cluster_agrees, NULL, "agreement");
    assert_int_equal(replica_status(leading->replica).snapshot_index, 0);
    member_stop(leading);
    assert_int_equal(count_snapshots(leading), 0);
    member_start(leading);
    cluster_wait(cluster_agrees, NULL, "agreement");
}

/* Must come first: threads that exist already would stay outside. */
static void nearly_full_disk_refuses_commands(void **state)
{
    enum { COMMANDS_MAX = 64 };
    struct member *alone = &cluster.members[0];
    char *large = memory_new(REPLICA_COMMAND_MAX_BYTES / 2 + 1);
    struct asked asked;
    struct asked read = {.read.done = asked_on_read};
    int i;

    (void)state;
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", cluster.folder, "tmpfs", 0, "size=28m") != 0)
        skip(); /* mounting is root's */
    memset(large, 'x', REPLICA_COMMAND_MAX_BYTES / 2);
    member_start_of(alone, 1);
    cluster_wait_leader();
    member_commit(alone, "one");
    alone->replica->sized_bytes = 20 << 20; /* as if a snapshot had them */
    asked = member_propose(alone, "two");
    assert_int_equal(asked.why.code, ERROR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(asked.why.message, "36 MiB are kept in reserve"));
    alone->replica->sized_bytes = 0;
    asked.why.code = 0;
    for (i = 1; i < COMMANDS_MAX && !asked.why.code; i++)
        asked = member_propose(alone, large);
    free(large);
    assert_true(i > 1);
    assert_int_equal(asked.why.code, ERROR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(asked.why.message, alone->folder));
    assert_non_null(strstr(asked.why.message, "16 MiB are kept in reserve"));

    /* Nothing is lost, and it can be read. */
    assert_int_equal(alone->state.count, i - 1);
    replica_read(alone->replica, &read.read);
    cluster_wait(asked_is_done, &read, "a read");
    assert_int_equal(read.why.code, 0);
    member_stop(alone);
    assert_int_equal(umount2(cluster.folder, MNT_DETACH), 0);
}

#define STORY(test) \
    cmocka_unit_test_setup_teardown(test, cluster_set_up, cluster_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(nearly_full_disk_refuses_commands),
        STORY(only_members_may_speak),
        STORY(strangers_are_answered),
        STORY(member_speaks_for_itself_only),
        STORY(a_removal_silences_once_it_is_committed),
        STORY(what_is_committed_stays_whoever_leads),
        STORY(a_command_that_was_replaced_is_not_done),
        STORY(a_stranger_installs_as_nobody_else),
        STORY(broken_snapshots_are_refused),
        STORY(snapshot_that_cannot_be_loaded_changes_nothing),
        STORY(failed_snapshots_do_not_stop_the_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
