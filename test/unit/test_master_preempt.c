/* Who has to go: against every set of pods on every node, looked at in the
 * plainest way. */
#include "master/placement/preempt.h"

#include "base/lang.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NODES = 4, PODS_A_NODE = 6, ROUNDS = 4000 };

struct pod {
    uint64_t id;
    Kontor__V1__PodSpec spec;
    Kontor__V1__Resources resources;
};

struct world {
    struct placement *placement;
    struct placement_node nodes[NODES];
    struct pod pods[NODES][PODS_A_NODE];
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

static void world_init(struct world *world, struct random *random)
{
    static const char *const names[] = {"n1", "n2", "n3", "n4"};

    world->placement = placement_new();
    for (uint64_t n = 0; n < NODES; n++) {
        struct placement_node *node = &world->nodes[n];

        *node = (struct placement_node){.id = n + 1, .name = names[n]};
        for (uint64_t i = 0; i < PODS_A_NODE; i++) {
            struct resources want = {
                {random_below(random, 5), random_below(random, 5), 0, 0}};

            pod_init(&world->pods[n][i], n * 100 + i, want,
                     (int32_t)random_below(random, 4) - 1);
            resources_add(&node->capacity, &want);
        }
        node->free.amount[0] = random_below(random, 3);
        node->free.amount[1] = random_below(random, 3);
        resources_add(&node->capacity, &node->free);
        placement_set(world->placement, node);
        for (uint64_t i = 0; i < PODS_A_NODE; i++)
            placement_put(world->placement, n + 1, world->pods[n][i].id,
                          &world->pods[n][i].spec);
    }
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

    for (size_t i = 0; i < PODS_A_NODE; i++) {
        const struct pod *pod = &world->pods[n][i];
        struct resources want = resources_of(&pod->resources);

        if (!(set >> i & 1))
            continue;
        if (pod->spec.priority >= request->spec->priority)
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
        for (unsigned set = 1; set < 1u << PODS_A_NODE; set++) {
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

static unsigned set_of(const struct world *world,
                       const struct placement_victims *victims)
{
    unsigned set = 0;

    for (size_t k = 0; k < victims->count; k++)
        set |= 1u << (victims->pod_ids[k] - (victims->node_id - 1) * 100);
    (void)world;
    return set;
}

static void agrees_with_brute_force(void **state)
{
    struct random random = {3};
    int found = 0, several = 0;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct world world;
        struct pod asked;
        struct placement_request request = {
            .want = {{1 + random_below(&random, 9), random_below(&random, 9), 0,
                      0}},
            .node = "",
            .spec = &asked.spec};
        struct cost expected = {0}, cost;
        struct placement_victims victims;
        uint64_t node_id;

        world_init(&world, &random);
        pod_init(&asked, 1000, request.want, (int32_t)random_below(&random, 4));
        if (!fits_somewhere(&world, &request)) {
            node_id = slowly(&world, &request, &expected);
            victims = placement_preempt(world.placement, &request);
            assert_int_equal(victims.node_id, node_id);
            if (node_id && expected.count <= PREEMPT_EXACT_MAX) {
                cost = cost_of(&world, node_id - 1, set_of(&world, &victims),
                               &request);
                assert_int_equal(cost.greatest, expected.greatest);
                assert_int_equal(cost.count, expected.count);
                assert_int_equal(cost.sum, expected.sum);
                found++;
                several += cost.count > 1;
            }
            free(victims.pod_ids);
        }
        placement_free(world.placement);
    }
    assert_true(found > ROUNDS / 4 && several > ROUNDS / 10);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_brute_force),
        cmocka_unit_test(no_more_go_than_needed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
