/* test_pod_engine.c - whole pods on real parts: made, watched, stopped, and
 * found again after knode was killed. As root. */
#include "pod_world.h"

#include "base/clock.h"
#include "base/fd.h"
#include "node/cgroup/cgroup.h"
#include "node/pod/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define RUNNING KONTOR__V1__POD_PHASE__POD_RUNNING
#define STOPPED KONTOR__V1__POD_PHASE__POD_STOPPED
#define FAILED KONTOR__V1__POD_PHASE__POD_FAILED
#define SUCCEEDED KONTOR__V1__POD_PHASE__POD_SUCCEEDED
#define PULLING KONTOR__V1__POD_PHASE__POD_PULLING
#define STARTING KONTOR__V1__POD_PHASE__POD_STARTING
#define BACKOFF KONTOR__V1__POD_PHASE__POD_BACKOFF

#define FOREVER \
    "echo up; trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"

static void free_order(Kontor__V1__PodOrder *order)
{
    kontor__v1__pod_order__free_unpacked(order, NULL);
}

static void replace(char **field, const char *value)
{
    free(*field);
    *field = memory_string(value);
}

/* Does this process end soon? One whose group was emptied may
 * still be on its way out of its namespace. */
static bool ends(int pid)
{
    struct pollfd watch = {.events = POLLIN};
    bool ended;

    watch.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (watch.fd < 0)
        return errno == ESRCH;
    ended = poll(&watch, 1, 10000) == 1;
    close(watch.fd);
    return ended;
}

static bool runs(int pid)
{
    struct pollfd watch = {.events = POLLIN};
    bool running;

    watch.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (watch.fd < 0)
        return false;
    running = poll(&watch, 1, 0) == 0;
    close(watch.fd);
    return running;
}

/* ---- the ordinary life --------------------------------------------------- */

static void a_pod_runs_and_leaves_nothing(void **state)
{
    struct pod_world *world = *state;
    int pid = pod_world_run(world, 1, FOREVER);

    assert_true(pid > 1);
    assert_true(runs(pid));
    assert_string_equal(world->last->address, "10.42.2.2");
    assert_string_equal(world->seen, "1:PULLING 1:STARTING "
                                     "1:RUNNING ");
    pod_world_delete(world, 1, 1);
    pod_world_await(world, 1, STOPPED);
    assert_non_null(strstr(world->seen, "1:STOPPING "));
    assert_non_null(strstr(world->seen, "1:STOPPED "));
    assert_true(ends(pid));
    assert_false(pod_world_has(world, 1, ""));
}

static void an_ended_pod_is_kept_until_it_is_deleted(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order =
        pod_world_order(world, 1, "echo $A $B $HOSTNAME; exit 3");
    char *log;

    order->spec->containers[0]->env = memory_array(1, sizeof(char *));
    order->spec->containers[0]->env[0] = memory_string("B=2");
    order->spec->containers[0]->n_env = 1;
    pod_world_create(world, order);
    pod_world_await(world, 1, FAILED);
    assert_int_equal(world->last->exit_code, 3);
    /* Life is let go of, history is kept; also by the next knode. */
    pod_world_end_life(world);
    pod_world_begin_life(world, true);
    pod_world_await(world, 1, FAILED);
    assert_int_equal(world->last->exit_code, 3);
    pod_world_create(world, order); /* the same order again */
    log = pod_world_log(world, 1);
    assert_string_equal(log, "1 2 web-1\n");
    free(log);
    free_order(order);
    pod_world_delete(world, 1, 1);
    pod_world_await(world, 1, STOPPED);
}

static bool layer_is_gone(struct pod_world *world)
{
    return !pod_world_has(world, 1, "upper");
}

static void an_ended_pod_gives_its_resources_back(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order = pod_world_order(world, 1, "echo > /file");
    char *group = memory_format("%s/pod-1", world->cgroup);

    pod_world_create(world, order);
    pod_world_await(world, 1, SUCCEEDED);
    pod_world_await_that(world, layer_is_gone);
    assert_true(cgroup_empty(group));
    assert_true(pod_world_has(world, 1, "status.pb"));
    free(group);
    free_order(order);
}

static void an_image_comes_from_a_layout(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order = pod_world_order(world, 1, FOREVER);

    replace(&order->spec->containers[0]->image, world->layout);
    pod_world_create(world, order);
    pod_world_await(world, 1, RUNNING);
    free_order(order);
}

static void two_pods_run_side_by_side(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *first = pod_world_order(world, 1, FOREVER);
    Kontor__V1__PodOrder *second = pod_world_order(world, 2, FOREVER);

    pod_world_create(world, first);
    pod_world_create(world, second);
    pod_world_await(world, 1, RUNNING);
    pod_world_await(world, 2, RUNNING);
    free_order(first);
    free_order(second);
}

/* ---- what goes wrong ----------------------------------------------------- */

static void what_is_not_there_is_named(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order = pod_world_order(world, 1, "");

    replace(&order->spec->containers[0]->image, "oci:/no/such/layout:1");
    pod_world_create(world, order);
    pod_world_await(world, 1, FAILED);
    assert_non_null(strstr(world->last->reason, "/no/such/layout"));
    free_order(order);
    order = pod_world_order(world, 2, "");
    replace(&order->spec->containers[0]->command[0], "/bin/nope");
    pod_world_create(world, order);
    pod_world_await(world, 2, FAILED);
    assert_non_null(strstr(world->last->reason, "/bin/nope"));
    free_order(order);
    order = pod_world_order(world, 3, "");
    order->spec->n_containers = 0;
    pod_world_create(world, order);
    pod_world_await(world, 3, FAILED);
    assert_non_null(strstr(world->last->reason, "no container"));
    order->spec->n_containers = 1;
    free_order(order);
}

static bool said_next_attempt(struct pod_world *world)
{
    return strstr(world->last->reason, "next attempt in 1 s") != NULL;
}

/* Nobody listens on port 1: a registry that is down. */
static void a_registry_that_is_down_is_tried_again(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order = pod_world_order(world, 1, "");

    replace(&order->spec->containers[0]->image, "127.0.0.1:1/app:1");
    pod_world_create(world, order);
    pod_world_await_that(world, said_next_attempt);
    assert_int_equal(world->last->phase, PULLING);
    assert_non_null(strstr(world->last->reason, "127.0.0.1:1"));
    pod_world_delete(world, 1, 1);
    pod_world_await(world, 1, STOPPED);
    free_order(order);
}

static void without_a_network_a_pod_waits(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order = pod_world_order(world, 1, FOREVER);
    struct net_config config = {"kontor0", "10.42.2.0/24", "kontor"};
    struct error why;

    pod_world_end_life(world);
    pod_world_begin_life(world, false);
    pod_world_create(world, order);
    pod_world_await(world, 1, STARTING);
    assert_non_null(strstr(world->last->reason, "registered"));
    assert_int_equal(net_open(&world->net, &config, &why), 0);
    pod_engine_set_net(world->engine, world->net);
    pod_world_await(world, 1, RUNNING);
    free_order(order);
}

static void count_layer(void *to, const char *layer, bool top)
{
    assert_memory_equal(layer, "layers/sha256/", strlen("layers/sha256/"));
    *(int *)to += top;
}

/* How many images are in use, as sweeps of the store are told. */
static int images_in_use(const struct pod_world *world)
{
    int count = 0;
    struct error why = {0};

    assert_int_equal(
        pod_engine_each_layer(world->engine, count_layer, &count, &why), 0);
    assert_int_equal(why.code, 0);
    return count;
}

static bool nothing_is_mounted(struct pod_world *world)
{
    return !pod_world_has(world, 1, "bundle.pb");
}

/* From its pull on, whether that is written down yet or not, to its end. */
static void a_pods_layers_are_in_use(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order = pod_world_order(world, 1, "true");
    struct net_config config = {"kontor0", "10.42.2.0/24", "kontor"};
    struct error why;

    pod_world_end_life(world);
    pod_world_begin_life(world, false);
    pod_world_create(world, order);
    pod_world_await(world, 1, STARTING);
    assert_false(pod_world_has(world, 1, "bundle.pb"));
    assert_int_equal(images_in_use(world), 1);
    assert_int_equal(net_open(&world->net, &config, &why), 0);
    pod_engine_set_net(world->engine, world->net);
    pod_world_await(world, 1, SUCCEEDED);
    pod_world_await_that(world, nothing_is_mounted);
    assert_int_equal(images_in_use(world), 0);
    pod_world_run(world, 2, FOREVER);
    assert_int_equal(images_in_use(world), 1);
    free_order(order);
}

static int kpod_pid(const struct pod_world *world, uint64_t id)
{
    char *path = memory_format("%s/%d/kpod.lock", world->pods, (int)id);
    FILE *file = fopen(path, "re");
    int pid = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &pid), 1);
    fclose(file);
    free(path);
    return pid;
}

static void a_dead_supervisor_takes_its_pod_along(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order = pod_world_order(world, 2, FOREVER);
    int pid = pod_world_run(world, 1, FOREVER);

    assert_int_equal(kill(kpod_pid(world, 1), SIGKILL), 0);
    pod_world_await(world, 1, FAILED);
    assert_string_equal(world->last->reason, "its supervisor died (signal 9)");
    pod_world_delete(world, 1, 1);
    pod_world_await(world, 1, STOPPED);
    assert_true(ends(pid));

    order->spec->restart = KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS;
    pod_world_create(world, order);
    pod_world_await(world, 2, RUNNING);
    assert_int_equal(kill(kpod_pid(world, 2), SIGKILL), 0);
    pod_world_await(world, 2, BACKOFF);
    pod_world_await(world, 2, RUNNING);
    assert_int_equal(world->last->restarts, 1);
    free_order(order);
}

static bool lock_is_named(struct pod_world *world)
{
    char *folder = memory_format("%s/1", world->pods);
    bool named = pod_folder_lock_owner(folder) > 0;

    free(folder);
    return named;
}

/* Also half way to running, or to an end. pod_world_close() looks for what
 * is left. */
static void a_supervisor_may_be_killed_at_any_moment(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order = pod_world_order(world, 1, FOREVER);

    for (unsigned i = 0; i < 24; i++) {
        bool stops = i % 3 == 2;

        pod_world_create(world, order);
        if (stops) {
            pod_world_await(world, 1, RUNNING);
            pod_world_delete(world, 1, order->generation);
        } else {
            pod_world_await_that(world, lock_is_named);
        }
        usleep(i * 250);
        kill(kpod_pid(world, 1), SIGKILL);
        if (!stops) {
            pod_world_await(world, 1, FAILED);
            assert_string_equal(world->last->reason,
                                "its supervisor died (signal 9)");
            pod_world_delete(world, 1, order->generation);
        }
        pod_world_await(world, 1, STOPPED);
    }
    free_order(order);
}

/* Stopped by SIGSTOP it hears nothing: what is left is to kill it. */
static void a_supervisor_that_hangs_is_killed(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order = pod_world_order(world, 1, FOREVER);
    int pid;

    order->spec->stop_grace_ms = 1;
    pod_world_create(world, order);
    pod_world_await(world, 1, RUNNING);
    pid = world->last->pid;
    assert_int_equal(kill(kpod_pid(world, 1), SIGSTOP), 0);
    pod_world_delete(world, 1, 1);
    pod_world_await(world, 1, STOPPED);
    assert_true(ends(pid));
    free_order(order);
}

static void generations_replace_each_other(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order = pod_world_order(world, 1, FOREVER);
    struct error why;
    int pid = pod_world_run(world, 1, FOREVER);

    order->generation = 2;
    pod_world_create(world, order);
    pod_world_await(world, 1, RUNNING);
    while (world->last->generation != 2) {
        uv_run(&world->loop, UV_RUN_ONCE);
        pod_world_await(world, 1, RUNNING);
    }
    assert_int_not_equal(world->last->pid, pid);
    assert_true(ends(pid));
    order->generation = 1;
    assert_int_equal(pod_engine_create(world->engine, order, &why),
                     ERROR_FAILED_PRECONDITION);
    /* Deleting what was replaced leaves what replaced it. */
    pod_world_delete(world, 1, 1);
    pod_world_await(world, 1, RUNNING);
    pod_world_delete(world, 1, 2);
    pod_world_await(world, 1, STOPPED);
    free_order(order);
}

/* ---- knode dies ---------------------------------------------------------- */

/* Another process is the knode until it is killed: creates a pod, and says
 * so through a pipe once the order is on disk. */
static pid_t start_other_life(struct pod_world *world, uint64_t id,
                              bool wait_running)
{
    int ends[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        Kontor__V1__PodOrder *order = pod_world_order(world, id, FOREVER);

        close(ends[0]);
        pod_world_begin_life(world, true);
        pod_world_create(world, order);
        if (wait_running)
            pod_world_await(world, id, RUNNING);
        if (write(ends[1], "x", 1) == 1)
            uv_run(&world->loop, UV_RUN_DEFAULT);
        _exit(1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    return pid;
}

static void kill_other_life(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void a_killed_knode_finds_its_pods_again(void **state)
{
    struct pod_world *world = *state;
    int before;
    int kpod;
    pid_t other;

    pod_world_end_life(world);
    other = start_other_life(world, 1, true);
    kpod = kpod_pid(world, 1);
    kill_other_life(other);
    pod_world_begin_life(world, true);
    pod_world_await(world, 1, RUNNING);
    before = world->last->pid;
    assert_true(runs(before));
    assert_int_equal(kpod_pid(world, 1), kpod);
    assert_int_equal(world->last->restarts, 0);
    assert_string_equal(world->last->address, "10.42.2.2");
    /* Its address is taken. */
    pod_world_run(world, 2, FOREVER);
    assert_string_equal(world->last->address, "10.42.2.3");
    pod_world_delete(world, 1, 1);
    pod_world_await(world, 1, STOPPED);
    assert_true(ends(before));
}

/* At any moment: between order and kpod, too. Once it said that the order is
 * on disk, the pod comes to run. */
static void killed_at_any_moment_a_pod_comes_to_run(void **state)
{
    struct pod_world *world = *state;

    pod_world_end_life(world);
    for (unsigned i = 0; i < 16; i++) {
        uint64_t id = i + 1;
        pid_t other = start_other_life(world, id, false);

        usleep(i * 500);
        kill_other_life(other);
        pod_world_begin_life(world, true);
        pod_world_await(world, id, RUNNING);
        pod_world_delete(world, id, 1);
        /* And while it is removed: the next life finishes that. */
        if (i % 2)
            pod_world_await(world, id, STOPPED);
        pod_world_end_life(world);
    }
    pod_world_begin_life(world, true);
}

/* Accepted is accepted: also when knode ends before the pod has. */
static void a_delete_is_remembered(void **state)
{
    struct pod_world *world = *state;
    int pid = pod_world_run(world, 1, FOREVER);

    pod_world_delete(world, 1, 1);
    pod_world_end_life(world);
    pod_world_begin_life(world, true);
    pod_world_await(world, 1, STOPPED);
    assert_true(ends(pid));
    assert_false(pod_world_has(world, 1, ""));
}

static void what_belongs_to_nobody_is_removed(void **state)
{
    struct pod_world *world = *state;
    char *group = memory_format("%s/pod-7", world->cgroup);
    char *folder = memory_format("%s/8/upper/main/x", world->pods);
    struct error why;

    pod_world_end_life(world);
    assert_int_equal(cgroup_create(group, &(struct cgroup_limits){0}, &why), 0);
    assert_int_equal(folder_make(folder, 0755, &why), 0);
    pod_world_begin_life(world, true);
    pod_world_await(world, 7, STOPPED);
    pod_world_await(world, 8, STOPPED);
    assert_false(pod_world_has(world, 8, ""));
    free(group);
    free(folder);
}

/* ---- speed --------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;

    return *left < *right ? -1 : *left > *right;
}

/* Not a limit, only told: machines differ. */
static void how_long_a_start_takes(void **state)
{
    enum { PODS = 15 };
    struct pod_world *world = *state;
    uint64_t us[PODS];

    for (uint64_t id = 1; id <= PODS; id++) {
        uint64_t start = clock_monotonic_ns();

        pod_world_run(world, id, FOREVER);
        us[id - 1] = (clock_monotonic_ns() - start) / 1000;
        pod_world_delete(world, id, 1);
        pod_world_await(world, id, STOPPED);
    }
    qsort(us, PODS, sizeof *us, by_value);
    print_message("order to running: p50 %" PRIu64 " us, max %" PRIu64 " us\n",
                  us[PODS / 2], us[PODS - 1]);
}

#define pod_test(function) \
    cmocka_unit_test_setup_teardown(function, pod_world_open, pod_world_close)

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        pod_test(a_pod_runs_and_leaves_nothing),
        pod_test(an_ended_pod_is_kept_until_it_is_deleted),
        pod_test(an_ended_pod_gives_its_resources_back),
        pod_test(an_image_comes_from_a_layout),
        pod_test(two_pods_run_side_by_side),
        pod_test(what_is_not_there_is_named),
        pod_test(a_registry_that_is_down_is_tried_again),
        pod_test(without_a_network_a_pod_waits),
        pod_test(a_pods_layers_are_in_use),
        pod_test(a_dead_supervisor_takes_its_pod_along),
        pod_test(a_supervisor_may_be_killed_at_any_moment),
        pod_test(a_supervisor_that_hangs_is_killed),
        pod_test(generations_replace_each_other),
        pod_test(a_killed_knode_finds_its_pods_again),
        pod_test(killed_at_any_moment_a_pod_comes_to_run),
        pod_test(a_delete_is_remembered),
        pod_test(what_belongs_to_nobody_is_removed),
        pod_test(how_long_a_start_takes),
    };

    return cmocka_run_group_tests(tests, pod_world_make, pod_world_unmake);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "image-pull") == 0)
        return image_pull_main(argc, argv);
    if (argc > 1) /* one test by name */
        cmocka_set_test_filter(argv[1]);
    return run_all();
}
