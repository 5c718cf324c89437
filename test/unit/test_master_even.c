/* Evener nodes: each move pays, none that pays is left, and pods keep their
 * rules. All of it is checked in the plainest way. */
#include "master/placement/even.h"

#include "base/lang.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 24, PODS_MAX = 200, ZONES = 3, TAINTED = 5 };
enum { PAYS = EVEN_APART * EVEN_APART / 2 };

enum rule {
    PLAIN,
    ZONE,
    ANTI,
    SPREAD_ZONE,
    SPREAD_HOST,
    WITH,
    TOLERANT,
    RULES
};

struct pod {
    Kontor__V1__PodSpec spec;
    Kontor__V1__Resources resources;
    enum rule rule;
    size_t app;
    uint64_t node_id;
};

struct world {
    struct placement *placement;
    struct pod *pods; /* by id; owned */
    size_t pod_count;
    struct resources capacity[NODES + 1], left[NODES + 1];
    const struct pod *stays; /* may not be moved; NULL: all may */
};

static char zone_key[] = "zone", host_key[] = "host", gpu[] = "gpu";
static char a[] = "a", b[] = "b", c[] = "c", *zones[ZONES] = {a, b, c};
static char web[] = "web", db[] = "db", cache[] = "cache", no_value[] = "";
static char *apps[] = {web, db, cache};

/* ---- a cluster ---- */

static void tell_node(struct world *world, uint64_t id)
{
    Kontor__V1__Label zone = KONTOR__V1__LABEL__INIT;
    Kontor__V1__Label taint = KONTOR__V1__LABEL__INIT;
    Kontor__V1__Label *labels[] = {&zone}, *taints[] = {&taint};
    struct placement_node node = {.id = id,
                                  .name = "",
                                  .labels = {labels, 1, taints, id == TAINTED},
                                  .capacity = world->capacity[id],
                                  .free = world->left[id]};

    zone.key = zone_key;
    zone.value = zones[id % ZONES];
    taint.key = gpu;
    taint.value = no_value;
    placement_set(world->placement, &node);
}

static void set_rule(struct pod *pod, enum rule rule)
{
    static Kontor__V1__Constraint in_a = KONTOR__V1__CONSTRAINT__INIT;
    static Kontor__V1__Constraint *constraints[] = {&in_a};
    static Kontor__V1__Label toleration = KONTOR__V1__LABEL__INIT;
    static Kontor__V1__Label *tolerations[] = {&toleration};

    in_a.key = zone_key;
    in_a.values = zones;
    in_a.n_values = 1;
    toleration.key = gpu;
    toleration.value = no_value;
    pod->rule = rule;
    if (rule == ZONE) {
        pod->spec.constraints = constraints;
        pod->spec.n_constraints = 1;
    } else if (rule == TOLERANT) {
        pod->spec.tolerations = tolerations;
        pod->spec.n_tolerations = 1;
    } else if (rule == ANTI) {
        pod->spec.anti = &apps[1];
        pod->spec.n_anti = 1;
    } else if (rule == WITH) {
        pod->spec.with = &apps[2];
        pod->spec.n_with = 1;
    } else if (rule != PLAIN) {
        pod->spec.spread = rule == SPREAD_ZONE ? zone_key : host_key;
    }
}

static void put(struct world *world, uint64_t node_id, struct resources want,
                enum rule rule, size_t app)
{
    struct pod *pod = &world->pods[world->pod_count];

    kontor__v1__pod_spec__init(&pod->spec);
    kontor__v1__resources__init(&pod->resources);
    resources_tell(&want, &pod->resources);
    pod->spec.resources = &pod->resources;
    pod->spec.app = apps[app];
    pod->app = app;
    pod->node_id = node_id;
    set_rule(pod, rule);
    world->left[node_id] = resources_less(&world->left[node_id], &want);
    placement_put(world->placement, node_id, world->pod_count++, &pod->spec);
    tell_node(world, node_id);
}

static struct world empty_world(void)
{
    return (struct world){.placement = placement_new(),
                          .pods = calloc(PODS_MAX, sizeof(struct pod))};
}

/* Unlike nodes; pods where they happen to fall, some of which have rules, be
 * they kept or not. */
static struct world world_new(uint64_t seed, size_t pods, bool ruled)
{
    struct random random = {seed};
    struct world world = empty_world();

    for (uint64_t id = 1; id <= NODES; id++) {
        uint64_t size = 100 + 50 * random_below(&random, 3);

        world.capacity[id] = (struct resources){{size, 1000, 0, 2000}};
        world.left[id] = world.capacity[id];
        tell_node(&world, id);
    }
    while (world.pod_count < pods) {
        struct resources want = {{1 + random_below(&random, 30),
                                  1 + random_below(&random, 200), 0,
                                  random_below(&random, 100)}};
        uint64_t id = 1 + random_below(&random, NODES * 2 / 3);
        enum rule rule = (enum rule)random_below(&random, RULES);

        if (resources_fit(&world.left[id], &want))
            put(&world, id, want, ruled ? rule : PLAIN,
                random_below(&random, ARRAY_LEN(apps)));
    }
    return world;
}

static void world_free(struct world *world)
{
    placement_free(world->placement);
    free(world->pods);
}

/* ---- shares ---- */

static int64_t share_at(const struct world *world, uint64_t id)
{
    int64_t most = 0;

    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint64_t capacity = world->capacity[id].amount[i];
        int64_t share =
            resource_share(capacity - world->left[id].amount[i], capacity);

        most = share > most ? share : most;
    }
    return most;
}

/* Times the number of nodes, squared. */
static int64_t variance_of(const struct world *world)
{
    int64_t sum = 0, squares = 0;

    for (uint64_t id = 1; id <= NODES; id++) {
        sum += share_at(world, id);
        squares += share_at(world, id) * share_at(world, id);
    }
    return NODES * squares - sum * sum;
}

static void shift(struct world *world, struct pod *pod, uint64_t to_id)
{
    struct resources want = resources_of(&pod->resources);

    resources_add(&world->left[pod->node_id], &want);
    assert_true(resources_fit(&world->left[to_id], &want));
    world->left[to_id] = resources_less(&world->left[to_id], &want);
    pod->node_id = to_id;
}

static bool some_move_pays(struct world *world)
{
    int64_t before = variance_of(world);

    for (size_t i = 0; i < world->pod_count; i++) {
        struct pod *pod = &world->pods[i];
        struct resources want = resources_of(&pod->resources);
        uint64_t from = pod->node_id;

        for (uint64_t id = 1; id <= NODES; id++) {
            int64_t gain;

            if (id == from || id == TAINTED ||
                !resources_fit(&world->left[id], &want) ||
                share_at(world, from) - share_at(world, id) < EVEN_APART)
                continue;
            shift(world, pod, id);
            gain = before - variance_of(world);
            shift(world, pod, from);
            if (gain >= (int64_t)NODES * PAYS)
                return true;
        }
    }
    return false;
}

/* ---- rules ---- */

static size_t count_pods(const struct world *world, size_t app, uint64_t id)
{
    size_t count = 0;

    for (size_t i = 0; i < world->pod_count; i++)
        count += world->pods[i].app == app && world->pods[i].node_id == id;
    return count;
}

static size_t count_in_zone(const struct world *world, size_t app, uint64_t id)
{
    size_t count = 0;

    for (uint64_t other = 1; other <= NODES; other++)
        if (other % ZONES == id % ZONES)
            count += count_pods(world, app, other);
    return count;
}

/* Is a pod's rule kept, of those that are about where it is alone? */
static bool is_kept(const struct world *world, const struct pod *pod)
{
    bool kept = pod->rule == TOLERANT || pod->node_id != TAINTED;

    if (pod->rule == ZONE)
        kept &= pod->node_id % ZONES == 0;
    if (pod->rule == ANTI)
        kept &= count_pods(world, 1, pod->node_id) == (pod->app == 1);
    if (pod->rule == WITH)
        kept &= count_pods(world, 2, pod->node_id) > (pod->app == 2);
    return kept;
}

static void expect_spread(const struct world *world, const struct pod *pod,
                          uint64_t to)
{
    uint64_t from = pod->node_id;

    if (pod->rule == SPREAD_HOST)
        assert_true(count_pods(world, pod->app, to) <
                    count_pods(world, pod->app, from));
    if (pod->rule == SPREAD_ZONE && to % ZONES != from % ZONES)
        assert_true(count_in_zone(world, pod->app, to) <
                    count_in_zone(world, pod->app, from));
}

/* What was kept is kept, by the one that moved and by all others. */
static void move_by_rules(struct world *world,
                          const struct placement_move *move)
{
    struct pod *pod = &world->pods[move->pod_id];
    bool kept[PODS_MAX] = {false};

    expect_spread(world, pod, move->to_id);
    for (size_t i = 0; i < world->pod_count; i++)
        kept[i] = is_kept(world, &world->pods[i]);
    shift(world, pod, move->to_id);
    for (size_t i = 0; i < world->pod_count; i++)
        assert_true(is_kept(world, &world->pods[i]) || !kept[i]);
    assert_true(is_kept(world, pod));
}

/* ---- what is promised ---- */

static bool may_move(const void *data, uint64_t pod_id)
{
    const struct world *world = data;

    return &world->pods[pod_id] != world->stays;
}

/* In the world's own view. */
static struct placement_moves even_out(const struct world *world, size_t most)
{
    return placement_even(world->placement,
                          &(struct even_limits){.moves = most,
                                                .steps = UINT64_MAX,
                                                .may_move = may_move,
                                                .data = world});
}

/* Nothing that leaves is waited for. */
static void expect_room_at_once(const struct world *world,
                                const struct placement_moves *moves)
{
    struct resources left[NODES + 1];

    memcpy(left, world->left, sizeof left);
    for (size_t i = 0; i < moves->count; i++) {
        uint64_t to = moves->moves[i].to_id;
        struct resources want =
            resources_of(&world->pods[moves->moves[i].pod_id].resources);

        assert_true(resources_fit(&left[to], &want));
        left[to] = resources_less(&left[to], &want);
    }
}

static void expect_told(const struct world *world)
{
    struct evenness told = placement_evenness(world->placement);
    int64_t highest = 0, lowest = RESOURCE_SHARE_ONE;
    int64_t square = (int64_t)told.deviation * told.deviation;

    for (uint64_t id = 1; id <= NODES; id++) {
        int64_t share = share_at(world, id);

        highest = share > highest ? share : highest;
        lowest = share < lowest ? share : lowest;
    }
    assert_int_equal(told.highest, highest);
    assert_int_equal(told.lowest, lowest);
    assert_true(llabs(square - variance_of(world) / (NODES * NODES)) <=
                2 * (int64_t)told.deviation + 2);
}

static size_t one_round(struct world *world)
{
    struct placement_moves moves = even_out(world, SIZE_MAX);
    size_t count = moves.count;

    expect_room_at_once(world, &moves);
    for (size_t i = 0; i < count; i++) {
        int64_t before = variance_of(world);

        move_by_rules(world, &moves.moves[i]);
        assert_true(before - variance_of(world) >= (int64_t)NODES * PAYS);
    }
    expect_told(world);
    free(moves.moves);
    return count;
}

static void each_move_pays_until_none_does(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct world world = world_new(seed, 40 + seed % 60, false);
        unsigned rounds = 0;

        assert_true(some_move_pays(&world));
        while (one_round(&world) > 0)
            rounds++;
        assert_true(rounds > 0);
        assert_false(some_move_pays(&world));
        world_free(&world);
    }
}

static void rules_that_were_kept_are_kept(void **state)
{
    size_t moved[RULES] = {0};

    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct world world = world_new(seed, 40 + seed % 60, true);
        uint64_t before[PODS_MAX] = {0};

        for (size_t i = 0; i < world.pod_count; i++)
            before[i] = world.pods[i].node_id;
        one_round(&world);
        for (size_t i = 0; i < world.pod_count; i++)
            moved[world.pods[i].rule] += world.pods[i].node_id != before[i];
        world_free(&world);
    }
    for (int rule = 0; rule < RULES; rule++)
        assert_true(moved[rule] > 0); /* none of them keeps all pods there */
}

static void the_best_moves_come_first(void **state)
{
    struct world world = world_new(7, 60, false);
    struct world same = world_new(7, 60, false);
    struct placement_moves all = even_out(&world, SIZE_MAX);
    struct placement_moves some = even_out(&same, 5);

    (void)state;
    assert_true(all.count > 5);
    assert_int_equal(some.count, 5);
    assert_memory_equal(all.moves, some.moves, 5 * sizeof *some.moves);
    free(all.moves);
    free(some.moves);
    world_free(&world);
    world_free(&same);
}

/* Two nodes of 100, and pods of so much cpu on the first. */
static const struct {
    const char *what;
    uint64_t pods[4];
    size_t moves;
    uint64_t first; /* of them, that is moved */
} evenings[] = {
    {"two alike", {30, 30}, 1, 30},
    {"one alone: that would only turn it round", {60}, 0, 0},
    {"the half of the difference", {10, 20, 30}, 1, 30},
    {"the greatest that helps", {50, 10, 10}, 1, 50},
    {"less than 2 % is no difference", {1}, 0, 0},
    {"what is worth it just so", {1, 1}, 1, 1},
};

static void few_moves_even_two_nodes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(evenings); i++) {
        struct world world = empty_world();
        struct placement_moves moves;

        for (uint64_t id = 1; id <= 2; id++) {
            world.capacity[id] = (struct resources){{100, 100, 0, 0}};
            world.left[id] = world.capacity[id];
            tell_node(&world, id);
        }
        for (size_t k = 0; evenings[i].pods[k] > 0; k++)
            put(&world, 1, (struct resources){{evenings[i].pods[k], 0, 0, 0}},
                PLAIN, 0);
        moves = even_out(&world, SIZE_MAX);
        if (moves.count != evenings[i].moves)
            print_error("%s\n", evenings[i].what);
        assert_int_equal(moves.count, evenings[i].moves);
        if (moves.count > 0)
            assert_int_equal(
                world.pods[moves.moves[0].pod_id].resources.cpu_milli,
                evenings[i].first);
        free(moves.moves);
        world_free(&world);
    }
}

static void who_may_not_move_stays(void **state)
{
    struct world world = world_new(7, 60, false);
    struct placement_moves moves = even_out(&world, 1);

    (void)state;
    world.stays = &world.pods[moves.moves[0].pod_id];
    free(moves.moves);
    moves = even_out(&world, SIZE_MAX);
    for (size_t i = 0; i < moves.count; i++)
        assert_ptr_not_equal(&world.pods[moves.moves[i].pod_id], world.stays);
    free(moves.moves);
    world_free(&world);
}

/* However few steps there are: what was found until then is told. */
static void few_steps_find_less(void **state)
{
    bool some = false; /* but not all */
    size_t all = 0;

    (void)state;
    for (uint64_t steps = 1 << 20; steps > 0; steps /= 2) {
        struct world world = world_new(9, 80, true);
        struct placement_moves moves = placement_even(
            world.placement, &(struct even_limits){.moves = SIZE_MAX,
                                                   .steps = steps,
                                                   .may_move = may_move,
                                                   .data = &world});

        for (size_t i = 0; i < moves.count; i++)
            move_by_rules(&world, &moves.moves[i]);
        all = steps == 1 << 20 ? moves.count : all;
        some |= moves.count > 0 && moves.count < all;
        assert_true(steps > 1 || moves.count == 0);
        free(moves.moves);
        world_free(&world);
    }
    assert_true(some);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_move_pays_until_none_does),
        cmocka_unit_test(rules_that_were_kept_are_kept),
        cmocka_unit_test(the_best_moves_come_first),
        cmocka_unit_test(few_moves_even_two_nodes),
        cmocka_unit_test(who_may_not_move_stays),
        cmocka_unit_test(few_steps_find_less),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
