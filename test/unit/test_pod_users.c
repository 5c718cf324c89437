/* test_pod_users.c - which ids a pod with a user namespace has: no two the
 * same, the same as long as its layer is there, free when it is gone. As
 * root. */
#include "pod_world.h"

#include "kontor/v1/bundle.pb-c.h"
#include "node/pod/folder.h"
#include "node/pod/site.h"
#include "node/supervisor/supervisor.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define RUNNING KONTOR__V1__POD_PHASE__POD_RUNNING
#define STOPPED KONTOR__V1__POD_PHASE__POD_STOPPED
#define FAILED KONTOR__V1__POD_PHASE__POD_FAILED
#define SUCCEEDED KONTOR__V1__POD_PHASE__POD_SUCCEEDED

#define FOREVER "cat /proc/self/uid_map; echo x >> /kept; exec sleep 1000"

enum { RANGES = ID_RANGE_END - ID_RANGE_FIRST };

/* ---- ranges alone ---------------------------------------------------------
 */

static struct in_addr address(const char *text)
{
    struct in_addr out;

    assert_int_equal(inet_pton(AF_INET, text, &out), 1);
    return out;
}

static void every_range_is_given_once(void **state)
{
    struct id_ranges ranges = {0};
    uint32_t first, again;
    struct error why;

    (void)state;
    for (int i = 0; i < RANGES; i++) {
        assert_int_equal(
            id_ranges_claim(&ranges, address("10.42.2.7"), &first, &why), 0);
        assert_int_equal(first % SUPERVISOR_IDS, 0);
        assert_in_range(first, 1u << 20, (1u << 31) - SUPERVISOR_IDS);
        assert_int_equal(id_ranges_adopt(&ranges, first, &why),
                         ERROR_ALREADY_EXISTS);
    }
    assert_int_equal(
        id_ranges_claim(&ranges, address("10.42.2.7"), &again, &why),
        ERROR_RESOURCE_EXHAUSTED);
    id_ranges_release(&ranges, first);
    assert_int_equal(
        id_ranges_claim(&ranges, address("10.9.9.9"), &again, &why), 0);
    assert_int_equal(again, first);
}

static void neighbours_have_different_ones(void **state)
{
    struct id_ranges one = {0}, other = {0};
    uint32_t a, b;
    struct error why;

    (void)state;
    id_ranges_claim(&one, address("10.42.2.7"), &a, &why);
    id_ranges_claim(&other, address("10.42.3.7"), &b, &why);
    assert_int_not_equal(a, b);
}

static void what_is_no_range_is_refused(void **state)
{
    static const uint32_t none[] = {
        1, 65536, 15u << 16, (1u << 20) + 1, 1u << 31, 0xffff0000};
    struct id_ranges ranges = {0};
    struct error why;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_int_equal(id_ranges_adopt(&ranges, none[i], &why),
                         ERROR_OUT_OF_RANGE);
    id_ranges_release(&ranges, 0);
    assert_int_equal(id_ranges_adopt(&ranges, 1u << 20, &why), 0);
}

/* ---- pods ------------------------------------------------------------------
 */

static void run_pod(struct pod_world *world, uint64_t id, uint64_t disk_bytes)
{
    Kontor__V1__PodOrder *order = pod_world_order(world, id, FOREVER);

    order->spec->userns = true;
    order->spec->restart = KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS;
    if (disk_bytes) {
        order->spec->resources = memory_new(sizeof *order->spec->resources);
        kontor__v1__resources__init(order->spec->resources);
        order->spec->resources->disk_bytes = disk_bytes;
    }
    pod_world_create(world, order);
    pod_world_await(world, id, RUNNING);
    kontor__v1__pod_order__free_unpacked(order, NULL);
}

static uint32_t ids_of(const struct pod_world *world, uint64_t id)
{
    char *folder = memory_format("%s/%d", world->pods, (int)id);
    struct error why;
    Kontor__V1__Bundle *bundle = (Kontor__V1__Bundle *)pod_folder_read(
        folder, SUPERVISOR_BUNDLE, &kontor__v1__bundle__descriptor, &why);
    uint32_t first_id;

    assert_non_null(bundle);
    first_id = bundle->first_id;
    kontor__v1__bundle__free_unpacked(bundle, NULL);
    free(folder);
    return first_id;
}

/* It is told to run just before it writes. */
static void await_maps(const struct pod_world *world, uint64_t id, int count)
{
    char line[64];
    char *log = NULL;
    int found = 0;

    snprintf(line, sizeof line, " %u ", ids_of(world, id));
    for (int ms = 0; found < count; ms++) {
        free(log);
        log = pod_world_log(world, id);
        found = 0;
        for (char *at = log; (at = strstr(at, line)); at++)
            found++;
        if (ms > POD_WORLD_WAIT_MS)
            fail_msg("\"%s\" is not %d times in %s", line, count, log);
        usleep(1000);
    }
    free(log);
}

static int taken(const struct pod_world *world)
{
    const struct id_ranges *ranges = &pod_engine_site(world->engine)->ids;
    int count = 0;

    for (size_t i = 0; i < ARRAY_LEN(ranges->taken); i++)
        count += __builtin_popcountll(ranges->taken[i]);
    return count;
}

static void pods_have_their_own(void **state)
{
    struct pod_world *world = *state;
    char *upper = memory_format("%s/1/upper/main/kept", world->pods);
    struct stat info;

    run_pod(world, 1, 0);
    run_pod(world, 2, 8 << 20);
    pod_world_run(world, 3, "exec sleep 1000");
    assert_int_not_equal(ids_of(world, 1), ids_of(world, 2));
    assert_int_equal(ids_of(world, 3), 0);
    await_maps(world, 1, 1);
    await_maps(world, 2, 1);
    assert_int_equal(stat(upper, &info), 0);
    assert_int_equal(info.st_uid, ids_of(world, 1));
    assert_int_equal(taken(world), 2);
    pod_world_delete(world, 1, 1);
    pod_world_await(world, 1, STOPPED);
    assert_int_equal(taken(world), 1);
    pod_world_delete(world, 2, 1);
    pod_world_await(world, 2, STOPPED);
    assert_int_equal(taken(world), 0);
    free(upper);
}

/* A pod that has ended has no layer any more, and no ids. */
static void an_ended_pod_gives_them_back(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order = pod_world_order(world, 1, "id -u");

    order->spec->userns = true;
    pod_world_create(world, order);
    pod_world_await(world, 1, SUCCEEDED);
    while (taken(world) > 0)
        uv_run(&world->loop, UV_RUN_ONCE);
    kontor__v1__pod_order__free_unpacked(order, NULL);
}

static void kill_kpod(const struct pod_world *world, uint64_t id)
{
    char *folder = memory_format("%s/%d", world->pods, (int)id);
    pid_t kpod = pod_folder_lock_owner(folder);

    assert_true(kpod > 1);
    assert_int_equal(kill(kpod, SIGKILL), 0);
    free(folder);
}

/* What it wrote is still its own. */
static void they_stay_when_its_supervisor_dies(void **state)
{
    struct pod_world *world = *state;
    uint32_t before;

    for (uint64_t disk_bytes = 0; disk_bytes <= 8 << 20;
         disk_bytes += 8 << 20) {
        uint64_t id = 1 + (disk_bytes > 0);

        run_pod(world, id, disk_bytes);
        before = ids_of(world, id);
        await_maps(world, id, 1);
        kill_kpod(world, id);
        pod_world_await(world, id, KONTOR__V1__POD_PHASE__POD_BACKOFF);
        pod_world_await(world, id, RUNNING);
        assert_int_equal(ids_of(world, id), before);
        await_maps(world, id, 2);
        assert_int_equal(taken(world), 1);
        pod_world_delete(world, id, 1);
        pod_world_await(world, id, STOPPED);
    }
}

static void a_new_knode_knows_them(void **state)
{
    struct pod_world *world = *state;
    uint32_t before;

    run_pod(world, 1, 0);
    before = ids_of(world, 1);
    pod_world_end_life(world);
    pod_world_begin_life(world, true);
    pod_world_await(world, 1, RUNNING);
    assert_int_equal(taken(world), 1);
    run_pod(world, 2, 0);
    assert_int_not_equal(ids_of(world, 2), before);
    assert_int_equal(taken(world), 2);
    pod_world_delete(world, 1, 1);
    pod_world_await(world, 1, STOPPED);
    assert_int_equal(taken(world), 1);
}

/* Never with ids of which it cannot read what is there. */
static void a_layer_of_other_ids_is_refused(void **state)
{
    struct pod_world *world = *state;
    char *upper = memory_format("%s/1/upper/main", world->pods);

    run_pod(world, 1, 0);
    assert_int_equal(chown(upper, 99 * SUPERVISOR_IDS, 0), 0);
    kill_kpod(world, 1);
    pod_world_await(world, 1, FAILED);
    assert_non_null(
        strstr(world->last->reason, "belongs to user 6488064, the pod's ids"));
    free(upper);
}

#define story(test) \
    cmocka_unit_test_setup_teardown(test, pod_world_open, pod_world_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_range_is_given_once),
        cmocka_unit_test(neighbours_have_different_ones),
        cmocka_unit_test(what_is_no_range_is_refused),
        story(pods_have_their_own),
        story(an_ended_pod_gives_them_back),
        story(they_stay_when_its_supervisor_dies),
        story(a_new_knode_knows_them),
        story(a_layer_of_other_ids_is_refused),
    };

    if (argc > 1 && strcmp(argv[1], "image-pull") == 0)
        return image_pull_main(argc, argv);
    return cmocka_run_group_tests(tests, pod_world_make, pod_world_unmake);
}
