/* Who has to go: against every set of pods on every node, looked at in the
 * plainest way. */
#include "master/placement/plan.h"
#include "master/placement/preempt.h"

#include "base/lang.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NODES = 4, PODS_MAX = 10 };

struct pod {
    uint64_t id;
    Kontor__V1__PodSpec spec;
    Kontor__V1__Resources resources;
};

struct world {
    struct placement *placement;
    struct placement_node nodes[NODES];
    size_t pod_count; /* on each */
    struct pod pods[NODES][PODS_MAX];
};

/* What a world is drawn from. */
struct shape {
    size_t pods;    /* a node */
    uint64_t least; /* of an amount that a pod takes */
    uint64_t most;
    int dimensions; /* that matter */
    int32_t priorities;
};

static char web[] = "web";

static void pod_init(struct pod *pod, uint64_t id, struct resources want,
                     int32_t priority)
{
    pod->id = id;
    kontor__v1__pod_spec__init(&pod->spec);
    kontor__v1__resources__init(&pod->resources);
    resources_tell(&want, &pod->resources);
    pod->spec.resources = &pod->resources;
    pod->spec.app = web;
    pod->spec.priority = priority;
}

static struct resources draw(struct random *random, int dimensions,
                             uint64_t least, uint64_t most)
{
    struct resources some = {{0}};

    for (int i = 0; i < dimensions; i++)
        some.amount[i] = least + random_below(random, most - least + 1);
    return some;
}

/* A few of the pods must not run twice. */
static void node_init(struct world *world, size_t n, struct random *random,
                      const struct shape *shape)
{
    static const char *const names[] = {"n1", "n2", "n3", "n4"};
    struct placement_node *node = &world->nodes[n];

    *node = (struct placement_node){.id = n + 1, .name = names[n]};
    node->free = draw(random, shape->dimensions, 0, 2);
    node->capacity = node->free;
    for (size_t i = 0; i < shape->pods; i++) {
        struct pod *pod = &world->pods[n][i];
        struct resources want =
            draw(random, shape->dimensions, shape->least, shape->most);

        pod_init(pod, n * 100 + i, want,
                 (int32_t)random_below(random, (uint64_t)shape->priorities) -
                     1);
        if (random_below(random, 16) == 0)
            pod->spec.restart = KONTOR__V1__RESTART_POLICY__RESTART_NEVER;
        resources_add(&node->capacity, &want);
    }
    placement_set(world->placement, node);
    for (size_t i = 0; i < shape->pods; i++)
        placement_put(world->placement, n + 1, world->pods[n][i].id,
                      &world->pods[n][i].spec);
}

static void world_init(struct world *world, struct random *random,
                       const struct shape *shape)
{
    world->placement = placement_new();
    world->pod_count = shape->pods;
    for (size_t n = 0; n < NODES; n++)
        node_init(world, n, random, shape);
}

struct cost {
    int greatest, count, sum;
};

static bool cheaper(struct cost a, struct cost b)
{
    if (a.greatest != b.greatest)
        return a.greatest < b.greatest;
    if (a.count != b.count)
        return a.count < b.count;
    return a.sum < b.sum;
}

/* What a set of a node's pods costs; count 0: it does not make room. */
static struct cost cost_of(const struct world *world, size_t n, unsigned set,
                           const struct placement_request *request)
{
    struct resources room = world->nodes[n].free;
    struct cost cost = {-100, 0, 0};

    for (size_t i = 0; i < world->pod_count; i++) {
        const struct pod *pod = &world->pods[n][i];
        struct resources want = resources_of(&pod->resources);

        if (!(set >> i & 1))
            continue;
        if (pod->spec.priority >= request->spec->priority ||
            pod->spec.restart == KONTOR__V1__RESTART_POLICY__RESTART_NEVER)
            return (struct cost){0};
        resources_add(&room, &want);
        cost.count++;
        cost.sum += pod->spec.priority;
        if (pod->spec.priority > cost.greatest)
            cost.greatest = pod->spec.priority;
    }
    return resources_fit(&room, &request->want) ? cost : (struct cost){0};
}

static uint64_t slowly(const struct world *world,
                       const struct placement_request *request,
                       struct cost *best)
{
    uint64_t node_id = 0;

    for (size_t n = 0; n < NODES; n++) {
        for (unsigned set = 1; set < 1u << world->pod_count; set++) {
            struct cost cost = cost_of(world, n, set, request);

            if (cost.count == 0 || (node_id && !cheaper(cost, *best)))
                continue;
            *best = cost;
            node_id = world->nodes[n].id;
        }
    }
    return node_id;
}

static bool fits_somewhere(const struct world *world,
                           const struct placement_request *request)
{
    for (size_t n = 0; n < NODES; n++) {
        if (resources_fit(&world->nodes[n].free, &request->want))
            return true;
    }
    return false;
}

static unsigned set_of(const struct placement_victims *victims)
{
    unsigned set = 0;

    for (size_t k = 0; k < victims->count; k++)
        set |= 1u << (victims->pod_ids[k] - (victims->node_id - 1) * 100);
    return set;
}

/* Room is made, by lower ones, and by none that could be left out. */
static void expect_enough(const struct world *world,
                          const struct placement_victims *victims,
                          const struct placement_request *request)
{
    unsigned set = set_of(victims);
    size_t n = victims->node_id - 1;

    assert_int_not_equal(cost_of(world, n, set, request).count, 0);
    for (size_t i = 0; i < world->pod_count; i++) {
        if (set >> i & 1)
            assert_int_equal(cost_of(world, n, set & ~(1u << i), request).count,
                             0);
    }
}

/* How many pods had to go in the rounds of a shape. */
struct seen {
    int by_count[PREEMPT_EXACT_MAX + 2]; /* the last: more than that */
};

static void look(const struct world *world,
                 const struct placement_request *request, struct seen *seen)
{
    struct placement_victims victims =
        placement_preempt(world->placement, request);
    struct cost expected = {0};
    uint64_t node_id = slowly(world, request, &expected);

    if (node_id == 0) {
        assert_int_equal(victims.node_id, 0);
        return;
    }
    expect_enough(world, &victims, request);
    if (expected.count <= PREEMPT_EXACT_MAX) {
        struct cost cost =
            cost_of(world, node_id - 1, set_of(&victims), request);

        assert_int_equal(victims.node_id, node_id);
        assert_int_equal(cost.greatest, expected.greatest);
        assert_int_equal(cost.count, expected.count);
        assert_int_equal(cost.sum, expected.sum);
        seen->by_count[cost.count]++;
    } else {
        seen->by_count[PREEMPT_EXACT_MAX + 1]++;
    }
    free(victims.pod_ids);
}

static struct seen go_through(const struct shape *shape, uint64_t most,
                              int rounds)
{
    struct random random = {3};
    struct seen seen = {{0}};

    for (int round = 0; round < rounds; round++) {
        struct world world;
        struct pod asked;
        struct placement_request request = {
            .want = draw(&random, shape->dimensions, 0, most),
            .node = "",
            .spec = &asked.spec};

        world_init(&world, &random, shape);
        pod_init(&asked, 1000, request.want,
                 (int32_t)random_below(&random, (uint64_t)shape->priorities));
        if (!fits_somewhere(&world, &request))
            look(&world, &request, &seen);
        placement_free(world.placement);
    }
    return seen;
}

/* Small amounts, so that many pods are alike. */
static void agrees_with_brute_force(void **state)
{
    const struct shape shape = {6, 0, 4, 2, 4};
    struct seen seen = go_through(&shape, 9, 4000);

    (void)state;
    for (int i = 1; i <= PREEMPT_EXACT_MAX; i++)
        assert_true(seen.by_count[i] > 50);
}

/* None is like another, and several have to go, for all of four dimensions. */
static void agrees_where_pods_are_unlike(void **state)
{
    static const struct shape shapes[] = {
        {10, 0, 30, 4, 4},
        {10, 10, 30, 2, 1},
        {9, 0, 99, 3, 9},
    };
    struct seen all = {{0}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        struct seen seen = go_through(&shapes[i], 3 * shapes[i].most, 400);

        for (int k = 1; k <= PREEMPT_EXACT_MAX + 1; k++)
            all.by_count[k] += seen.by_count[k];
    }
    for (int k = 1; k <= PREEMPT_EXACT_MAX + 1; k++)
        assert_true(all.by_count[k] > 20);
}

/* Pods that are large in one dimension, on many nodes where one of each is
 * never quite enough: the search is cut short. */
static void no_more_is_tried_than_is_bearable(void **state)
{
    enum { MANY = 800, PODS = 32, LACKING = 160 };
    struct placement *placement = placement_new();
    struct pod *pods = calloc(MANY * PODS, sizeof *pods);
    struct random random = {1};
    struct pod asked;
    struct placement_request request = {
        .want = {{LACKING, LACKING, LACKING, LACKING}},
        .node = "",
        .spec = &asked.spec};
    struct resources freed = {{0}};
    struct placement_victims victims;

    (void)state;
    pod_init(&asked, 1, request.want, 1);
    for (uint64_t id = 1; id <= MANY; id++) {
        struct placement_node node = {
            .id = id, .name = "", .capacity = {{9999, 9999, 9999, 9999}}};

        placement_set(placement, &node);
        for (uint64_t i = 0; i < PODS; i++) {
            struct pod *pod = &pods[(id - 1) * PODS + i];
            struct resources want = draw(&random, RESOURCE_COUNT, 10, 19);

            want.amount[i % RESOURCE_COUNT] = 100;
            pod_init(pod, (id - 1) * PODS + i, want, 0);
            placement_put(placement, id, pod->id, &pod->spec);
        }
    }
    victims = placement_preempt(placement, &request);
    assert_int_not_equal(victims.node_id, 0);
    assert_in_range(victims.looks, PREEMPT_STEPS_MAX,
                    PREEMPT_STEPS_MAX + MANY * (PODS + 1));
    for (size_t i = 0; i < victims.count; i++) {
        struct resources want =
            resources_of(&pods[victims.pod_ids[i]].resources);

        resources_add(&freed, &want);
    }
    assert_true(resources_fit(&freed, &request.want));
    free(victims.pod_ids);
    placement_free(placement);
    free(pods);
}

/* More than are tried out: still none that could be spared. */
static void no_more_go_than_needed(void **state)
{
    struct placement *placement = placement_new();
    struct placement_node node = {
        .id = 1, .name = "n1", .capacity = {{100, 100, 0, 0}}};
    struct pod pods[20], asked;
    struct placement_request request = {
        .want = {{70, 0, 0, 0}}, .node = "", .spec = &asked.spec};
    struct placement_victims victims;

    (void)state;
    placement_set(placement, &node);
    for (uint64_t i = 0; i < 20; i++) {
        pod_init(&pods[i], i, (struct resources){{5, 5, 0, 0}}, 0);
        placement_put(placement, 1, i, &pods[i].spec);
    }
    pod_init(&asked, 99, request.want, 1);
    victims = placement_preempt(placement, &request);
    assert_int_equal(victims.node_id, 1);
    assert_int_equal(victims.count, 14);
    free(victims.pod_ids);
    asked.spec.priority = 0; /* nobody is lower */
    victims = placement_preempt(placement, &request);
    assert_int_equal(victims.node_id, 0);
    placement_free(placement);
}

/* One that has gone, or must not run twice, is nobody's room. */
static void whoever_has_gone_is_forgotten(void **state)
{
    struct placement *placement = placement_new(), *copy;
    struct placement_node node = {
        .id = 1, .name = "n1", .capacity = {{100, 100, 0, 0}}};
    struct pod low, lower, once, asked;
    struct placement_request request = {.node = "", .spec = &asked.spec};

    (void)state;
    placement_set(placement, &node);
    pod_init(&asked, 1, (struct resources){{0}}, 0);
    pod_init(&low, 2, (struct resources){{0}}, -1);
    pod_init(&lower, 3, (struct resources){{0}}, INT32_MIN);
    pod_init(&once, 4, (struct resources){{0}}, -1);
    once.spec.restart = KONTOR__V1__RESTART_POLICY__RESTART_NEVER;
    placement_put(placement, 1, 4, &once.spec);
    assert_false(placement_may_preempt(placement, &request));
    placement_put(placement, 1, 2, &low.spec);
    placement_put(placement, 1, 3, &lower.spec);
    placement_put(placement, 1, 5, &low.spec);
    placement_take(placement, 1, 3);
    placement_take(placement, 1, 5);
    assert_true(placement_may_preempt(placement, &request));
    asked.spec.priority = -1;
    assert_false(placement_may_preempt(placement, &request));
    asked.spec.priority = 0;
    copy = placement_copy(placement);
    placement_take(placement, 1, 2);
    assert_false(placement_may_preempt(placement, &request));
    assert_true(placement_may_preempt(copy, &request));
    placement_take(copy, 1, 2);
    assert_false(placement_may_preempt(copy, &request));
    placement_free(copy);
    placement_free(placement);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_has_gone_is_forgotten),
        cmocka_unit_test(agrees_with_brute_force),
        cmocka_unit_test(agrees_where_pods_are_unlike),
        cmocka_unit_test(no_more_is_tried_than_is_bearable),
        cmocka_unit_test(no_more_go_than_needed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
