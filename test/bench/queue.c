#include "test/bench/queue.h"

#include "base/clock.h"
#include "base/random.h"
#include "master/matcher.h"
#include "test/unit/master_commands.h"

#include <assert.h>
#include <stdio.h>

#define GI(n) ((uint64_t)(n) << 30)

enum { NODES = 250, PODS_A_NODE = 40, WAITING = 100000, ROUNDS = 200000 };

const char *const queue_told[QUEUE_KINDS] = {
    [QUEUE_EMPTY] = "a pod ends: its room is offered, nobody waits",
    [QUEUE_ALIKE] = "  to 100000 of one spec",
    [QUEUE_UNLIKE] = "  to 100000 of as many specs",
    [QUEUE_GANGS] = "  to 50000 gangs of two",
};

static const struct wanted capacity = {PODS_A_NODE * 1000, GI(PODS_A_NODE), 0,
                                       0};

static void fill(struct cluster *cluster)
{
    char name[16];

    for (uint64_t id = 1; id <= NODES; id++) {
        snprintf(name, sizeof name, "n%u", (unsigned)id);
        do_register(cluster, name, capacity);
        for (int i = 0; i < PODS_A_NODE; i++)
            do_create(cluster, (struct create){.want = {1000, GI(1), 0, 0},
                                               .node_id = id});
    }
}

/* More than one that ends gives back: of cpu, of memory, or of both. */
static struct wanted wanted_by(struct random *random)
{
    struct wanted want = {(uint32_t)random_below(random, 39000) + 1,
                          random_below(random, GI(39)) + 1, 0, 0};

    if (want.cpu_milli <= 1000 && want.memory_bytes <= GI(1))
        want.cpu_milli += 1000;
    return want;
}

static void enqueue(struct cluster *cluster, enum queue_of queue)
{
    static const uint64_t nowhere[] = {0, 0};
    struct random random = {5};

    for (size_t i = 0; i < WAITING && queue != QUEUE_EMPTY;
         i += queue == QUEUE_GANGS ? 2 : 1) {
        struct create create = {.want = {2000, GI(2), 0, 0}};

        if (queue != QUEUE_ALIKE)
            create.want = wanted_by(&random);
        if (queue == QUEUE_GANGS)
            do_create_many(cluster, create,
                           (struct nodes_chosen){.ids = nowhere, .count = 2},
                           true);
        else
            do_create(cluster, create);
    }
}

/* Until it has looked at all that have begun to wait. */
static void look(struct placer *placer)
{
    while (placer_step(placer))
        ;
}

/* Returns how long it looked. */
static uint64_t turn_over(struct cluster *cluster, struct placer *placer,
                          uint64_t pod_id, uint64_t node_id)
{
    struct create create = {.want = {1000, GI(1), 0, 0}};
    struct placement_request request;
    uint64_t took_ns;

    do_report(cluster, node_id, pod_id, 1,
              KONTOR__V1__POD_PHASE__POD_SUCCEEDED);
    placer_refresh(placer);
    took_ns = clock_monotonic_ns();
    placer_step(placer);
    took_ns = clock_monotonic_ns() - took_ns;
    request =
        placer_request(pods_find(&cluster->pods, pod_id)->facts.spec->message);
    create.node_id = placement_choose(placer->view, &request);
    assert(create.node_id == node_id);
    do_create(cluster, create);
    placer_refresh(placer);
    return took_ns;
}

struct samples queue_measure(enum queue_of queue)
{
    struct cluster *cluster = cluster_new();
    struct samples samples = {0};
    struct placer placer;
    struct random random = {7};
    uint64_t pod_ids[NODES];

    fill(cluster);
    for (uint64_t i = 0; i < NODES; i++)
        pod_ids[i] = i * PODS_A_NODE + 1;
    placer_init(&placer, cluster);
    placer_refresh(&placer);
    enqueue(cluster, queue);
    look(&placer);
    for (int i = 0; i < ROUNDS; i++) {
        size_t at = random_below(&random, NODES);
        uint64_t next = cluster->next_pod_id;

        samples_add(&samples, turn_over(cluster, &placer, pod_ids[at], at + 1));
        pod_ids[at] = next;
    }
    placer_fini(&placer);
    cluster_free(cluster);
    return samples;
}
