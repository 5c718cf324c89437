/* When the quorum is lost, and when all is: one master goes on alone, or a new
 * cluster is made of a backup. Whole members on one loop. */
#include "raft_cluster.h"

#include "base/fd.h"
#include "base/memory.h"
#include "raft/recover.h"
#include "raft/snapshot.h"
#include "raft/store_file.h"
#include "raft_members.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct member *const m1 = &cluster.members[0];
static struct member *const m2 = &cluster.members[1];
static struct member *const m3 = &cluster.members[2];
static struct member *const m4 = &cluster.members[3];

static void destroy(struct member *member)
{
    struct error why;

    if (folder_remove(AT_FDCWD, member->folder, &why) != 0)
        fail_msg("%s", why.message);
}

static void expect_refused(int code, enum error_code expected,
                           const struct error *why, const char *text)
{
    assert_int_equal(code, expected);
    if (!strstr(why->message, text))
        fail_msg("\"%s\" does not say \"%s\"", why->message, text);
}

/* The cluster goes on, by whoever leads it on a busy machine. */
static struct member *commit_some(const char *text)
{
    struct member *leading = NULL;

    for (int done = 0; done < 50;) {
        struct asked asked;

        leading = cluster_wait_leader();
        asked = member_propose(leading, text);
        done += asked.why.code == 0;
    }
    return leading;
}

/* ---- the quorum is lost ---- */

static void recover(const struct member *member, struct recover_log *log)
{
    struct error why;

    if (recover_alone(member->folder, member->name, log, &why) != 0)
        fail_msg("%s", why.message);
}

static bool votes(void *data)
{
    const struct member *leading = cluster_leader();
    const struct member *member = data;
    const Kontor__V1__RaftConfiguration *members;

    if (!leading)
        return false;
    members = replica_members(leading->replica);
    for (size_t i = 0; i < members->n_members; i++)
        if (strcmp(members->members[i]->name, member->name) == 0)
            return !members->members[i]->learner;
    return false;
}

/* All that it had is there, committed or not; new masters are added; one that
 * comes back from the dead is no member. */
static void the_one_that_is_left_goes_on(void **state)
{
    struct member_state before;
    struct recover_log log;
    struct member *leading;
    struct error why;

    (void)state;
    cluster_start();
    leading = cluster_wait_leader();
    member_commit_many(leading, 50);
    cluster_wait(cluster_agrees, NULL, "agreement");
    before = m2->state;
    expect_refused(recover_alone(m2->folder, "m2", &log, &why),
                   ERROR_FAILED_PRECONDITION, &why, "another process");
    member_stop(m1);
    member_stop(m3);
    member_stop(m2);
    recover(m2, &log);
    assert_int_equal(log.members->n_members, 3);
    assert_true(log.last_index >= before.index);

    member_start(m2);
    leading = cluster_wait_leader();
    assert_ptr_equal(leading, m2);
    assert_int_equal(m2->state.hash, before.hash);
    assert_int_equal(m2->state.count, 50);
    assert_true(replica_status(m2->replica).term > log.term + 1000000);
    recover_log_fini(&log);
    member_commit(m2, "alone");
    assert_int_equal(member_change(m2, REPLICA_ADD, m4, &why), 0);
    member_join(m4, m2);
    cluster_wait(votes, m4, "m4's vote");

    member_start(m1); /* from the dead */
    commit_some("with m4");
    assert_int_equal(replica_members(m2->replica)->n_members, 2);
    assert_null(replica_status(m1->replica).leader);
    assert_int_equal(m1->state.count, 0);
}

/* A store of one's own, as some life might have left it. */
static void make_store(const struct member *member, uint32_t id,
                       struct raft_payload *configuration)
{
    const struct store_options options = {
        .folder = member->folder,
        .self = member->name,
        .id = id,
        .configuration = configuration,
    };
    struct store_content content;
    struct store *store;
    struct error why;

    if (store_open(&store, &options, &content, &why) != 0)
        fail_msg("%s", why.message);
    store_content_fini(&content);
    store_free(store);
    raft_payload_drop(configuration);
}

static void who_may_go_on_alone(void **state)
{
    struct recover_log log;
    struct error why;

    (void)state;
    expect_refused(recover_alone(m2->folder, "m2", &log, &why), ERROR_NOT_FOUND,
                   &why, "no master's log");
    make_store(m2, 2, raft_members(3, 0, /* without */ 2));
    expect_refused(recover_alone(m2->folder, "m2", &log, &why),
                   ERROR_FAILED_PRECONDITION, &why, "was removed");
    expect_refused(recover_alone(m2->folder, "m1", &log, &why),
                   ERROR_FAILED_PRECONDITION, &why, "belongs to the master m2");

    make_store(m3, 3, raft_members(2, 1, RAFT_NOBODY));
    recover(m3, &log);
    recover_log_fini(&log);
    assert_int_equal(recover_look(m3->folder, "m3", &log, &why), 0);
    assert_int_equal(log.members->n_members, 1);
    assert_int_equal(log.members->members[0]->id, 3);
    assert_false(log.members->members[0]->learner);
    assert_int_equal(log.members->next_id, 4);
    assert_int_equal(log.last_index, 1);
    assert_int_equal(log.last_term, 1000000);
    recover_log_fini(&log);
}

/* ---- versions ---- */

static void mark(ProtobufCMessage *message)
{
    static uint8_t one = 1;
    static ProtobufCMessageUnknownField field = {
        .tag = 100,
        .wire_type = PROTOBUF_C_WIRE_TYPE_VARINT,
        .len = 1,
        .data = &one,
    };

    message->n_unknown_fields = 1;
    message->unknown_fields = &field;
}

static void unmark(ProtobufCMessage *message)
{
    message->n_unknown_fields = 0;
    message->unknown_fields = NULL;
}

/* m1 to m3, with fields of a later version. */
static struct raft_payload *members_of_tomorrow(void)
{
    struct raft_payload *plain = raft_members(3, 0, RAFT_NOBODY);
    Kontor__V1__RaftConfiguration *message = raft_configuration_unpack(plain);
    struct raft_payload *packed;

    mark(&message->base);
    mark(&message->members[1]->base);
    packed = raft_configuration_pack(message);
    unmark(&message->base);
    unmark(&message->members[1]->base);
    kontor__v1__raft_configuration__free_unpacked(message, NULL);
    raft_payload_drop(plain);
    return packed;
}

static void unknown_fields_of_members_are_kept(void **state)
{
    const Kontor__V1__RaftConfiguration *members;
    struct recover_log log;
    struct error why;

    (void)state;
    make_store(m2, 2, members_of_tomorrow());
    recover(m2, &log);
    recover_log_fini(&log);
    member_start(m2);
    cluster_wait_leader();
    assert_int_equal(member_change(m2, REPLICA_ADD, m4, &why), 0);
    members = replica_members(m2->replica);
    assert_int_equal(members->n_members, 2);
    assert_int_equal(members->base.n_unknown_fields, 1);
    assert_int_equal(members->members[0]->base.n_unknown_fields, 1);
    assert_int_equal(members->members[1]->base.n_unknown_fields, 0);
}

/* It would be passed over, and the state be another one than the others'. */
static void entries_of_an_unknown_kind_are_refused(void **state)
{
    struct raft_entry entry = {.term = 1, .kind = (enum raft_entry_kind)7};
    struct store_write write = {
        .has_state = true,
        .term = 1,
        .from = 1,
        .entries = &entry,
        .entry_count = 1,
    };
    const struct store_options options = {.folder = m1->folder, .self = "m1"};
    struct store_content content;
    struct store_file file;
    struct error why;

    (void)state;
    make_store(m1, 1, raft_members(1, 0, RAFT_NOBODY));
    assert_int_equal(store_file_open(&file, &options, &content, &why), 0);
    store_content_fini(&content);
    assert_int_equal(store_file_begin(&file, &why), 0);
    assert_int_equal(store_file_write(&file, &write, &why), 0);
    assert_int_equal(store_file_commit(&file, &why), 0);
    store_file_close(&file);
    expect_refused(store_file_open(&file, &options, &content, &why),
                   ERROR_FAILED_PRECONDITION, &why, "entry 1 is of a kind (7)");
}

/* ---- all is lost ---- */

/* A state with what was committed, in a file; and what is to be known of it. */
struct saved {
    int fd;
    struct recover_backup backup;
    struct member_state state;
};

static int copy(void *data, int out, struct error *why)
{
    const struct saved *saved = data;
    uint8_t bytes[4096];
    ssize_t got;

    lseek(saved->fd, 0, SEEK_SET);
    while ((got = read(saved->fd, bytes, sizeof bytes)) > 0)
        if (fd_write_all(out, bytes, (size_t)got, why) != 0)
            return why->code;
    return 0;
}

/* Run a cluster, keep a state of it, and lose all of it. */
static struct saved save_and_destroy(void)
{
    struct saved saved = {.fd = -1};
    struct replica_status status;
    struct member *leading;
    struct error why;

    cluster.snapshot_entries = 20;
    cluster_start();
    leading = cluster_wait_leader();
    member_commit_many(leading, 50);
    cluster_wait(member_has_last_snapshot, leading, "the last snapshot");
    status = replica_status(leading->replica);
    saved.backup = (struct recover_backup){
        .index = status.snapshot_index,
        .term = status.term,
        .next_id = replica_members(leading->replica)->next_id,
        .sha256 = {1, 2, 3},
    };
    if (snapshot_open(leading->folder, status.snapshot_index, &saved.fd,
                      &why) != 0 ||
        fd_read_exact(saved.fd, &saved.state, sizeof saved.state, &why) != 0)
        fail_msg("%s", why.message);
    for (int i = 0; i < CLUSTER_MEMBERS; i++) {
        member_stop(&cluster.members[i]);
        destroy(&cluster.members[i]);
    }
    /* One member's child would hold another's address while it begins. */
    cluster.snapshot_entries = 0;
    return saved;
}

static int try_restore(struct member *member, struct saved *saved,
                       struct error *why)
{
    struct replica_member all[CLUSTER_MEMBERS];
    struct replica_config config = {
        .name = member->name,
        .folder = member->folder,
        .members = all,
        .member_count = CLUSTER_MEMBERS,
        .machine = {.save = copy, .data = saved},
    };
    struct recover_log made;
    int code;

    for (int i = 0; i < CLUSTER_MEMBERS; i++) /* in no order */
        all[i] = (struct replica_member){
            .name = cluster.members[CLUSTER_MEMBERS - 1 - i].name,
            .address = cluster.members[CLUSTER_MEMBERS - 1 - i].address,
        };
    code = recover_restore(&config, &saved->backup, &made, why);
    if (code == 0)
        recover_log_fini(&made);
    return code;
}

static void restore(struct member *member, struct saved *saved)
{
    struct error why;

    if (try_restore(member, saved, &why) != 0)
        fail_msg("%s", why.message);
}

static void founders_of_one_backup_are_a_cluster(void **state)
{
    struct saved saved = save_and_destroy();
    struct replica_status status;
    struct member *leading;
    struct error why;

    (void)state;
    saved.backup.next_id = 5000000; /* it had many */
    for (int i = 0; i < CLUSTER_MEMBERS; i++)
        restore(&cluster.members[i], &saved);
    expect_refused(try_restore(m1, &saved, &why), ERROR_FAILED_PRECONDITION,
                   &why, "already");
    cluster_start();
    leading = cluster_wait_leader();
    assert_int_equal(leading->loads, 1);
    assert_int_equal(leading->state.hash, saved.state.hash);
    status = replica_status(leading->replica);
    assert_true(status.term > saved.backup.term + 1000000);
    assert_true(status.applied_index > saved.backup.index + 1000000000);
    for (int i = 0; i < CLUSTER_MEMBERS; i++) /* none of the old cluster's */
        assert_true(replica_members(leading->replica)->members[i]->id >=
                    saved.backup.next_id);
    member_commit(leading, "after");
    cluster_wait(cluster_agrees, NULL, "agreement");
    assert_int_equal(m1->state.count, saved.state.count + 1);
    fd_close(&saved.fd);
}

/* Two that were given nothing found a cluster of their own: the third is not
 * taken in by it, nor does it take them in. */
static void founders_without_the_backup_are_strangers(void **state)
{
    struct saved saved = save_and_destroy();
    struct member *leading;

    (void)state;
    restore(m1, &saved);
    cluster_start();
    assert_ptr_not_equal(commit_some("nothing of it is there"), m1);
    assert_int_equal(m1->state.hash, saved.state.hash);
    assert_null(replica_status(m1->replica).leader);

    member_stop(m2);
    member_stop(m3);
    destroy(m2);
    destroy(m3);
    restore(m2, &saved);
    member_start(m2);
    leading = cluster_wait_leader();
    assert_int_equal(leading->state.hash, saved.state.hash);
    member_start(m3); /* a single one that was forgotten */
    commit_some("without m3");
    assert_int_equal(m3->state.count, 0);
    member_stop(m3);
    destroy(m3);
    restore(m3, &saved);
    member_start(m3);
    cluster_wait(cluster_agrees, NULL, "agreement");
    fd_close(&saved.fd);
}

/* Ids follow from the file, so logs of two never meet. */
static void founders_of_two_backups_are_strangers(void **state)
{
    struct saved saved = save_and_destroy();
    struct saved other = saved;

    (void)state;
    other.backup.sha256[0]++;
    other.backup.index += 5;
    restore(m1, &saved);
    restore(m2, &saved);
    restore(m3, &other);
    cluster_start();
    assert_ptr_not_equal(commit_some("without m3"), m3);
    assert_int_equal(m3->state.hash, saved.state.hash);
    assert_null(replica_status(m3->replica).leader);
    fd_close(&saved.fd);
}

static void counters_that_cannot_be_are_refused(void **state)
{
    struct saved saved = save_and_destroy();
    struct saved wrong = saved;
    struct error why;

    (void)state;
    wrong.backup.next_id = UINT32_MAX - 1;
    expect_refused(try_restore(m1, &wrong, &why), ERROR_DATA_LOSS, &why,
                   "counters");
    wrong.backup.next_id = saved.backup.next_id;
    wrong.backup.term = UINT64_MAX - 1;
    expect_refused(try_restore(m1, &wrong, &why), ERROR_DATA_LOSS, &why,
                   "counters");
    assert_false(store_exists(m1->folder));
    fd_close(&saved.fd);
}

#define STORY(name) \
    cmocka_unit_test_setup_teardown(name, cluster_set_up, cluster_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(the_one_that_is_left_goes_on),
        STORY(who_may_go_on_alone),
        STORY(unknown_fields_of_members_are_kept),
        STORY(entries_of_an_unknown_kind_are_refused),
        STORY(founders_of_one_backup_are_a_cluster),
        STORY(founders_without_the_backup_are_strangers),
        STORY(founders_of_two_backups_are_strangers),
        STORY(counters_that_cannot_be_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
