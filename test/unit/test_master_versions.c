/* Masters of two versions in one cluster: what a newer one writes is kept by
 * the older, or not written before that is upgraded, or stops it. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"
#include "master_commands.h"
#include "master_world.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What masters that are started from now on know: the product's function. */
static uint32_t known = CLUSTER_FORMAT;

uint32_t cluster_format_known(void)
{
    return known;
}

static int reset(void **state)
{
    known = CLUSTER_FORMAT;
    return world_tear_down(state);
}

/* A field that is not known here. */
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

/* ---- fields ---- */

static const struct spec *only_spec(const struct cluster *cluster)
{
    const struct pod *pod = pods_after(&cluster->pods, 0);

    return pod ? pod->facts.spec : NULL;
}

static bool all_have_it(void *data)
{
    (void)data;
    for (unsigned i = 0; i < world.master_count; i++)
        if (!only_spec(world.masters[i].master->cluster))
            return false;
    return true;
}

static bool is_marked(const struct spec *spec)
{
    return spec && spec->message->base.n_unknown_fields == 1 &&
           spec->message->resources->base.n_unknown_fields == 1 &&
           spec->message->containers[0]->base.n_unknown_fields == 1;
}

/* From a newer kctl by way of a follower into the log, the state and its
 * snapshot: to be there for a newer node. */
static void unknown_fields_of_a_spec_are_kept(void **state)
{
    Kontor__V1__ScheduleRequest request = KONTOR__V1__SCHEDULE_REQUEST__INIT;
    Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__Resources resources = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__ContainerSpec container = KONTOR__V1__CONTAINER_SPEC__INIT;
    Kontor__V1__ContainerSpec *containers[] = {&container};
    CLEANUP(fd_close) int saved = -1;
    struct cluster *loaded;
    struct error why;
    void *response;

    (void)state;
    world_start(3, 3);
    container.image = (char[]){"registry.local/web:1"};
    mark(&container.base);
    spec.containers = containers;
    spec.n_containers = 1;
    mark(&resources.base);
    spec.resources = &resources;
    mark(&spec.base);
    request.spec = &spec;
    response = world_call(world_channel((world_leader() + 1) % 3, "admin"),
                          "Schedule", &request.base, &why);
    if (!response)
        fail_msg("%s", why.message);
    protobuf_c_message_free_unpacked(response, NULL);
    world_until(all_have_it, NULL, "the pod on all masters");
    for (unsigned i = 0; i < 3; i++)
        assert_true(is_marked(only_spec(world.masters[i].master->cluster)));
    saved = save_to_file(world.masters[0].master->cluster);
    assert_int_equal(cluster_load(&loaded, saved, &why), 0);
    assert_true(is_marked(only_spec(loaded)));
    cluster_free(loaded);
}

/* ---- commands ---- */

static Kontor__V1__Command command_of_tomorrow(Kontor__V1__SetCordon *operation)
{
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;

    kontor__v1__set_cordon__init(operation);
    operation->node_id = 1;
    operation->cordoned = true;
    command.format = CLUSTER_FORMAT + 1;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_SET_CORDON;
    command.set_cordon = operation;
    return command;
}

static void a_newer_format_changes_nothing(void **state)
{
    struct cluster *cluster = cluster_new();
    struct cluster *untouched = cluster_new();
    struct wanted capacity = {4000, 1, 1, 1};
    Kontor__V1__SetCordon operation;
    Kontor__V1__Command command = command_of_tomorrow(&operation);
    struct cluster_result result;

    (void)state;
    do_register(cluster, "n1", capacity);
    do_register(untouched, "n1", capacity);
    result = apply_message(cluster, &command);
    assert_true(result.beyond);
    assert_int_equal(result.error.code, ERROR_UNIMPLEMENTED);
    assert_non_null(strstr(result.error.message, "entry 2 has format 3"));
    assert_true(same_state(cluster, untouched));

    command.format = CLUSTER_FORMAT;
    assert_false(apply_message(cluster, &command).beyond);
    assert_false(same_state(cluster, untouched));
    cluster_free(cluster);
    cluster_free(untouched);
}

static void on_proposed(struct replica_proposal *proposal, uint64_t index,
                        const struct error *why)
{
    (void)proposal;
    (void)index;
    (void)why;
}

/* What the process leaves behind. */
struct folders {
    char world[64];
    char pki[64];
};

static _Noreturn void run_a_master(struct folders *folders)
{
    Kontor__V1__SetCordon operation;
    Kontor__V1__Command command = command_of_tomorrow(&operation);
    struct replica_proposal proposal = {.done = on_proposed};
    size_t length = kontor__v1__command__get_packed_size(&command);
    CLEANUP(free_pointer) uint8_t *bytes = memory_new(length);
    uint64_t deadline_ms = clock_monotonic_ms() + 5000;

    world_start(1, 1);
    snprintf(folders->world, sizeof folders->world, "%s", world.folder);
    snprintf(folders->pki, sizeof folders->pki, "%s", world.pki.folder);
    kontor__v1__command__pack(&command, bytes);
    replica_propose(world.masters[0].master->replica, &proposal, bytes, length);
    while (clock_monotonic_ms() < deadline_ms)
        uv_run(&world.loop, UV_RUN_ONCE);
    _exit(EXIT_SUCCESS);
}

/* Rather than to go on with another state than the others'. */
static void a_newer_format_ends_the_master(void **state)
{
    struct folders *folders =
        mmap(NULL, sizeof *folders, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    struct error why;
    int status;

    (void)state;
    if (child == 0)
        run_a_master(folders);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_FAILURE);
    assert_int_equal(folder_remove(AT_FDCWD, folders->world, &why), 0);
    assert_int_equal(folder_remove(AT_FDCWD, folders->pki, &why), 0);
    munmap(folders, sizeof *folders);
}

static void a_snapshot_of_a_newer_format_is_refused(void **state)
{
    struct cluster *cluster = cluster_new();
    CLEANUP(fd_close) int fd = -1;
    struct cluster *loaded;
    struct error why;

    (void)state;
    cluster->format = 1;
    fd = save_to_file(cluster);
    known = 0;
    assert_int_equal(cluster_load(&loaded, fd, &why), ERROR_UNIMPLEMENTED);
    assert_non_null(strstr(why.message, "format 1, this program knows 0"));
    known = CLUSTER_FORMAT;
    cluster_free(cluster);
}

/* ---- upgrades ---- */

/* Two pods at once, which needs format 1. */
static int schedule_two(struct error *why)
{
    Kontor__V1__ScheduleRequest request = KONTOR__V1__SCHEDULE_REQUEST__INIT;
    Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__Resources resources = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__ContainerSpec container = KONTOR__V1__CONTAINER_SPEC__INIT;
    Kontor__V1__ContainerSpec *containers[] = {&container};
    ProtobufCMessage *answer;

    container.image = (char[]){"registry.local/web:1"};
    spec.containers = containers;
    spec.n_containers = 1;
    spec.resources = &resources;
    request.spec = &spec;
    request.replicas = 2;
    answer = world_call(world_channel(world_leader(), "admin"), "Schedule",
                        &request.base, why);
    if (answer)
        protobuf_c_message_free_unpacked(answer, NULL);
    return (int)why->code;
}

static void expect_refused(const char *who)
{
    struct error why;

    assert_int_equal(schedule_two(&why), ERROR_FAILED_PRECONDITION);
    if (!strstr(why.message, "needs format 1, the cluster is at 0: ") ||
        !strstr(why.message, who))
        fail_msg("%s", why.message);
}

static void expect_done(void)
{
    struct error why;

    if (schedule_two(&why) != 0)
        fail_msg("%s", why.message);
}

static bool format_is_reached(void *data)
{
    (void)data;
    for (unsigned i = 0; i < world.master_count; i++)
        if (world.masters[i].master->cluster->format < 1)
            return false;
    return true;
}

/* It is started again with a program that knows `format`. */
static void replace_master(unsigned i, uint32_t format)
{
    world_master_stop(i);
    known = format;
    world_master_start(i);
}

/* The leader first, the leader last. */
static void upgrade_all(bool leader_first)
{
    bool done[3] = {false};

    for (unsigned n = 0; n < 3; n++) {
        unsigned next = world_leader();

        for (unsigned i = 0; done[next] || (!leader_first && i < 2); i++)
            next = (next + 1) % 3;
        expect_refused("runs an older program");
        replace_master(next, 1);
        done[next] = true;
    }
    world_until(format_is_reached, NULL, "format 1");
    expect_done();
}

static void masters_are_upgraded_the_leader_first(void **state)
{
    (void)state;
    known = 0;
    world_start(3, 3);
    upgrade_all(true);
}

static void masters_are_upgraded_the_leader_last(void **state)
{
    (void)state;
    known = 0;
    world_start(3, 3);
    upgrade_all(false);
}

static void one_may_be_taken_back_until_the_last(void **state)
{
    (void)state;
    known = 0;
    world_start(3, 3);
    replace_master(0, 1);
    world_leader();
    replace_master(0, 0);
    world_leader();
    replace_master(1, 1);
    world_leader();
    replace_master(2, 1);
    expect_refused("m1 runs an older program");
    replace_master(0, 1);
    world_until(format_is_reached, NULL, "format 1");
    expect_done();
}

/* It may come back with another program: but not once the format is there. */
static void one_that_is_down_is_waited_for_once(void **state)
{
    (void)state;
    world_start(3, 2);
    expect_refused("m3 does not answer");
    world_master_start(2);
    world_until(format_is_reached, NULL, "format 1");
    world_master_stop(2);
    expect_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(unknown_fields_of_a_spec_are_kept,
                                  world_tear_down),
        cmocka_unit_test(a_newer_format_changes_nothing),
        cmocka_unit_test(a_newer_format_ends_the_master),
        cmocka_unit_test(a_snapshot_of_a_newer_format_is_refused),
        cmocka_unit_test_teardown(masters_are_upgraded_the_leader_first, reset),
        cmocka_unit_test_teardown(masters_are_upgraded_the_leader_last, reset),
        cmocka_unit_test_teardown(one_may_be_taken_back_until_the_last, reset),
        cmocka_unit_test_teardown(one_that_is_down_is_waited_for_once, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
