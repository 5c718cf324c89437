/* test_pod_live.c - knode, and kpod, are killed before every step of a pod's
 * start and stop (step_killer.h); where its program ends by itself, before
 * every third. The next knode makes of it what was asked for, and nothing is
 * left: mounts, namespaces, pairs, groups, loop devices, addresses, files. As
 * root.
 *
 * kpod is traced from its first instruction on by being started through this
 * program, which reads the number of the step from a file. */
#include "pod_world.h"

#include "base/fd.h"
#include "node/disk/disk.h"
#include "node/pod/folder.h"
#include "node/supervisor/supervisor.h"
#include "step_killer.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define RUNNING KONTOR__V1__POD_PHASE__POD_RUNNING
#define STOPPED KONTOR__V1__POD_PHASE__POD_STOPPED
#define FAILED KONTOR__V1__POD_PHASE__POD_FAILED

#define FOREVER \
    "echo up; trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"

enum { DISK_BYTES = 8 << 20, NET_BITS = 1000000000, STEPS_MAX = 2000 };

/* What the pod's container does. */
static struct {
    /* With one, knode has more steps and no fewer; kpod has others. */
    bool userns;
    /* 0: it runs until it is stopped. Else it writes so many lines without a
     * rest, and ends by itself. */
    unsigned lines;
    bool unseen; /* when it ends there is no knode */
} shape;

enum { EXIT_CODE = 7 };

/* Each step of the first walks, some of those that differ in nothing but what
 * the program does. The sanitizers need no step twice, and are slow. */
static unsigned stride(void)
{
#ifdef __SANITIZE_ADDRESS__
    return 7;
#else
    return shape.lines ? 3 : 1;
#endif
}

static char *make_script(void)
{
    return shape.lines == 0
               ? memory_string(FOREVER)
               : memory_format("i=0; while [ $i -lt %u ]; do echo $((i += 1)); "
                               "done; exit %d",
                               shape.lines, EXIT_CODE);
}

/* All that it writes; freed with free(). */
static char *make_log(void)
{
    size_t length;
    char *text;
    FILE *file = open_memstream(&text, &length);

    assert_non_null(file);
    if (shape.lines == 0)
        fputs("up\n", file);
    for (unsigned i = 1; i <= shape.lines; i++)
        fprintf(file, "%u\n", i);
    fclose(file);
    return text;
}

static Kontor__V1__PodOrder *full_order(const struct pod_world *world)
{
    CLEANUP(free_pointer) char *script = make_script();
    Kontor__V1__PodOrder *order = pod_world_order(world, 1, script);

    order->spec->resources = memory_new(sizeof *order->spec->resources);
    kontor__v1__resources__init(order->spec->resources);
    order->spec->resources->cpu_milli = 1000;
    order->spec->resources->memory_bytes = 64 << 20;
    order->spec->resources->disk_bytes = DISK_BYTES;
    order->spec->resources->net_bits = NET_BITS;
    order->spec->userns = shape.userns;
    return order;
}

static void free_order(Kontor__V1__PodOrder *order)
{
    kontor__v1__pod_order__free_unpacked(order, NULL);
}

static bool loop_left(const struct pod_world *world)
{
    bool found = false;
    char line[512];
    glob_t all;

    if (glob("/sys/block/loop*/loop/backing_file", 0, NULL, &all) != 0)
        return false;
    for (size_t i = 0; i < all.gl_pathc; i++) {
        FILE *file = fopen(all.gl_pathv[i], "re");

        if (file && fgets(line, sizeof line, file))
            found |= strstr(line, world->pods) != NULL;
        if (file)
            fclose(file);
    }
    globfree(&all);
    return found;
}

/* The packet filter still lets the pod's interface through. */
static bool filter_left(void)
{
    FILE *rules = popen("nft list ruleset", "re");
    bool found = false;
    char line[512];

    assert_non_null(rules);
    while (fgets(line, sizeof line, rules))
        found |= strstr(line, "kp1") != NULL;
    assert_int_equal(pclose(rules), 0);
    return found;
}

/* There is no event for it: written by a process of nobody's here. */
static void await_log(const struct pod_world *world)
{
    CLEANUP(free_pointer) char *expected = make_log();
    bool found = false;

    for (int ms = 0; !found; ms++) {
        char *log = pod_world_log(world, 1);

        if (ms >= POD_WORLD_WAIT_MS)
            assert_string_equal(log, expected);
        found = strcmp(log, expected) == 0;
        free(log);
        if (!found)
            usleep(1000);
    }
}

/* Where its life leads without anybody's doing. */
static Kontor__V1__PodPhase settled_phase(void)
{
    return shape.lines == 0 ? RUNNING : FAILED;
}

/* It has settled: all of its output is there, and the exit code. */
static void check_outcome(const struct pod_world *world)
{
    assert_int_equal(world->last->restarts, 0);
    if (shape.lines > 0)
        assert_int_equal(world->last->exit_code, EXIT_CODE);
    await_log(world);
}

/* ---- knode ---------------------------------------------------------------
 */

/* How far a knode had come when it was killed; in memory that it shares. */
struct progress {
    int running; /* the pod's pid, while it does */
    bool deleting, deleted;
};

static struct progress *shared_progress(void)
{
    void *page = mmap(NULL, sizeof(struct progress), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(page != MAP_FAILED);
    return page;
}

static _Noreturn void live(struct pod_world *world, int gate,
                           struct progress *progress)
{
    Kontor__V1__PodOrder *order = full_order(world);
    char byte;

    if (read(gate, &byte, 1) != 1)
        _exit(1);
    pod_world_begin_life(world, true);
    pod_world_create(world, order);
    pod_world_await(world, 1, settled_phase());
    progress->running = world->last->pid;
    progress->deleting = true;
    pod_world_delete(world, 1, 1);
    progress->deleted = true;
    pod_world_await(world, 1, STOPPED);
    _exit(0);
}

/* One life up to a step; false when it came to its end before. */
static bool live_until(struct pod_world *world, unsigned step,
                       struct progress *progress)
{
    int ends[2];
    int status;
    bool killed;
    pid_t pid;

    *progress = (struct progress){0};
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0)
        live(world, ends[0], progress);
    killed = step_killer_run(pid, ends[1], step, &status);
    close(ends[0]);
    close(ends[1]);
    if (!killed)
        assert_int_equal(status, 0);
    return killed;
}

/* Masters try again when a node says UNAVAILABLE: what was half made of an
 * order that was never acknowledged is just being removed. */
static void create(struct pod_world *world, const Kontor__V1__PodOrder *order)
{
    struct error why;
    int code;

    while ((code = pod_engine_create(world->engine, order, &why)) ==
           ERROR_UNAVAILABLE)
        uv_run(&world->loop, UV_RUN_ONCE);
    if (code != 0)
        fail_msg("%s", why.message);
}

/* The masters tell again what was not acknowledged; a deletion that was they
 * need not repeat. */
static void go_on(struct pod_world *world, const struct progress *progress)
{
    Kontor__V1__PodOrder *order = full_order(world);

    if (!progress->deleting) {
        create(world, order);
        pod_world_await(world, 1, settled_phase());
        if (progress->running)
            assert_int_equal(world->last->pid, progress->running);
        check_outcome(world);
    }
    if (!progress->deleted)
        pod_world_delete(world, 1, 1);
    if (pod_engine_status(world->engine, 1))
        pod_world_await(world, 1, STOPPED);
    free_order(order);
}

/* The pod's supervisor, if there is one, goes when its pod has ended. */
static void await_kpod_gone(const struct pod_world *world)
{
    CLEANUP(free_pointer) char *folder = memory_format("%s/1", world->pods);

    for (int ms = 0; pod_folder_locked(folder); ms++) {
        assert_true(ms < POD_WORLD_WAIT_MS);
        usleep(1000);
    }
}

static void knode_dies_before_any_step(void **state)
{
    struct pod_world *world = *state;
    struct progress *progress = shared_progress();
    unsigned step = 1;

    for (; live_until(world, step, progress); step += stride()) {
        assert_true(step < STEPS_MAX);
        if (shape.unseen)
            await_kpod_gone(world);
        pod_world_begin_life(world, true);
        go_on(world, progress);
        assert_false(loop_left(world));
        assert_false(filter_left());
        pod_world_close(state); /* nothing else is left, either */
    }
    munmap(progress, sizeof *progress);
    print_message("knode was killed before steps 1 to %u\n", step - stride());
    pod_world_begin_life(world, true);
    pod_world_close(state);
}

static void knode_killed_before_any_step(void **state)
{
    shape.userns = true;
    shape.lines = 0;
    knode_dies_before_any_step(state);
}

/* The program writes while knode dies and starts again, and ends before that,
 * or after. */
static void knode_killed_while_a_program_ends(void **state)
{
    shape.userns = true;
    shape.lines = 5000;
    shape.unseen = false;
    knode_dies_before_any_step(state);
    shape.lines = 50;
    shape.unseen = true;
    knode_dies_before_any_step(state);
    shape.unseen = false;
}

/* ---- kpod ----------------------------------------------------------------
 */

/* "STEP PROGRAM": what the pod's supervisor is to be, and how far to come. */
static char *step_file(const char *folder)
{
    return memory_format("%s/step", folder);
}

static void set_step(const struct pod_world *world, unsigned step)
{
    char *path = step_file(world->folder);
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    fprintf(file, "%u %s\n", step, world->kpod);
    fclose(file);
    free(path);
}

/* Descriptors from here on are not what kpod is given. */
enum { OURS_FD = SUPERVISOR_FILTER_FD + SUPERVISOR_CONTAINERS_MAX };

/* In a process that is no child of kpod's, and holds nothing of it: writes
 * whether it killed. */
static _Noreturn void trace(pid_t kpod, int opener, unsigned step,
                            const char *verdict)
{
    int status;
    bool killed;
    FILE *file;

    close_range(SUPERVISOR_NETNS_FD, OURS_FD - 1, 0);
    killed = step_killer_run(kpod, opener, step, &status);
    file = fopen(verdict, "we");
    if (file)
        fprintf(file, "%d\n", killed);
    _exit(file ? fclose(file) : 1);
}

/* `kpod FOLDER`, as this program: FOLDER is .../pods/1, which may be gone when
 * the verdict is written. */
static int be_kpod(char **argv)
{
    CLEANUP(free_pointer) char *above = memory_format("%s/../..", argv[1]);
    CLEANUP(free_pointer) char *world = realpath(above, NULL);
    CLEANUP(free_pointer) char *path = step_file(world);
    CLEANUP(free_pointer) char *verdict = memory_format("%s/verdict", world);
    FILE *file = fopen(path, "re");
    char program[PATH_MAX];
    unsigned step;
    int ends[2];
    int gate[2];
    char byte;
    pid_t self = getpid();
    pid_t between;

    if (!file || fscanf(file, "%u %4095s", &step, program) != 2)
        return 1;
    fclose(file);
    if (pipe(ends) != 0)
        return 1;
    for (int i = 0; i < 2; i++) {
        gate[i] = fcntl(ends[i], F_DUPFD_CLOEXEC, OURS_FD);
        close(ends[i]);
    }
    between = fork();
    if (between == 0) {
        if (fork() == 0)
            trace(self, gate[1], step, verdict);
        _exit(0);
    }
    waitpid(between, NULL, 0);
    if (read(gate[0], &byte, 1) == 1)
        execv(program, argv);
    return 1;
}

/* True: kpod was killed. It says so a moment after. */
static bool await_verdict(const struct pod_world *world)
{
    CLEANUP(free_pointer)
    char *path = memory_format("%s/verdict", world->folder);
    int killed = -1;

    for (int ms = 0; killed < 0; ms++) {
        FILE *file = fopen(path, "re");

        assert_true(ms < POD_WORLD_WAIT_MS);
        if (!file || fscanf(file, "%d", &killed) != 1)
            usleep(1000);
        if (file)
            fclose(file);
    }
    unlink(path);
    return killed;
}

static bool settled_or_failed(struct pod_world *world)
{
    return world->last->phase == settled_phase() ||
           world->last->phase == FAILED;
}

/* What kpod had taken is in the log, and nothing else. */
static void check_what_is_left(const struct pod_world *world)
{
    CLEANUP(free_pointer) char *expected = make_log();
    CLEANUP(free_pointer) char *log = pod_world_log(world, 1);

    assert_string_equal(world->last->reason, "its supervisor died (signal 9)");
    assert_memory_equal(log, expected, strlen(log));
}

static void kpod_dies_before_any_step(void **state)
{
    struct pod_world *world = *state;
    char *kpod = world->kpod;
    char self[PATH_MAX] = "";
    bool killed = true;
    unsigned step;

    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    for (step = 1; killed; step += stride()) {
        Kontor__V1__PodOrder *order = full_order(world);

        assert_true(step < STEPS_MAX);
        set_step(world, step);
        world->kpod = self;
        pod_world_begin_life(world, true);
        pod_world_create(world, order);
        pod_world_await_that(world, settled_or_failed);
        if (world->last->exit_code == EXIT_CODE)
            check_outcome(world);
        else if (world->last->phase == FAILED)
            check_what_is_left(world);
        pod_world_delete(world, 1, 1);
        pod_world_await(world, 1, STOPPED);
        assert_false(loop_left(world));
        assert_false(filter_left());
        pod_world_close(state);
        world->kpod = kpod;
        killed = await_verdict(world);
        free_order(order);
    }
    print_message("kpod was killed before steps 1 to %u\n",
                  step - 2 * stride());
}

static void kpod_killed_before_any_step(void **state)
{
    shape.lines = 0;
    shape.userns = false;
    kpod_dies_before_any_step(state);
    shape.userns = true;
    kpod_dies_before_any_step(state);
}

/* Few lines: each time that kpod writes some is a step. */
static void kpod_killed_while_a_program_ends(void **state)
{
    shape.userns = false;
    shape.lines = 5;
    kpod_dies_before_any_step(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knode_killed_before_any_step),
        cmocka_unit_test(knode_killed_while_a_program_ends),
        cmocka_unit_test(kpod_killed_before_any_step),
        cmocka_unit_test(kpod_killed_while_a_program_ends),
    };

    if (strcmp(argv[0], "kpod") == 0)
        return be_kpod(argv);
    if (argc > 1 && strcmp(argv[1], "image-pull") == 0)
        return image_pull_main(argc, argv);
    if (argc > 1) /* one test by name */
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, pod_world_make, pod_world_unmake);
}
