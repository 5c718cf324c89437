/* test_disk.c - a pod's disk: a limit that holds, that nobody else feels, and
 * that leaves nothing behind. Whole pods on real parts, as root. */
#include "pod_world.h"

#include "node/disk/disk.h"
#include "node/disk/loop.h"
#include "node/pod/folder.h"

#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <linux/blkpg.h>
#include <linux/loop.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#define RUNNING KONTOR__V1__POD_PHASE__POD_RUNNING
#define STOPPED KONTOR__V1__POD_PHASE__POD_STOPPED
#define FAILED KONTOR__V1__POD_PHASE__POD_FAILED
#define SUCCEEDED KONTOR__V1__POD_PHASE__POD_SUCCEEDED

enum { MIB = 1 << 20 };

static Kontor__V1__PodOrder *order_disk(const struct pod_world *world,
                                        uint64_t id, uint64_t disk_bytes,
                                        const char *script)
{
    Kontor__V1__PodOrder *order = pod_world_order(world, id, script);

    order->spec->resources = memory_new(sizeof *order->spec->resources);
    kontor__v1__resources__init(order->spec->resources);
    order->spec->resources->disk_bytes = disk_bytes;
    return order;
}

static void free_order(Kontor__V1__PodOrder *order)
{
    kontor__v1__pod_order__free_unpacked(order, NULL);
}

/* Loop devices over files of this world's. */
static unsigned loops(const struct pod_world *world)
{
    unsigned count = 0;
    char line[512];
    glob_t found;

    if (glob("/sys/block/loop*/loop/backing_file", 0, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        FILE *file = fopen(found.gl_pathv[i], "re");

        if (file && fgets(line, sizeof line, file))
            count += strstr(line, world->pods) != NULL;
        if (file)
            fclose(file);
    }
    globfree(&found);
    return count;
}

/* Written until there is no more room, then counted; the log, which has room
 * of its own, says so. */
static void a_disk_is_as_large_as_asked(void **state)
{
    static const uint64_t sizes[] = {32 * MIB, 128 * MIB, 512 * MIB};
    struct pod_world *world = *state;

    for (uint64_t i = 0; i < ARRAY_LEN(sizes); i++) {
        Kontor__V1__PodOrder *order =
            order_disk(world, i + 1, sizes[i],
                       "cat /dev/zero >/fill; echo full; stat -c %s /fill");
        unsigned long long got = 0;
        char *log;

        pod_world_create(world, order);
        pod_world_await(world, i + 1, SUCCEEDED);
        log = pod_world_log(world, i + 1);
        assert_non_null(strstr(log, "No space left on device"));
        assert_non_null(strstr(log, "full\n"));
        assert_int_equal(sscanf(strstr(log, "full\n") + 5, "%llu", &got), 1);
        print_message("disk of %" PRIu64 " MiB: %.1f %% can be written\n",
                      sizes[i] / MIB, (double)got * 100 / (double)sizes[i]);
        /* Of a small disk, tables and journal are more of it. */
        assert_in_range(got, sizes[i] / 100 * (i == 0 ? 90 : 95), sizes[i]);
        free(log);
        free_order(order);
    }
}

/* More output than both log files hold, on a full disk: the newest is there,
 * the pod was never held up. */
static void a_full_disk_does_not_silence_its_pod(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order =
        order_disk(world, 1, 8 * MIB,
                   "cat /dev/zero >/fill; i=0; while [ $i -lt 40000 ]; do "
                   "echo line $i of many; i=$((i+1)); done; echo end");
    char *log;

    pod_world_create(world, order);
    pod_world_await(world, 1, SUCCEEDED);
    log = pod_world_log(world, 1);
    assert_non_null(strstr(log, "line 39999 of many\nend\n"));
    assert_null(strstr(log, "line 0 of many"));
    assert_in_range(strlen(log), 64 << 10, 256 << 10);
    free(log);
    free_order(order);
}

/* Its pod has ended; the device goes before the file. */
static void until_disk_is_gone(struct pod_world *world, uint64_t id)
{
    while (pod_world_has(world, id, DISK_IMAGE))
        uv_run(&world->loop, UV_RUN_ONCE);
}

static void others_feel_nothing(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *full = order_disk(
        world, 1, 8 * MIB, "cat /dev/zero >/fill; echo > /x; sleep 1000");
    Kontor__V1__PodOrder *other = order_disk(
        world, 2, 8 * MIB, "head -c 4194304 /dev/zero >/fill && echo written");
    Kontor__V1__PodOrder *none =
        pod_world_order(world, 3, "echo > /x && echo written");

    pod_world_create(world, full);
    pod_world_await(world, 1, RUNNING);
    pod_world_create(world, other);
    pod_world_await(world, 2, SUCCEEDED);
    pod_world_create(world, none);
    pod_world_await(world, 3, SUCCEEDED);
    until_disk_is_gone(world, 2);
    assert_int_equal(loops(world), 1);
    free_order(full);
    free_order(other);
    free_order(none);
}

/* There is no event for it: written by a process of nobody's here. */
static void await_log(const struct pod_world *world, uint64_t id,
                      const char *text)
{
    bool found = false;

    for (int ms = 0; !found; ms++) {
        char *log = pod_world_log(world, id);

        assert_true(ms < POD_WORLD_WAIT_MS);
        found = strcmp(log, text) == 0;
        free(log);
        if (!found)
            usleep(1000);
    }
}

/* Its supervisor was killed: what it wrote is there for the next run, and the
 * first device was gone before the second came. */
static void a_disk_outlives_a_supervisor(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order = order_disk(
        world, 1, 16 * MIB, "echo x >>/count; wc -l </count; sleep 1000");
    char *folder = memory_format("%s/1", world->pods);

    order->spec->restart = KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS;
    pod_world_create(world, order);
    pod_world_await(world, 1, RUNNING);
    assert_int_equal(loops(world), 1);
    await_log(world, 1, "1\n");
    /* As in any crash, what was never synced may be lost: an order to write
     * comes before the order to die. */
    sync();
    assert_int_equal(kill(pod_folder_lock_owner(folder), SIGKILL), 0);
    pod_world_await(world, 1, KONTOR__V1__POD_PHASE__POD_BACKOFF);
    pod_world_await(world, 1, RUNNING);
    assert_int_equal(loops(world), 1);
    await_log(world, 1, "1\n2\n");
    pod_world_delete(world, 1, 1);
    pod_world_await(world, 1, STOPPED);
    assert_int_equal(loops(world), 0);
    free(folder);
    free_order(order);
}

/* An ended pod keeps its output, not its disk. */
static void an_ended_pod_lets_its_disk_go(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order = order_disk(world, 1, 16 * MIB, "echo done");

    pod_world_create(world, order);
    pod_world_await(world, 1, SUCCEEDED);
    until_disk_is_gone(world, 1);
    assert_int_equal(loops(world), 0);
    assert_true(pod_world_has(world, 1, "log"));
    free_order(order);
}

static void what_cannot_be_is_refused(void **state)
{
    struct pod_world *world = *state;
    Kontor__V1__PodOrder *order = order_disk(world, 1, 4 * MIB - 1, "true");

    pod_world_create(world, order);
    pod_world_await(world, 1, FAILED);
    assert_non_null(strstr(world->last->reason, "at least 4Mi"));
    free_order(order);
    order = order_disk(world, 2, 4 * MIB, "true");
    pod_world_create(world, order);
    pod_world_await(world, 2, SUCCEEDED);
    free_order(order);
}

/* 8 MiB of a loop device's 9, as if a table had said so. */
static void add_partition(int loop)
{
    struct blkpg_partition partition = {
        .start = MIB, .length = 8 * MIB, .pno = 1};
    struct blkpg_ioctl_arg arg = {.op = BLKPG_ADD_PARTITION,
                                  .datalen = sizeof partition,
                                  .data = &partition};

    assert_int_equal(ioctl(loop, BLKPG, &arg), 0);
}

static dev_t device_of(const char *name, const char *part)
{
    char path[96];
    unsigned numbers[2] = {0, 0};

    snprintf(path, sizeof path, "/sys/class/block/%s%s/dev", name, part);
    FILE *file = fopen(path, "re");
    if (!file || fscanf(file, "%u:%u", &numbers[0], &numbers[1]) != 2)
        fail_msg("%s: cannot be read", path);
    fclose(file);
    return makedev(numbers[0], numbers[1]);
}

static void a_partition_is_limited_with_its_disk(void **state)
{
    int image = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char path[LOOP_PATH_MAX];
    const char *name = path + strlen("/dev/");
    struct error why;
    dev_t whole;
    int loop;

    (void)state;
    assert_int_equal(ftruncate(image, 9 * MIB), 0);
    assert_int_equal(loop_attach(image, LO_FLAGS_PARTSCAN, path, &loop, &why),
                     0);
    add_partition(loop);
    assert_int_equal(disk_whole(device_of(name, "p1"), &whole, &why), 0);
    assert_int_equal(whole, device_of(name, ""));
    assert_int_equal(disk_whole(whole, &whole, &why), 0);
    assert_int_equal(whole, device_of(name, ""));
    close(loop);
    close(image);
    assert_int_equal(disk_device("/proc", &whole, &why),
                     ERROR_FAILED_PRECONDITION);
}

/* What a pod is told that it took, in seconds. */
static double seconds_of(struct pod_world *world, uint64_t id)
{
    char *log = pod_world_log(world, id);
    double began, ended;

    if (sscanf(log, "%lf %*f\n%lf", &began, &ended) != 2)
        fail_msg("it says: %s", log);
    free(log);
    return ended - began;
}

/* On the node's file system and on a disk of its own, past the page cache, two
 * programs at once: together no more than was asked for. */
static void io_is_limited(void **state)
{
    static const struct {
        uint64_t disk_bytes;
        const char *what;
    } ways[] = {
        {0, "dd if=/dev/zero of=/$i bs=256k count=16 oflag=direct"},
        {0, "dd of=/dev/null if=/$i bs=256k count=16 iflag=direct"},
        {64 * MIB, "dd if=/dev/zero of=/$i bs=256k count=16 oflag=direct"},
        {64 * MIB, "dd of=/dev/null if=/$i bs=256k count=16 iflag=direct"},
        {64 * MIB, "dd if=/dev/zero of=/$i bs=256k count=16 conv=fsync"},
    };
    struct pod_world *world = *state;
    dev_t device;
    struct error why;

    if (disk_device(world->pods, &device, &why) != 0)
        skip();
    for (uint64_t i = 0; i < ARRAY_LEN(ways); i++) {
        char *script = memory_format(
            "for i in 1 2; do head -c 4194304 /dev/zero >/$i; done; sync; "
            "sleep 0.2; cat /proc/uptime; for i in 1 2; do %s 2>/dev/null & "
            "done; wait; cat /proc/uptime",
            ways[i].what);
        Kontor__V1__PodOrder *order =
            order_disk(world, i + 1, ways[i].disk_bytes, script);
        double seconds;

        order->spec->io_bytes = 8 * MIB;
        pod_world_create(world, order);
        pod_world_await(world, i + 1, SUCCEEDED);
        seconds = seconds_of(world, i + 1);
        print_message("8 MiB at 8 MiB/s: %.2f s (%s, %s)\n", seconds,
                      ways[i].disk_bytes ? "its own disk" : "the node's",
                      ways[i].what);
        assert_true(seconds > 0.9 && seconds < 1.3);
        free(script);
        free_order(order);
    }
}

/* The logs' share: a part of the disk, between a least and the node's own. */
static void logs_have_their_share(void **state)
{
    static const struct {
        uint64_t disk, most, limit;
    } shares[] = {
        {0, 10 * MIB, 10 * MIB},           {4 * MIB, 10 * MIB, 128 << 10},
        {256 * MIB, 10 * MIB, MIB},        {100ull << 30, 10 * MIB, 10 * MIB},
        {256 * MIB, 300 << 10, 300 << 10},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(shares); i++)
        assert_int_equal(disk_log_limit(shares[i].disk, shares[i].most),
                         shares[i].limit);
}

#define pod_test(function) \
    cmocka_unit_test_setup_teardown(function, pod_world_open, pod_world_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logs_have_their_share),
        pod_test(a_disk_is_as_large_as_asked),
        pod_test(a_full_disk_does_not_silence_its_pod),
        pod_test(others_feel_nothing),
        pod_test(a_disk_outlives_a_supervisor),
        pod_test(an_ended_pod_lets_its_disk_go),
        pod_test(what_cannot_be_is_refused),
        pod_test(io_is_limited),
        cmocka_unit_test(a_partition_is_limited_with_its_disk),
    };

    if (argc > 1 && strcmp(argv[1], "image-pull") == 0)
        return image_pull_main(argc, argv);
    if (argc > 1) /* one test by name */
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, pod_world_make, pod_world_unmake);
}
