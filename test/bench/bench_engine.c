/* bench_engine.c - a node's engine by itself, without masters: from an order
 * to a program that runs, in a pod with network, control group and system call
 * filter, and from the order to stop until nothing is left; one pod after the
 * other, then many at once. As root.
 *
 *   bench_engine [COUNT [TOGETHER]] */
#include "base/clock.h"
#include "test/bench/samples.h"
#include "test/unit/pod_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 200, TOGETHER = 100 };

/* What each pod asks for: all that a group or an interface can hold it to. */
enum { CPU_MILLI = 100, MEMORY_BYTES = 32 << 20, NET_BITS = 100000000 };

#define PHASE(name) KONTOR__V1__POD_PHASE__POD_##name

/* Of the pods that are there so many run. */
struct tally {
    size_t pods;
    size_t running;
};

static void count(void *data, const Kontor__V1__PodStatus *status)
{
    struct tally *tally = data;

    tally->pods++;
    tally->running += status->phase == PHASE(RUNNING);
}

static size_t wanted;

static bool all_run(struct pod_world *world)
{
    struct tally tally = {0};

    pod_engine_each(world->engine, count, &tally);
    return tally.running == wanted;
}

static bool all_gone(struct pod_world *world)
{
    struct tally tally = {0};

    pod_engine_each(world->engine, count, &tally);
    return tally.pods == 0;
}

/* What a master's calls come to, but for the disk, for which the making does
 * not wait. */
static void create(struct pod_world *world, uint64_t id)
{
    Kontor__V1__PodOrder *order = pod_world_order(world, id, "exec sleep 1000");
    Kontor__V1__Resources *resources = memory_new(sizeof *resources);
    struct error why;

    kontor__v1__resources__init(resources);
    resources->cpu_milli = CPU_MILLI;
    resources->memory_bytes = MEMORY_BYTES;
    resources->net_bits = NET_BITS;
    order->spec->resources = resources;
    if (pod_engine_create(world->engine, order, &why) != 0) {
        fprintf(stderr, "bench_engine: %s\n", why.message);
        exit(1);
    }
    kontor__v1__pod_order__free_unpacked(order, NULL);
}

static void delete (struct pod_world *world, uint64_t id)
{
    struct error why;

    if (pod_engine_delete(world->engine, id, 1, &why) != 0) {
        fprintf(stderr, "bench_engine: %s\n", why.message);
        exit(1);
    }
}

/* So many pods made, and ended, together: how long each took. */
static void round_of(struct pod_world *world, uint64_t first, size_t pods,
                     struct samples *starts, struct samples *stops)
{
    uint64_t began_ns = clock_monotonic_ns();

    for (uint64_t id = first; id < first + pods; id++)
        create(world, id);
    wanted = pods;
    pod_world_await_that(world, all_run);
    samples_add(starts, clock_monotonic_ns() - began_ns);
    began_ns = clock_monotonic_ns();
    for (uint64_t id = first; id < first + pods; id++)
        delete (world, id);
    pod_world_await_that(world, all_gone);
    samples_add(stops, clock_monotonic_ns() - began_ns);
    world->seen[0] = '\0';
}

static void measure(struct pod_world *world, size_t pods, size_t together)
{
    struct samples starts = {0}, stops = {0}, all = {0}, none = {0};
    struct samples cold = {0};

    round_of(world, 1, 1, &cold, &cold); /* the image is looked up */
    for (uint64_t id = 2; id < pods + 2; id++)
        round_of(world, id, 1, &starts, &stops);
    samples_print(&starts, "engine, order to exec");
    samples_print(&stops, "engine, order to gone");
    for (uint64_t i = 0; together > 0 && i < 3; i++)
        round_of(world, pods + 2 + i * together, together, &all, &none);
    samples_print(&all, "engine, all at once, until they run");
    samples_print(&none, "engine, all at once, until they are gone");
    samples_fini(&cold);
    samples_fini(&starts);
    samples_fini(&stops);
    samples_fini(&all);
    samples_fini(&none);
}

int main(int argc, char **argv)
{
    size_t pods = argc > 1 ? strtoul(argv[1], NULL, 10) : COUNT;
    size_t together = argc > 2 ? strtoul(argv[2], NULL, 10) : TOGETHER;
    void *state;
    int failed;

    if (argc > 1 && strcmp(argv[1], "image-pull") == 0)
        return image_pull_main(argc, argv);
    setenv("UV_THREADPOOL_SIZE", "8", 0); /* as knode does */
    if (pod_world_make(&state) != 0)
        return 1;
    failed = pod_world_open(&state);
    if (!failed) {
        measure(state, pods, together);
        failed = pod_world_close(&state);
    }
    return pod_world_unmake(&state) != 0 || failed;
}
