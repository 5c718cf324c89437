/* bench_placement.c - the pure placement engine: how fast it places, and how
 * well it packs. One core, no network, no disk.
 *
 *   bench_placement [FOLDER]
 *
 * FOLDER has the traces (see workload.h); without one a seeded generator of
 * similar shapes takes their place, and packing figures say little. */
#include "base/clock.h"
#include "base/lang.h"
#include "base/memory.h"
#include "master/placement/placement.h"
#include "master/placement/preempt.h"
#include "master/placement/rebalance.h"
#include "test/bench/figure.h"
#include "test/bench/queue.h"
#include "test/bench/samples.h"
#include "test/bench/unlike.h"
#include "test/bench/workload.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define GI(n) ((uint64_t)(n) << 30)
#define MI(n) ((uint64_t)(n) << 20)

/* ---- a cluster to measure ---- */

struct arena {
    struct placement *placement;
    struct random random;
    struct resources shapes[100];
    struct placement_hold **placed; /* owned */
    size_t placed_count;
    struct resources total;
    struct resources used;
};

/* A hundred shapes of services, the small ones more common; `scale` divides
 * them. */
static void arena_shapes(struct arena *arena, uint64_t scale)
{
    static const uint64_t cpus[] = {500, 1000, 250, 2000, 4000, 8000};

    for (size_t i = 0; i < ARRAY_LEN(arena->shapes); i++) {
        uint64_t cpu = cpus[random_below(&arena->random, ARRAY_LEN(cpus))];
        uint64_t memory = cpu * (1 + random_below(&arena->random, 6));

        arena->shapes[i] = (struct resources){
            {cpu / scale, MI(memory) / scale,
             MI(random_below(&arena->random, 3) * cpu) / scale,
             random_below(&arena->random, 2) * cpu * 20000 / scale}};
    }
}

static struct arena arena_new(size_t nodes, size_t pods, uint64_t scale)
{
    static const struct resources capacities[] = {
        {{32000, GI(128), GI(400), UINT64_C(10000000000)}},
        {{64000, GI(256), GI(800), UINT64_C(10000000000)}},
        {{96000, GI(512), GI(800), UINT64_C(25000000000)}},
    };
    struct arena arena = {.placement = placement_new(), .random = {7}};

    arena_shapes(&arena, scale);
    arena.placed = memory_array(pods + 1, sizeof(struct placement_hold *));
    for (size_t i = 0; i < nodes; i++) {
        struct placement_node node = {
            .id = i + 1,
            .name = "",
            .capacity =
                capacities[random_below(&arena.random, ARRAY_LEN(capacities))],
        };

        node.free = node.capacity;
        resources_add(&arena.total, &node.capacity);
        placement_set(arena.placement, &node);
    }
    return arena;
}

static void arena_fini(struct arena *arena)
{
    while (arena->placed_count > 0)
        placement_unhold(arena->placement,
                         arena->placed[--arena->placed_count]);
    placement_free(arena->placement);
    free(arena->placed);
}

static bool arena_place(struct arena *arena)
{
    size_t shape = random_below(&arena->random, ARRAY_LEN(arena->shapes));
    struct placement_request request = {.want = arena->shapes[shape],
                                        .node = ""};
    uint64_t id = placement_choose(arena->placement, &request);

    if (id == 0)
        return false;
    resources_add(&arena->used, &request.want);
    arena->placed[arena->placed_count++] =
        placement_hold(arena->placement, id, &request);
    return true;
}

static void arena_take_one(struct arena *arena)
{
    size_t at = random_below(&arena->random, arena->placed_count);

    placement_unhold(arena->placement, arena->placed[at]);
    arena->placed[at] = arena->placed[--arena->placed_count];
}

/* So much of the resource that there is least of has been given out. */
static bool arena_fuller_than(const struct arena *arena, unsigned percent)
{
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        if (arena->used.amount[i] / percent >= arena->total.amount[i] / 100)
            return true;
    }
    return false;
}

/* ---- how fast ---- */

static void measure_churn(size_t nodes, size_t target)
{
    enum { ROUNDS = 300000, PODS_A_NODE_MAX = 400 };
    struct arena arena = arena_new(nodes, nodes * PODS_A_NODE_MAX, 1);
    struct samples samples = {0};
    char what[64], ours[32], goal[32];
    uint64_t began, spent;

    while (!arena_fuller_than(&arena, 80) && arena_place(&arena))
        ;
    began = spent_ns();
    for (int i = 0; i < ROUNDS; i++) {
        arena_take_one(&arena);
        arena_place(&arena);
    }
    spent = spent_ns() - began;
    for (int i = 0; i < ROUNDS; i++) {
        arena_take_one(&arena);
        began = clock_monotonic_ns();
        arena_place(&arena);
        samples_add(&samples, clock_monotonic_ns() - began);
    }
    snprintf(what, sizeof what, "placements/s, %zu nodes 80 %% full, churn",
             nodes);
    snprintf(ours, sizeof ours, "%" PRIu64 " /s",
             ROUNDS * UINT64_C(1000000000) / spent);
    snprintf(goal, sizeof goal, ">= %zu /s", target);
    figure(what, ours, goal, ROUNDS * UINT64_C(1000000000) / spent >= target,
           "Kubernetes 286, Nomad 3750, Goedel 5000 /s, whole");
    snprintf(ours, sizeof ours, "%.1f us",
             (double)samples_quantile(&samples, 990) / 1e3);
    figure("  the same, p99", ours, nodes <= 10000 ? "<= 10 us" : "",
           samples_quantile(&samples, 990) <= 10000, "");
    samples_fini(&samples);
    arena_fini(&arena);
}

static void measure_filling(void)
{
    enum { PODS = 1000000, PART = 100000 };
    struct arena arena = arena_new(10000, PODS, 5);
    uint64_t first = 0, last = 0;
    char ours[32];

    for (int part = 0; part < PODS / PART; part++) {
        uint64_t began = spent_ns();

        for (int i = 0; i < PART; i++) {
            if (!arena_place(&arena)) {
                printf("  the cluster is full after %zu pods\n",
                       arena.placed_count);
                exit(EXIT_FAILURE);
            }
        }
        last = spent_ns() - began;
        if (part == 0)
            first = last;
    }
    snprintf(ours, sizeof ours, "%.1f %%",
             100.0 * ((double)last / (double)first - 1));
    figure("a million pods, slowdown first to last tenth", ours, "<= 5 %",
           last * 100 <= first * 105, "");
    arena_fini(&arena);
}

/* ---- rules ---- */

/* Like nodes in ten zones; or each with a label of its own, too. */
static struct placement *labelled_nodes(size_t count, bool unlike)
{
    struct placement *placement = placement_new();
    static char names[5000][8];

    for (size_t i = 0; i < count; i++) {
        Kontor__V1__Label zone = KONTOR__V1__LABEL__INIT;
        Kontor__V1__Label own = KONTOR__V1__LABEL__INIT;
        Kontor__V1__Label *labels[] = {&zone, &own};
        char key[] = "zone", value[8], own_key[] = "hostname";
        struct placement_node node = {
            .id = i + 1,
            .name = names[i],
            .labels = {labels, unlike ? 2 : 1, NULL, 0},
            .capacity = {{64000, GI(256), GI(800), UINT64_C(10000000000)}},
        };

        snprintf(names[i], sizeof names[i], "n%zu", i + 1);
        snprintf(value, sizeof value, "z%zu", i % 10);
        zone.key = key;
        zone.value = value;
        own.key = own_key;
        own.value = names[i];
        node.free = node.capacity;
        placement_set(placement, &node);
    }
    return placement;
}

/* placement_place_all(), or each by itself. */
typedef void place_many(struct placement *placement,
                        const struct placement_request *requests, size_t count,
                        struct placement_hold **holds);

static void place_each(struct placement *placement,
                       const struct placement_request *requests, size_t count,
                       struct placement_hold **holds)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t id = placement_choose(placement, &requests[i]);

        if (id == 0)
            break;
        holds[i] = placement_hold(placement, id, &requests[i]);
    }
}

/* Pods of one app until it has one on every node, and what that took. */
static void measure_rule(const char *what, const Kontor__V1__PodSpec *spec,
                         bool unlike, place_many *place)
{
    enum { NODES = 5000 };
    struct placement *placement = labelled_nodes(NODES, unlike);
    struct placement_hold **holds = memory_array(NODES, sizeof(void *));
    struct placement_request *requests = memory_array(NODES, sizeof *requests);
    uint64_t began, rate;
    char ours[32];

    for (int i = 0; i < NODES; i++)
        requests[i] = (struct placement_request){
            .want = {{500, GI(1), 0, 0}}, .node = "", .spec = spec};
    began = spent_ns();
    place(placement, requests, NODES, holds);
    rate = NODES * UINT64_C(1000000000) / (spent_ns() - began);
    snprintf(ours, sizeof ours, "%" PRIu64 " /s", rate);
    figure(what, ours, ">= 20000 /s", holds[NODES - 1] && rate >= 20000,
           "Kubernetes' CI: 24-460 /s");
    for (int i = 0; i < NODES; i++)
        placement_unhold(placement, holds[i]);
    free(requests);
    free(holds);
    placement_free(placement);
}

static void measure_rules(void)
{
    Kontor__V1__PodSpec anti = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__PodSpec host = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__PodSpec zone = KONTOR__V1__POD_SPEC__INIT;
    char web[] = "web", on_host[] = "host", on_zone[] = "zone";
    char *apps[] = {web};

    anti.app = host.app = zone.app = web;
    anti.anti = apps;
    anti.n_anti = 1;
    host.spread = on_host;
    zone.spread = on_zone;
    measure_rule("anti-affinity, 5000 pods on 5000 nodes", &anti, false,
                 place_each);
    measure_rule("  the same, asked for at once", &anti, false,
                 placement_place_all);
    measure_rule("spread over 5000 nodes", &host, false, place_each);
    measure_rule("  the same, asked for at once", &host, false,
                 placement_place_all);
    measure_rule("spread over 10 zones of 5000 nodes", &zone, false,
                 place_each);
    measure_rule("  the same, of 5000 unlike nodes", &zone, true, place_each);
}

static void measure_gang(void)
{
    enum { PODS = 5000 };
    struct placement *placement = labelled_nodes(5000, false);
    struct placement_request *requests = memory_array(PODS, sizeof *requests);
    struct placement_hold **holds = memory_array(PODS, sizeof(void *));
    uint64_t began, ns;
    char ours[32];
    size_t stuck;
    bool done;

    for (int i = 0; i < PODS; i++)
        requests[i] = (struct placement_request){
            .want = {{16000, GI(32), 0, 0}}, .node = ""};
    began = spent_ns();
    done = placement_place_gang(placement, requests, PODS, holds, &stuck);
    ns = spent_ns() - began;
    snprintf(ours, sizeof ours, "%.1f ms", (double)ns / 1e6);
    figure("gang of 5000", ours, "<= 100 ms", done && ns <= 100000000, "");
    for (int i = 0; i < PODS; i++)
        placement_unhold(placement, holds[i]);
    free(holds);
    free(requests);
    placement_free(placement);
}

/* A full cluster of low pods, and higher ones that come one after the other. */
static void measure_preemption(void)
{
    enum { NODES = 5000, PODS_A_NODE = 20, ROUNDS = 5000 };
    struct placement *placement = labelled_nodes(NODES, false);
    Kontor__V1__PodSpec low = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__PodSpec high = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__Resources message = KONTOR__V1__RESOURCES__INIT;
    struct placement_request request = {
        .want = {{3200, GI(12), 0, 0}}, .node = "", .spec = &high};
    char batch[] = "batch", ours[32];
    uint64_t began, rate;
    size_t done = 0;

    resources_tell(&request.want, &message);
    low.resources = high.resources = &message;
    low.app = high.app = batch;
    high.priority = 1;
    for (uint64_t id = 1; id <= NODES; id++) {
        struct placement_node full = {.id = id, .name = "n"};

        full.capacity = (struct resources){
            {64000, GI(256), GI(800), UINT64_C(10000000000)}};
        placement_set(placement, &full);
        for (uint64_t i = 0; i < PODS_A_NODE; i++)
            placement_put(placement, id, id * PODS_A_NODE + i, &low);
    }
    began = spent_ns();
    for (uint64_t i = 0; i < ROUNDS; i++) {
        struct placement_victims victims =
            placement_preempt(placement, &request);

        if (victims.count != 1)
            break;
        placement_take(placement, victims.node_id, victims.pod_ids[0]);
        placement_put(placement, victims.node_id, i, &high);
        free(victims.pod_ids);
        done++;
    }
    rate = ROUNDS * UINT64_C(1000000000) / (spent_ns() - began);
    snprintf(ours, sizeof ours, "%" PRIu64 " /s", rate);
    figure("preemption, 5000 full nodes", ours, ">= 5000 /s",
           done == ROUNDS && rate >= 5000, "");
    placement_free(placement);
}

static void measure_queue(void)
{
    for (int i = QUEUE_EMPTY; i < QUEUE_KINDS; i++) {
        struct samples samples = queue_measure((enum queue_of)i);
        uint64_t p50 = samples_quantile(&samples, 500);
        uint64_t p99 = samples_quantile(&samples, 990);
        char ours[32];

        snprintf(ours, sizeof ours, "%.2f/%.2f us", (double)p50 / 1e3,
                 (double)p99 / 1e3);
        figure(queue_told[i], ours, "<= 1.00/2.00 us",
               p50 <= 1000 && p99 <= 2000, i == QUEUE_EMPTY ? "p50/p99" : "");
        samples_fini(&samples);
    }
}

/* ---- how well it packs ---- */

/* The trace in batches onto as many like nodes as it takes. */
static size_t nodes_used(const struct workload *trace, size_t batch)
{
    struct placement *placement = placement_new();
    struct placement_request *requests = memory_array(batch, sizeof *requests);
    struct placement_hold **holds =
        memory_array(trace->want_count, sizeof(void *));
    bool *used = memory_array(trace->want_count + 2, sizeof *used);
    size_t count = 0;

    for (uint64_t id = 1; id <= trace->want_count; id++) {
        struct placement_node node = {.id = id, .name = ""};

        node.capacity = node.free = trace->nodes[0];
        placement_set(placement, &node);
    }
    for (size_t i = 0; i < trace->want_count; i += batch) {
        size_t n =
            trace->want_count - i < batch ? trace->want_count - i : batch;

        for (size_t k = 0; k < n; k++)
            requests[k] = (struct placement_request){
                .want = trace->wants[i + k], .node = ""};
        placement_place_all(placement, requests, n, &holds[i]);
    }
    for (size_t i = 0; i < trace->want_count; i++) {
        count += !used[placement_hold_node(holds[i])];
        used[placement_hold_node(holds[i])] = true;
        placement_unhold(placement, holds[i]);
    }
    free(used);
    free(holds);
    free(requests);
    placement_free(placement);
    return count;
}

/* What the dimension that is asked for most needs at least. */
static uint64_t lower_bound(const struct workload *trace)
{
    struct resources sum = {{0}};
    uint64_t most = 0;

    for (size_t i = 0; i < trace->want_count; i++)
        resources_add(&sum, &trace->wants[i]);
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint64_t capacity = trace->nodes[0].amount[i];

        if ((sum.amount[i] + capacity - 1) / capacity > most)
            most = (sum.amount[i] + capacity - 1) / capacity;
    }
    return most;
}

/* A trace as it was placed in batches, its pods put where they were held. */
struct stage {
    struct placement *placement;
    size_t nodes;
    struct resources *free_now; /* these are owned */
    unsigned *pods;
    Kontor__V1__PodSpec *specs;
    Kontor__V1__Resources *messages;
};

static void stage_tell(struct stage *stage, const struct workload *trace,
                       uint64_t id)
{
    struct placement_node node = {.id = id,
                                  .name = "",
                                  .capacity = trace->nodes[0],
                                  .free = stage->free_now[id]};

    placement_set(stage->placement, &node);
}

static void stage_put(struct stage *stage, const struct workload *trace,
                      size_t i, uint64_t id)
{
    static char app[] = "dlrm";

    kontor__v1__pod_spec__init(&stage->specs[i]);
    kontor__v1__resources__init(&stage->messages[i]);
    resources_tell(&trace->wants[i], &stage->messages[i]);
    stage->specs[i].resources = &stage->messages[i];
    stage->specs[i].app = app;
    placement_put(stage->placement, id, i, &stage->specs[i]);
    stage->free_now[id] =
        resources_less(&stage->free_now[id], &trace->wants[i]);
    stage->pods[id]++;
    stage_tell(stage, trace, id);
}

static struct stage stage_new(const struct workload *trace, size_t nodes,
                              size_t batch)
{
    struct placement_hold **holds =
        memory_array(batch, sizeof(struct placement_hold *));
    struct placement_request *requests = memory_array(batch, sizeof *requests);
    struct stage stage = {
        .placement = placement_new(),
        .nodes = nodes,
        .free_now = memory_array(nodes + 1, sizeof(struct resources)),
        .pods = memory_array(nodes + 1, sizeof(unsigned)),
        .specs = memory_array(trace->want_count, sizeof *stage.specs),
        .messages = memory_array(trace->want_count, sizeof *stage.messages),
    };

    for (uint64_t id = 1; id <= nodes; id++) {
        stage.free_now[id] = trace->nodes[0];
        stage_tell(&stage, trace, id);
    }
    for (size_t i = 0, n; i < trace->want_count; i += n) {
        n = trace->want_count - i < batch ? trace->want_count - i : batch;
        for (size_t k = 0; k < n; k++)
            requests[k] = (struct placement_request){
                .want = trace->wants[i + k], .node = ""};
        placement_place_all(stage.placement, requests, n, holds);
        for (size_t k = 0; k < n; k++) {
            uint64_t id = placement_hold_node(holds[k]);

            placement_unhold(stage.placement, holds[k]);
            stage_put(&stage, trace, i + k, id);
        }
    }
    free(holds);
    free(requests);
    return stage;
}

static void stage_fini(struct stage *stage)
{
    placement_free(stage->placement);
    free(stage->free_now);
    free(stage->pods);
    free(stage->specs);
    free(stage->messages);
}

/* Carry out the moves with every amount checked, and count the nodes left. */
static size_t nodes_after(struct stage *stage, const struct workload *trace,
                          const struct placement_moves *moves)
{
    size_t used = 0;

    for (size_t i = 0; i < moves->count; i++) {
        const struct placement_move *move = &moves->moves[i];
        const struct resources *want = &trace->wants[move->pod_id];
        struct resources *to = &stage->free_now[move->to_id];

        if (!resources_fit(to, want)) {
            printf("  move %zu does not fit\n", i);
            exit(EXIT_FAILURE);
        }
        *to = resources_less(to, want);
        resources_add(&stage->free_now[move->from_id], want);
        stage->pods[move->to_id]++;
        stage->pods[move->from_id]--;
    }
    for (size_t i = 1; i <= stage->nodes; i++)
        used += stage->pods[i] > 0;
    return used;
}

/* On a cluster with a few nodes more than the trace took. */
static void measure_rebalance(const struct workload *trace, double bound,
                              bool real)
{
    enum { BATCH = 100, SPARE = 50 };
    struct stage stage =
        stage_new(trace, nodes_used(trace, BATCH) + SPARE, BATCH);
    uint64_t began = spent_ns();
    struct placement_moves moves = placement_rebalance(
        stage.placement, &(struct rebalance_limits){SIZE_MAX, UINT64_MAX});
    uint64_t ns = spent_ns() - began;
    double ratio = (double)nodes_after(&stage, trace, &moves) / bound;
    char ours[32], what[64];

    snprintf(ours, sizeof ours, "%.4f", ratio);
    snprintf(what, sizeof what, "  rebalance afterwards, %zu moves",
             moves.count);
    figure(what, ours, real ? "<= 1.01" : "", ratio <= 1.01,
           real ? "at once: first-fit decreasing 1.095, bin-centric 1.045"
                : "");
    snprintf(ours, sizeof ours, "%.2f s", (double)ns / 1e9);
    figure("  the time of that", ours, "<= 2 s", ns <= 2000000000, "");
    free(moves.moves);
    stage_fini(&stage);
}

static void measure_dlrm(const char *folder)
{
    static const size_t batches[] = {1, 100, 500};
    struct workload trace = workload_dlrm(folder);
    /* The exact bound of the trace is known to be more than the sum's. */
    double bound = folder ? 6920 : (double)lower_bound(&trace);

    for (size_t i = 0; i < ARRAY_LEN(batches); i++) {
        double ratio = (double)nodes_used(&trace, batches[i]) / bound;
        char what[64], ours[32];

        snprintf(what, sizeof what, "%s, nodes / bound, %zu at a time",
                 folder ? "DLRM" : "like DLRM", batches[i]);
        snprintf(ours, sizeof ours, "%.4f", ratio);
        figure(what, ours, folder ? "<= 1.06" : "", ratio <= 1.06,
               folder ? "Kubernetes, Nomad 1.114" : "");
    }
    measure_rebalance(&trace, bound, folder != NULL);
    workload_fini(&trace);
}

/* Requests drawn until one does not fit: the share of cpu given out. */
static double filled(const struct workload *trace, uint64_t seed)
{
    struct placement *placement = placement_new();
    struct random random = {seed};
    struct placement_hold *holds[WORKLOAD_MAX];
    uint64_t total = 0, used = 0;
    size_t count = 0;

    for (size_t i = 0; i < trace->node_count; i++) {
        struct placement_node node = {.id = i + 1, .name = ""};

        node.capacity = node.free = trace->nodes[i];
        total += node.capacity.amount[RESOURCE_CPU];
        placement_set(placement, &node);
    }
    while (count < WORKLOAD_MAX) {
        struct placement_request request = {
            .want = trace->wants[random_below(&random, trace->want_count)],
            .node = ""};
        uint64_t id = placement_choose(placement, &request);

        if (id == 0)
            break;
        used += request.want.amount[RESOURCE_CPU];
        holds[count++] = placement_hold(placement, id, &request);
    }
    while (count > 0)
        placement_unhold(placement, holds[--count]);
    placement_free(placement);
    return 100.0 * (double)used / (double)total;
}

static void measure_openb(const char *folder)
{
    enum { SEEDS = 20 };
    struct workload trace = workload_openb(folder);
    double sum = 0, least = 100;
    char ours[32];

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        double percent = filled(&trace, seed);

        sum += percent;
        if (percent < least)
            least = percent;
    }
    snprintf(ours, sizeof ours, "%.2f %%", sum / SEEDS);
    figure(folder ? "openb, cpu given out at the first misfit, mean"
                  : "like openb, cpu given out at the first misfit",
           ours, folder ? ">= 98.2 %" : "", sum / SEEDS >= 98.2,
           folder ? "MostAllocated 98.1 %, Nomad 98.2 %, LeastAllocated 22.4 %"
                  : "");
    snprintf(ours, sizeof ours, "%.2f %%", least);
    figure("  the same, least of 20 seeds", ours, "", true, "");
    workload_fini(&trace);
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 && argv[1][0] ? argv[1] : NULL;

    printf(
        "  The engine alone, on one core; requests from %s.\n"
        "  Peers' rates are their whole schedulers', from other machines.\n\n",
        folder ? folder : "a seeded generator");
    figure_head();
    measure_filling();
    measure_churn(10000, 500000);
    measure_churn(100000, 100000);
    measure_rules();
    measure_gang();
    measure_preemption();
    unlike_measure();
    measure_queue();
    measure_dlrm(folder);
    measure_openb(folder);
    return 0;
}
