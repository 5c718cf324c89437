/* bench_plans.c - what `kctl plan`, `kctl rebalance` and `kctl why` ask of the
 * leader: the planner, and the verdicts of all nodes, on a cluster of 10,000
 * nodes and 100,000 pods. One core, no network, no disk. Meanwhile a leader
 * does nothing else. */
#include "base/random.h"
#include "master/planner.h"
#include "test/bench/figure.h"
#include "test/bench/samples.h"
#include "test/unit/master_commands.h"

#include <assert.h>
#include <stdio.h>

enum { NODES = 10000, PODS = 100000, APPS = 100, WAITING = 1000, TURNS = 5 };
enum { NODE_MILLI = 32000 };

/* Dense ones: a thousand pods on each, and next to nothing left. */
enum { DENSE_NODES = 250, DENSE_MILLI = 20, DENSE_LEFT_MILLI = 100 };

struct world {
    struct cluster *cluster;
    struct placer placer;
};

/* ---- the cluster ---- */

static void register_node(struct cluster *cluster, unsigned number)
{
    const struct wanted capacity = {NODE_MILLI, UINT64_C(128) << 30, 0, 0};

    assert(do_register_one_of_many(cluster, number, capacity).error.code == 0);
}

static void create_pod(struct world *world, unsigned app, uint32_t cpu_milli,
                       uint64_t node_id)
{
    struct create create = {
        .want = {cpu_milli, (uint64_t)cpu_milli << 22, 0, 0},
        .node_id = node_id};
    char name[16];

    snprintf(name, sizeof name, "app%u", app);
    create.app = name;
    assert(do_create(world->cluster, create).error.code == 0);
    placer_refresh(&world->placer);
}

/* Services of sixteen sizes; every second pod is where the scheduler puts it,
 * every other anywhere: as after long coming and going. Some are too large for
 * any node, and wait. */
static void create_pods(struct world *world)
{
    struct random random = {11};

    for (unsigned i = 0; i < PODS; i++) {
        unsigned app = (unsigned)random_below(&random, APPS);
        uint32_t cpu_milli = 250 * (1 + app % 16);
        const struct placement_request request = {
            .want = {{cpu_milli, (uint64_t)cpu_milli << 22, 0, 0}}, .node = ""};

        create_pod(world, app, cpu_milli,
                   i % 2 ? placement_choose(world->placer.view, &request)
                         : random_below(&random, NODES) + 1);
    }
    for (unsigned i = 0; i < WAITING; i++)
        create_pod(world, APPS + i % 10, NODE_MILLI + 1000 * (1 + i % 10), 0);
}

/* A thousand pods a node, of many sizes. */
static void create_dense_pods(struct world *world)
{
    struct random random = {12};

    for (uint64_t node_id = 1; node_id <= DENSE_NODES; node_id++) {
        uint64_t left_milli = NODE_MILLI;

        while (left_milli > DENSE_LEFT_MILLI) {
            uint32_t cpu_milli =
                DENSE_MILLI + (uint32_t)random_below(&random, DENSE_MILLI);

            create_pod(world, cpu_milli, cpu_milli, node_id);
            left_milli -= cpu_milli;
        }
    }
}

static void world_init(struct world *world, unsigned nodes,
                       void (*fill)(struct world *world))
{
    world->cluster = cluster_new();
    for (unsigned i = 1; i <= nodes; i++)
        register_node(world->cluster, i);
    placer_init(&world->placer, world->cluster);
    placer_refresh(&world->placer);
    fill(world);
}

static void world_fini(struct world *world)
{
    placer_fini(&world->placer);
    cluster_free(world->cluster);
}

/* ---- the plans ---- */

static const struct node *node_of(const struct plan *plan)
{
    return nodes_find(&plan->cluster->nodes, NODES / 2);
}

static void schedule(struct plan *plan)
{
    Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__Resources want = KONTOR__V1__RESOURCES__INIT;

    want.cpu_milli = 2000;
    want.memory_bytes = UINT64_C(4) << 30;
    spec.resources = &want;
    plan_schedule(
        plan, &(struct plan_wanted){.spec = &spec, .pods = 1000, .number = 1});
    assert(plan->fates[PLAN_PLACED] == 1000);
}

/* One on each node, if it can be. */
static void keep_off(struct plan *plan)
{
    static char app[] = "web";
    char *anti[] = {app};
    Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__Resources want = KONTOR__V1__RESOURCES__INIT;

    want.cpu_milli = 100;
    spec.resources = &want;
    spec.app = app;
    spec.anti = anti;
    spec.n_anti = ARRAY_LEN(anti);
    plan_schedule(plan, &(struct plan_wanted){.spec = &spec,
                                              .pods = PODS_PER_COMMAND_MAX,
                                              .number = 1});
    assert(plan->fates[PLAN_PLACED] > 0);
}

static void drain(struct plan *plan)
{
    plan_drain(plan, node_of(plan), false);
    assert(plan->count > 0);
}

static void lose(struct plan *plan)
{
    plan_lose(plan, node_of(plan));
    assert(plan->count > 0);
}

static void add(struct plan *plan)
{
    plan_add(plan, &(struct plan_nodes){
                       .capacity = {{3 * NODE_MILLI, UINT64_C(1) << 40, 0, 0}},
                       .count = 100});
    assert(plan->fates[PLAN_PLACED] > 0 && plan->fates[PLAN_PENDING] > 0);
}

static void rebalance(struct plan *plan)
{
    plan_rebalance(plan, 10000);
    assert(plan->nodes_after <= plan->nodes_before);
}

static void even(struct plan *plan)
{
    plan_even(plan, 10000);
    assert(plan->count > 0);
}

static void report(const char *what, struct samples *samples, const char *note)
{
    uint64_t ns = samples_quantile(samples, 500);
    char ours[32];

    snprintf(ours, sizeof ours, "%.1f ms", (double)ns / 1e6);
    figure(what, ours, "<= 100 ms", ns <= 100000000, note);
    samples_fini(samples);
}

/* The copy, the plan, and the copy thrown away. */
static void measure(const struct world *world, const char *what,
                    void (*make)(struct plan *plan))
{
    struct samples samples = {0};
    size_t moved = 0;
    char note[48];

    for (int i = 0; i < TURNS; i++) {
        uint64_t began = spent_ns();
        struct plan plan;

        plan_init(&plan, &world->placer);
        make(&plan);
        moved = plan.count;
        plan_fini(&plan);
        samples_add(&samples, spent_ns() - began);
    }
    snprintf(note, sizeof note, "%zu pods", moved);
    report(what, &samples, note);
}

/* ---- why ---- */

/* What is told of the nodes, the closest first; of how many it is told whose
 * going would help. */
static size_t tell_why(struct world *world, const struct pod *pod)
{
    struct placement_request request = placer_request(pod->facts.spec->message);
    char summary[PLACEMENT_SUMMARY_MAX], text[PLACEMENT_RULE_MAX];
    uint64_t looks_left = WHY_LOOKS_MAX;
    size_t count, helped = 0;
    struct placement_verdict *verdicts =
        placer_why(&world->placer, pod, &count, summary);

    for (size_t i = 0; i < count && i < WHY_VERDICTS_MAX; i++) {
        placement_rule_text(&request, &verdicts[i], text);
        placement_remedy_text(world->placer.view, &request, &verdicts[i],
                              &looks_left, text);
        helped += text[0] != '\0';
    }
    free(verdicts);
    return helped;
}

/* Of one that could have the room of others on many nodes. */
static void measure_why(struct world *world, const char *what,
                        uint32_t cpu_milli)
{
    struct create create = {.app = "urgent",
                            .want = {cpu_milli, UINT64_C(1) << 30, 0, 0},
                            .priority = 1};
    struct cluster_result created = do_create(world->cluster, create);
    struct samples samples = {0};
    size_t helped = 0;
    char note[48];

    placer_refresh(&world->placer);
    for (int i = 0; i < TURNS; i++) {
        uint64_t began = spent_ns();

        helped = tell_why(world,
                          pods_find(&world->cluster->pods, created.subject_id));
        samples_add(&samples, spent_ns() - began);
    }
    snprintf(note, sizeof note, "room could be made on %zu nodes", helped);
    report(what, &samples, note);
}

int main(void)
{
    struct world world;

    printf("\n  What would happen to %d nodes and %d pods, and why: the time "
           "in which\n"
           "  the leader does nothing else; the median of %d.\n\n",
           NODES, PODS, TURNS);
    figure_head();
    world_init(&world, NODES, create_pods);
    measure(&world, "plan schedule --replicas 1000", schedule);
    measure(&world, "plan schedule --replicas 10000 --anti", keep_off);
    measure(&world, "plan drain", drain);
    measure(&world, "plan lose", lose);
    measure(&world, "plan add --count 100", add);
    measure(&world, "rebalance --dry-run", rebalance);
    measure(&world, "rebalance --even --dry-run", even);
    measure_why(&world, "why", NODE_MILLI);
    world_fini(&world);
    world_init(&world, DENSE_NODES, create_dense_pods);
    measure(&world, "rebalance, 250 nodes of 1,000 pods", rebalance);
    measure_why(&world, "why, 250 nodes of 1,000 pods", NODE_MILLI / 2);
    world_fini(&world);
    return 0;
}
