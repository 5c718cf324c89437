/* Plans and rebalancing: moves are carried out one by one, and each must fit.
 */
#include "master/placement/index.h"
#include "master/placement/rebalance.h"

#include "base/lang.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 60, PODS_MAX = 400, SHAPES = 6, CAPACITY = 192 };

struct pod {
    Kontor__V1__PodSpec spec;
    Kontor__V1__Resources resources;
    uint64_t node_id;
};

struct world {
    struct placement *placement;
    struct pod *pods; /* by id; owned */
    size_t pod_count;
    struct resources left[NODES + 1];
};

static char web[] = "web";

static void tell_node(struct world *world, uint64_t id)
{
    struct placement_node node = {.id = id,
                                  .name = "",
                                  .capacity = {{CAPACITY, CAPACITY, 0, 0}},
                                  .free = world->left[id]};

    placement_set(world->placement, &node);
}

/* The same, of a knode that knows user namespaces. */
static void tell_able_node(struct world *world, uint64_t id)
{
    Kontor__V1__Label label = KONTOR__V1__LABEL__INIT;
    Kontor__V1__Label *labels[] = {&label};
    struct placement_node node = {
        .id = id,
        .name = "",
        .labels = {.labels = labels, .label_count = 1},
        .capacity = {{CAPACITY, CAPACITY, 0, 0}},
        .free = world->left[id]};

    label.key = without_const("kontor.io/userns");
    label.value = without_const("yes");
    placement_set(world->placement, &node);
}

static void put(struct world *world, uint64_t node_id, struct resources want)
{
    struct pod *pod = &world->pods[world->pod_count];

    kontor__v1__pod_spec__init(&pod->spec);
    kontor__v1__resources__init(&pod->resources);
    resources_tell(&want, &pod->resources);
    pod->spec.resources = &pod->resources;
    pod->spec.app = web;
    pod->node_id = node_id;
    world->left[node_id] = resources_less(&world->left[node_id], &want);
    placement_put(world->placement, node_id, world->pod_count++, &pod->spec);
    tell_node(world, node_id);
}

/* Pods of few shapes, where they happen to fall; the last nodes are empty. */
static struct world world_new(uint64_t seed, size_t pods)
{
    static const uint64_t sizes[SHAPES] = {96, 64, 48, 64, 24, 96};
    struct random random = {seed};
    struct world world = {.placement = placement_new(),
                          .pods = calloc(PODS_MAX, sizeof *world.pods)};

    for (uint64_t id = 1; id <= NODES; id++) {
        world.left[id] = (struct resources){{CAPACITY, CAPACITY, 0, 0}};
        tell_node(&world, id);
    }
    while (world.pod_count < pods) {
        uint64_t shape = random_below(&random, SHAPES);
        struct placement_request request = {
            .want = {{sizes[shape], sizes[shape] / (1 + shape % 2), 0, 0}},
            .node = ""};
        uint64_t id = 1 + random_below(&random, NODES - 4);

        placement_choose(world.placement, &request); /* it is in demand */
        if (resources_fit(&world.left[id], &request.want))
            put(&world, id, request.want);
    }
    return world;
}

static void world_free(struct world *world)
{
    placement_free(world->placement);
    free(world->pods);
}

static unsigned nodes_used(const struct world *world)
{
    unsigned used = 0;

    for (uint64_t id = 1; id <= NODES; id++)
        used += world->left[id].amount[0] < CAPACITY;
    return used;
}

static void carry_out(struct world *world, const struct placement_moves *moves)
{
    for (size_t i = 0; i < moves->count; i++) {
        const struct placement_move *move = &moves->moves[i];
        struct pod *pod = &world->pods[move->pod_id];
        struct resources want = resources_of(&pod->resources);

        if (move->to_id == 0)
            continue;
        assert_int_equal(pod->node_id, move->from_id);
        assert_true(resources_fit(&world->left[move->to_id], &want));
        resources_add(&world->left[move->from_id], &want);
        world->left[move->to_id] =
            resources_less(&world->left[move->to_id], &want);
        pod->node_id = move->to_id;
    }
}

static void rebalancing_takes_fewer_nodes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct world world = world_new(seed, 60);
        struct placement_moves moves = placement_rebalance(
            world.placement, &(struct rebalance_limits){SIZE_MAX, UINT64_MAX});
        unsigned before = nodes_used(&world);
        uint64_t sum = 0;

        for (size_t i = 0; i < world.pod_count; i++)
            sum += world.pods[i].resources.cpu_milli;
        carry_out(&world, &moves);
        assert_true(nodes_used(&world) < before);
        assert_int_equal(placement_nodes_used(world.placement),
                         nodes_used(&world));
        /* One more than the bound: 24s are few. */
        assert_true(nodes_used(&world) <= sum / CAPACITY + 3);
        free(moves.moves);
        world_free(&world);
    }
}

/* No node is empty; each pod alone on one. Four fit onto one. */
static void no_empty_node_is_needed(void **state)
{
    struct world world = world_new(1, 0);
    struct placement_moves moves;

    (void)state;
    for (uint64_t id = 1; id <= NODES; id++)
        put(&world, id, (struct resources){{CAPACITY / 4, CAPACITY / 4, 0, 0}});
    moves = placement_rebalance(
        world.placement, &(struct rebalance_limits){SIZE_MAX, UINT64_MAX});
    assert_int_equal(moves.count, NODES - (NODES + 3) / 4);
    carry_out(&world, &moves);
    assert_int_equal(nodes_used(&world), (NODES + 3) / 4);
    free(moves.moves);
    world_free(&world);
}

static void no_more_moves_than_allowed(void **state)
{
    struct world world = world_new(7, 60);
    struct placement_moves moves = placement_rebalance(
        world.placement, &(struct rebalance_limits){20, UINT64_MAX});

    (void)state;
    assert_true(moves.count > 0 && moves.count <= 20);
    carry_out(&world, &moves);
    free(moves.moves);
    world_free(&world);
}

static void pods_with_rules_stay(void **state)
{
    struct world world = world_new(7, 60);
    static char host[] = "host";
    struct placement_moves moves;

    (void)state;
    for (size_t i = 0; i < world.pod_count; i++)
        world.pods[i].spec.spread = host;
    moves = placement_rebalance(
        world.placement, &(struct rebalance_limits){SIZE_MAX, UINT64_MAX});
    assert_int_equal(moves.count, 0);
    free(moves.moves);
    world_free(&world);
}

/* What not every knode can do is a rule; what all can is none. */
static void pods_that_ask_much_of_knode_stay(void **state)
{
    struct world world = world_new(7, 60);

    (void)state;
    for (size_t i = 0; i < world.pod_count; i++)
        world.pods[i].spec.userns = true;
    for (int able = 0; able <= NODES; able += NODES) {
        struct placement_moves moves;

        for (uint64_t id = 1; id <= (uint64_t)able; id++)
            tell_able_node(&world, id);
        moves = placement_rebalance(
            world.placement, &(struct rebalance_limits){SIZE_MAX, UINT64_MAX});
        assert_true((moves.count > 0) == (able > 0));
        free(moves.moves);
    }
    world_free(&world);
}

static void a_plan_changes_nothing(void **state)
{
    struct world world = world_new(3, 60);
    uint64_t node_id = world.pods[0].node_id;
    struct placement_entry *entry = placement_find(world.placement, node_id);
    uint32_t pods = entry->resident_count;
    struct placement *copy = placement_copy(world.placement);
    struct placement_moves moves = placement_drain(copy, node_id);

    (void)state;
    assert_int_equal(moves.count, pods);
    assert_int_equal(entry->resident_count, pods);
    assert_int_equal(entry->node.closed, PLACEMENT_OPEN);
    assert_int_equal(placement_find(copy, node_id)->resident_count, 0);
    placement_free(copy);
    carry_out(&world, &moves);
    assert_int_equal(world.left[node_id].amount[0], CAPACITY);
    free(moves.moves);
    world_free(&world);
}

static void what_fits_nowhere_stays_in_the_plan(void **state)
{
    struct world world = {.placement = placement_new(),
                          .pods = calloc(PODS_MAX, sizeof *world.pods)};
    struct placement_moves moves;

    (void)state;
    for (uint64_t id = 1; id <= 2; id++)
        world.left[id] = (struct resources){{CAPACITY, CAPACITY, 0, 0}};
    tell_node(&world, 1);
    tell_node(&world, 2);
    put(&world, 1, (struct resources){{100, 1, 0, 0}});
    put(&world, 1, (struct resources){{50, 1, 0, 0}});
    put(&world, 2, (struct resources){{100, 1, 0, 0}});
    moves = placement_drain(world.placement, 1);
    assert_int_equal(moves.count, 2);
    assert_int_equal(moves.moves[0].to_id, 0);
    assert_int_equal(moves.moves[1].to_id, 2);
    free(moves.moves);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rebalancing_takes_fewer_nodes),
        cmocka_unit_test(no_empty_node_is_needed),
        cmocka_unit_test(no_more_moves_than_allowed),
        cmocka_unit_test(pods_with_rules_stay),
        cmocka_unit_test(pods_that_ask_much_of_knode_stay),
        cmocka_unit_test(a_plan_changes_nothing),
        cmocka_unit_test(what_fits_nowhere_stays_in_the_plan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
