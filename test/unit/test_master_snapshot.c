/* Snapshots: a round trip, and every way a file may be damaged. */
#include "base/fd.h"
#include "base/memory.h"
#include "base/random.h"
#include "master/cluster.h"
#include "master/record.h"
#include "master_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct cluster *a_lived_in_cluster(void)
{
    struct cluster *c = cluster_new();
    struct wanted want = {500, 1 << 20, 0, 1000};

    do_register(c, "n1", (struct wanted){4000, 8 << 20, 8 << 20, 8000});
    do_register(c, "n2", (struct wanted){4000, 8 << 20, 8 << 20, 8000});
    do_create(c, (struct create){.want = want, .node_id = 1, .request = 1});
    do_create(c, (struct create){.want = want, .node_id = 2, .request = 2});
    do_create(c, (struct create){.app = "db", .named = true, .request = 3});
    do_create(c, (struct create){.app = "db", .named = true, .request = 4});
    do_report(c, 1, 1, 1, KONTOR__V1__POD_PHASE__POD_RUNNING);
    do_report(c, 2, 2, 1, KONTOR__V1__POD_PHASE__POD_SUCCEEDED);
    do_create(c, (struct create){.want = want, .node_id = 2});
    do_stop(c, 3, NO_REQUEST);
    do_state(c, 2, KONTOR__V1__NODE_STATE__NODE_LOST);
    do_cordon(c, 1, true);
    do_label(c, 1, "zone=b disk=ssd !gpu=yes");
    do_label(c, 2, "!gpu=no");
    return c;
}

/* What is loaded from what is saved; the same, byte by byte. */
static struct cluster *saved_and_loaded(struct cluster *before)
{
    struct cluster *after = NULL;
    CLEANUP(fd_close) int fd = save_to_file(before);
    struct error why;

    if (cluster_load(&after, fd, &why) != 0)
        fail_msg("%s", why.message);
    assert_true(same_state(before, after));
    return after;
}

static void what_was_saved_is_loaded(void **state)
{
    struct cluster *before = a_lived_in_cluster();
    struct cluster *after = saved_and_loaded(before);

    (void)state;
    assert_int_equal(after->index, before->index);
    assert_int_equal(after->format, CLUSTER_FORMAT_1);
    /* What was set and what is the node's own are told apart. */
    do_label(after, 1, "zone-");
    assert_string_equal(
        labels_find(&nodes_find(&after->nodes, 1)->labels, "zone")->value, "a");
    assert_non_null(labels_find(&nodes_find(&after->nodes, 1)->taints, "gpu"));
    /* What was remembered is known: names, requests, events. */
    assert_true(
        do_create(after, (struct create){.app = "db", .request = 4}).replayed);
    assert_int_equal(do_create(after, (struct create){0}).subject_id, 5);
    assert_non_null(pods_find_name(&after->pods, "web-4"));
    cluster_free(before);
    cluster_free(after);
}

/* A full ring: what was dropped before the snapshot stays refused after. */
static void dropped_events_stay_dropped(void **state)
{
    struct cluster *before = cluster_new();
    struct cluster *after;
    uint64_t at;
    struct error why;

    (void)state;
    do_register(before, "n1", (struct wanted){.cpu_milli = 1000});
    for (int i = 0; i < EVENTS_MAX + 10; i++)
        do_cordon(before, 1, i % 2 == 0);
    after = saved_and_loaded(before);
    assert_int_equal(after->events.dropped_index, 11);
    assert_int_equal(events_seek(&after->events, 10, &at, &why),
                     ERROR_OUT_OF_RANGE);
    do_cordon(before, 1, true);
    do_cordon(after, 1, true);
    assert_true(same_state(before, after));
    cluster_free(before);
    cluster_free(after);
}

static void an_empty_state_is_one_too(void **state)
{
    struct cluster *before = cluster_new();
    struct cluster *after = saved_and_loaded(before);

    (void)state;
    cluster_free(before);
    cluster_free(after);
}

/* Loading must be refused with DATA_LOSS and leave the target alone. */
static void expect_refused(int fd, const char *what)
{
    struct cluster *target = NULL;
    struct error why = {0};

    lseek(fd, 0, SEEK_SET);
    if (cluster_load(&target, fd, &why) == 0)
        fail_msg("%s was loaded", what);
    assert_null(target);
    assert_true(why.code == ERROR_DATA_LOSS ||
                why.code == ERROR_INVALID_ARGUMENT);
}

static void a_cut_file_is_refused(void **state)
{
    struct cluster *cluster = a_lived_in_cluster();
    CLEANUP(fd_close) int fd = save_to_file(cluster);
    struct stat info;

    (void)state;
    fstat(fd, &info);
    for (off_t length = info.st_size - 1; length >= 0; length--) {
        assert_int_equal(ftruncate(fd, length), 0);
        expect_refused(fd, "a cut file");
    }
    cluster_free(cluster);
}

static void a_longer_file_is_refused(void **state)
{
    struct cluster *cluster = a_lived_in_cluster();
    CLEANUP(fd_close) int fd = save_to_file(cluster);

    (void)state;
    lseek(fd, 0, SEEK_END);
    assert_int_equal(write(fd, "x", 1), 1);
    expect_refused(fd, "a longer file");
    cluster_free(cluster);
}

/* Some flips make another valid state; none may crash, or load a state that
 * cannot be saved and loaded again. (The file's checksum is raft's.) */
static void flipped_bits_never_crash(void **state)
{
    struct cluster *cluster = a_lived_in_cluster();
    CLEANUP(fd_close) int fd = save_to_file(cluster);
    struct stat info;
    uint8_t *bytes;

    (void)state;
    fstat(fd, &info);
    bytes = mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                 fd, 0);
    assert_true(bytes != MAP_FAILED);
    for (off_t at = 0; at < info.st_size; at++) {
        struct cluster *loaded = NULL;
        struct error why;

        bytes[at] ^= (uint8_t)(1 << at % 8);
        lseek(fd, 0, SEEK_SET);
        if (cluster_load(&loaded, fd, &why) == 0) {
            CLEANUP(fd_close) int again = save_to_file(loaded);
            struct cluster *twice = NULL;

            assert_int_equal(cluster_load(&twice, again, &why), 0);
            do_state(twice, 1, KONTOR__V1__NODE_STATE__NODE_LOST);
            cluster_free(twice);
        }
        cluster_free(loaded);
        bytes[at] ^= (uint8_t)(1 << at % 8);
    }
    munmap(bytes, (size_t)info.st_size);
    cluster_free(cluster);
}

/* ---- records that are well formed and wrong ---- */

/* Change the records of one kind in a good file; what comes out must be
 * refused. */
#define RECORD(kind) KONTOR__V1__SNAPSHOT_RECORD__RECORD_##kind

struct damage {
    const char *what;
    Kontor__V1__SnapshotRecord__RecordCase kind;
    void (*change)(Kontor__V1__SnapshotRecord *record);
};

static void no_version(Kontor__V1__SnapshotRecord *record)
{
    record->header->version = 0;
}

static void ids_return(Kontor__V1__SnapshotRecord *record)
{
    record->header->next_pod_id = 2;
}

static void too_many(Kontor__V1__SnapshotRecord *record)
{
    record->header->events = 1 << 30;
}

static void node_unknown(Kontor__V1__SnapshotRecord *record)
{
    record->pod->node_id = 99;
}

static void spec_unknown(Kontor__V1__SnapshotRecord *record)
{
    record->pod->spec_number = 99;
}

static void phase_unknown(Kontor__V1__SnapshotRecord *record)
{
    record->pod->pod->status->phase = (Kontor__V1__PodPhase)42;
}

static void leaves_unknown(Kontor__V1__SnapshotRecord *record)
{
    record->pod->leaving_node_id = 99;
    record->pod->leaving_generation = 1;
}

static void leaves_lost(Kontor__V1__SnapshotRecord *record)
{
    record->pod->leaving_node_id = 2;
    record->pod->leaving_generation = 1;
}

static void leaves_where_it_is(Kontor__V1__SnapshotRecord *record)
{
    record->pod->leaving_node_id = 1;
    record->pod->leaving_generation = record->pod->pod->status->generation;
}

static void same_pod_twice(Kontor__V1__SnapshotRecord *record)
{
    record->pod->pod->id = 1;
}

static void pods_called_alike(Kontor__V1__SnapshotRecord *record)
{
    record->pod->pod->name[strlen(record->pod->pod->name) - 1] = '1';
}

static void nodes_called_alike(Kontor__V1__SnapshotRecord *record)
{
    record->node->node->name[1] = '1';
}

static void subnet_shared(Kontor__V1__SnapshotRecord *record)
{
    record->node->subnet_number = 1;
}

static void taint_unreadable(Kontor__V1__SnapshotRecord *record)
{
    record->node->node->taints[0]->key[0] = '\xff';
}

static void ended_unordered(Kontor__V1__SnapshotRecord *record)
{
    record->ended->pod_ids[0] = 1;
}

static void request_twice(Kontor__V1__SnapshotRecord *record)
{
    record->request->id->low = 1;
}

static void event_of_the_future(Kontor__V1__SnapshotRecord *record)
{
    record->event->event->index = 1000;
}

static void event_kind_unknown(Kontor__V1__SnapshotRecord *record)
{
    record->event->event->kind = (Kontor__V1__EventKind)42;
}

static const struct damage damages[] = {
    {"another version", RECORD(HEADER), no_version},
    {"an id that returns", RECORD(HEADER), ids_return},
    {"too many records", RECORD(HEADER), too_many},
    {"a pod on an unknown node", RECORD(POD), node_unknown},
    {"a pod without a spec", RECORD(POD), spec_unknown},
    {"a pod in an unknown phase", RECORD(POD), phase_unknown},
    {"a pod that leaves an unknown node", RECORD(POD), leaves_unknown},
    {"a pod that leaves a lost node", RECORD(POD), leaves_lost},
    {"a pod that leaves where it is", RECORD(POD), leaves_where_it_is},
    {"a pod twice", RECORD(POD), same_pod_twice},
    {"two pods of one name", RECORD(POD), pods_called_alike},
    {"two nodes of one name", RECORD(NODE), nodes_called_alike},
    {"two nodes in one subnet", RECORD(NODE), subnet_shared},
    {"a taint that is no text", RECORD(NODE), taint_unreadable},
    {"a living pod among the ended", RECORD(ENDED), ended_unordered},
    {"a request twice", RECORD(REQUEST), request_twice},
    {"an event of the future", RECORD(EVENT), event_of_the_future},
    {"an event of no kind", RECORD(EVENT), event_kind_unknown},
};

static int damaged_copy(int from, const struct damage *damage)
{
    int to = memfd_create("damaged", MFD_CLOEXEC);
    struct record_reader reader;
    struct record_writer writer;
    bool changed = false;
    struct error why;

    lseek(from, 0, SEEK_SET);
    record_reader_init(&reader, from);
    record_writer_init(&writer, to);
    while (record_read_end(&reader, &why) != 0) {
        Kontor__V1__SnapshotRecord *record;

        assert_int_equal(record_read(&reader, &record, &why), 0);
        if (record->record_case == damage->kind) {
            damage->change(record);
            changed = true;
        }
        assert_int_equal(record_write(&writer, record, &why), 0);
        kontor__v1__snapshot_record__free_unpacked(record, NULL);
    }
    assert_int_equal(record_flush(&writer, &why), 0);
    assert_true(changed);
    record_reader_fini(&reader);
    record_writer_fini(&writer);
    return to;
}

static void wrong_records_are_refused(void **state)
{
    struct cluster *cluster = a_lived_in_cluster();
    CLEANUP(fd_close) int fd = save_to_file(cluster);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        CLEANUP(fd_close) int damaged = damaged_copy(fd, &damages[i]);

        expect_refused(damaged, damages[i].what);
    }
    cluster_free(cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_saved_is_loaded),
        cmocka_unit_test(dropped_events_stay_dropped),
        cmocka_unit_test(an_empty_state_is_one_too),
        cmocka_unit_test(a_cut_file_is_refused),
        cmocka_unit_test(a_longer_file_is_refused),
        cmocka_unit_test(flipped_bits_never_crash),
        cmocka_unit_test(wrong_records_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
