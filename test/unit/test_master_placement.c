/* Placement: tables for the rules, brute force for the whole. */
#include "master/placement/placement.h"

#include "base/lang.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define GI(n) ((uint64_t)(n) << 30)
#define MI(n) ((uint64_t)(n) << 20)
#define NOWHERE 0

enum { NODES = 4 };

static const char *const names[] = {"", "n1", "n2", "n3", "n4"};

static struct placement_node node_of(uint64_t id, struct resources free_now,
                                     struct resources capacity)
{
    return (struct placement_node){
        .id = id, .name = names[id], .capacity = capacity, .free = free_now};
}

/* ---- the rules ---- */

static const struct {
    const char *rule;
    struct resources free[3]; /* of 8 cpu, 8Gi, 8Gi, 8G each; 0 cpu: none */
    struct resources want;
    uint64_t node;
} rules[] = {
    {"tightest fit wins",
     {{{4000, GI(4), GI(4), 4000}}, {{1000, GI(4), GI(4), 4000}}},
     {{500, MI(1), 0, 0}},
     2},
    {"a tie goes to the lowest id",
     {{{1000, GI(4), 0, 0}}, {{1000, GI(4), 0, 0}}},
     {{500, 0, 0, 0}},
     1},
    {"nothing fits", {{{100, GI(8), 0, 0}}}, {{500, 0, 0, 0}}, NOWHERE},
    {"an exact fit fits", {{{500, 10, 20, 30}}}, {{500, 10, 20, 30}}, 1},
    {"one byte short is short",
     {{{500, 10, 20, 30}}},
     {{500, 11, 20, 30}},
     NOWHERE},
    {"disk counts", {{{500, 10, 20, 30}}}, {{500, 10, 21, 30}}, NOWHERE},
    {"net counts", {{{500, 10, 20, 30}}}, {{500, 10, 20, 31}}, NOWHERE},
    {"what is not asked for does not make a node fuller",
     {{{8000, GI(4), GI(8), 0}}, {{8000, GI(2), GI(8), 8000}}},
     {{0, GI(1), 0, 0}},
     2},
    {"the scarcest dimension decides",
     {{{7000, GI(1), GI(8), 8000}}, {{2000, GI(2), GI(8), 8000}}},
     {{500, MI(512), 0, 0}},
     1},
    {"equally scarce: least left over in all together",
     {{{1000, GI(8), GI(8), 8000}}, {{1000, GI(8), GI(8), 1000}}},
     {{500, 0, 0, 0}},
     2},
    {"nothing wanted goes to the fullest",
     {{{8000, GI(8), GI(8), 8000}}, {{4000, GI(8), GI(8), 8000}}},
     {{0, 0, 0, 0}},
     2},
};

static void rules_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        struct placement *placement = placement_new();
        struct placement_request request = {rules[i].want, ""};
        struct resources capacity = {{8000, GI(8), GI(8), 8000}};
        uint64_t chosen;

        for (uint64_t id = 1; id <= 3; id++) {
            struct placement_node node =
                node_of(id, rules[i].free[id - 1], capacity);

            if (node.free.amount[RESOURCE_CPU] > 0)
                placement_set(placement, &node);
        }
        chosen = placement_choose(placement, &request);
        if (chosen != rules[i].node)
            fail_msg("%s: chose n%d", rules[i].rule, (int)chosen);
        placement_free(placement);
    }
}

/* ---- constraints and reservations ---- */

static struct placement *four_alike(void)
{
    struct placement *placement = placement_new();
    struct resources all = {{8000, GI(8), GI(8), 8000}};

    for (uint64_t id = 1; id <= NODES; id++) {
        struct placement_node node = node_of(id, all, all);

        placement_set(placement, &node);
    }
    return placement;
}

static void close_node(struct placement *placement, uint64_t id,
                       enum placement_closed closed)
{
    struct resources all = {{8000, GI(8), GI(8), 8000}};
    struct placement_node node = node_of(id, all, all);

    node.closed = closed;
    placement_set(placement, &node);
}

static void closed_nodes_take_nothing(void **state)
{
    struct placement *placement = four_alike();
    struct placement_request request = {{{100, 0, 0, 0}}, ""};

    (void)state;
    close_node(placement, 1, PLACEMENT_CORDONED);
    close_node(placement, 2, PLACEMENT_SUSPECT);
    close_node(placement, 3, PLACEMENT_LOST);
    assert_int_equal(placement_choose(placement, &request), 4);
    request.node = "n3";
    assert_int_equal(placement_choose(placement, &request), NOWHERE);
    request.node = "n4";
    assert_int_equal(placement_choose(placement, &request), 4);
    request.node = "n5";
    assert_int_equal(placement_choose(placement, &request), NOWHERE);
    placement_free(placement);
}

static void reserved_room_is_not_given_twice(void **state)
{
    struct placement *placement = placement_new();
    struct resources all = {{1000, GI(1), 0, 0}};
    struct placement_node node = node_of(1, all, all);
    struct placement_request request = {{{600, 0, 0, 0}}, ""};

    (void)state;
    placement_set(placement, &node);
    assert_int_equal(placement_choose(placement, &request), 1);
    placement_reserve(placement, 1, &request.want);
    assert_int_equal(placement_choose(placement, &request), NOWHERE);
    placement_set(placement, &node); /* reservations stay */
    assert_int_equal(placement_choose(placement, &request), NOWHERE);
    placement_release(placement, 1, &request.want);
    assert_int_equal(placement_choose(placement, &request), 1);
    placement_free(placement);
}

static void set_tells_of_more_room(void **state)
{
    struct placement *placement = placement_new();
    struct resources all = {{1000, 1000, 0, 0}};
    struct placement_node node = node_of(1, all, all);

    (void)state;
    assert_true(placement_set(placement, &node));
    assert_false(placement_set(placement, &node));
    node.free.amount[RESOURCE_CPU] = 500;
    assert_false(placement_set(placement, &node));
    node.free.amount[RESOURCE_CPU] = 501;
    assert_true(placement_set(placement, &node));
    node.closed = PLACEMENT_SUSPECT;
    assert_false(placement_set(placement, &node));
    node.closed = PLACEMENT_OPEN;
    assert_true(placement_set(placement, &node));
    placement_free(placement);
}

/* ---- reasons ---- */

static void expect_summary(const struct placement *placement,
                           struct placement_request request, const char *text)
{
    char summary[PLACEMENT_SUMMARY_MAX];

    assert_string_equal(placement_summarise(placement, &request, summary),
                        text);
}

static void summary_counts_and_names_the_best(void **state)
{
    struct placement *placement = four_alike();
    struct placement_request request = {{{2000, GI(1), 0, 0}}, ""};
    struct resources all = {{8000, GI(8), GI(8), 8000}};
    uint64_t left[] = {0, MI(100), MI(412), MI(200)};

    (void)state;
    expect_summary(placement, request, "fits on n1");
    for (uint64_t id = 1; id <= 3; id++) {
        struct resources room = {{8000, left[id], GI(8), 8000}};
        struct placement_node node = node_of(id, room, all);

        placement_set(placement, &node);
    }
    close_node(placement, 4, PLACEMENT_CORDONED);
    expect_summary(placement, request,
                   "memory short on 3 nodes (best n2, 412Mi), 1 cordoned");
    close_node(placement, 3, PLACEMENT_LOST);
    expect_summary(
        placement, request,
        "memory short on 2 nodes (best n2, 412Mi), 1 cordoned, 1 lost");
    request.node = "n1";
    expect_summary(placement, request,
                   "asks for node n1: memory short on 1 node (best n1, 100Mi)");
    request.node = "n9";
    expect_summary(placement, request,
                   "asks for node n9, which is not registered");
    placement_free(placement);
}

static void summary_says_never(void **state)
{
    struct placement *placement = placement_new();
    struct placement_request request = {{{512000, 0, 0, 0}}, ""};
    struct resources wide = {{8000, GI(1), 0, 0}};
    struct resources tall = {{2000, GI(64), 0, 0}};
    struct placement_node n1 = node_of(1, wide, wide);
    struct placement_node n2 = node_of(2, tall, tall);

    (void)state;
    expect_summary(placement, request, "no node is registered");
    placement_set(placement, &n1);
    placement_set(placement, &n2);
    expect_summary(placement, request,
                   "no node could ever hold it: asks 512 cpu, the largest "
                   "node has 8");
    request.want = (struct resources){{8000, GI(64), 0, 0}};
    expect_summary(placement, request,
                   "no node could ever hold it: none has all that it asks for "
                   "together");
    request.node = "n2";
    expect_summary(placement, request,
                   "no node could ever hold it: asks 8 cpu, n2 has 2");
    placement_free(placement);
}

static void verdicts_come_closest_first(void **state)
{
    struct placement *placement = four_alike();
    struct placement_request request = {{{1000, GI(1), 0, 0}}, ""};
    struct resources all = {{8000, GI(8), GI(8), 8000}};
    struct resources far = {{100, GI(8), 0, 0}};
    struct resources near = {{900, GI(8), 0, 0}};
    struct placement_node n1 = node_of(1, far, all);
    struct placement_node n3 = node_of(3, near, all);
    struct placement_verdict *verdicts;
    size_t count;

    (void)state;
    placement_set(placement, &n1);
    placement_set(placement, &n3);
    close_node(placement, 2, PLACEMENT_CORDONED);
    verdicts = placement_explain(placement, &request, &count);
    assert_int_equal(count, 4);
    assert_int_equal(verdicts[0].node->id, 4);
    assert_true(placement_fits(&verdicts[0]));
    assert_int_equal(verdicts[1].node->id, 3);
    assert_int_equal(verdicts[1].lacking.amount[RESOURCE_CPU], 100);
    assert_int_equal(verdicts[2].node->id, 1);
    assert_int_equal(verdicts[3].node->id, 2);
    free(verdicts);
    placement_free(placement);
}

/* ---- against every node looked at in the plainest way ---- */

enum { BRUTE_NODES = 40, BRUTE_ROUNDS = 20000 };

static struct resources some(struct random *random, uint64_t most)
{
    struct resources resources;

    for (int i = 0; i < RESOURCE_COUNT; i++)
        resources.amount[i] = random_below(random, most + 1);
    return resources;
}

/* The definition of placement.h, in exact fractions of small numbers. */
static uint64_t choose_slowly(const struct placement_node *nodes,
                              const struct resources *reserved,
                              const struct resources *want)
{
    uint64_t best_id = 0, best_scarce = 0, best_sum = 0;

    for (int n = 0; n < BRUTE_NODES; n++) {
        uint64_t scarce = 65536, sum = 0;
        bool fits = nodes[n].id && nodes[n].closed == PLACEMENT_OPEN;

        for (int i = 0; i < RESOURCE_COUNT && fits; i++) {
            uint64_t cap = nodes[n].capacity.amount[i];
            uint64_t taken = reserved[n].amount[i] + want->amount[i];
            uint64_t share;

            if (taken > nodes[n].free.amount[i]) {
                fits = want->amount[i] == 0; /* it asks for none of it */
                continue;
            }
            if (cap == 0)
                continue;
            share = (nodes[n].free.amount[i] - taken) * 65536 / cap;
            sum += share;
            if (want->amount[i] > 0 && share < scarce)
                scarce = share;
        }
        if (fits && (best_id == 0 || scarce < best_scarce ||
                     (scarce == best_scarce && sum < best_sum))) {
            best_id = nodes[n].id;
            best_scarce = scarce;
            best_sum = sum;
        }
    }
    return best_id;
}

static void agrees_with_brute_force(void **state)
{
    struct random random = {42};
    struct placement *placement = placement_new();
    struct placement_node nodes[BRUTE_NODES] = {0};
    struct resources reserved[BRUTE_NODES] = {0};

    (void)state;
    for (int round = 0; round < BRUTE_ROUNDS; round++) {
        size_t n = random_below(&random, BRUTE_NODES);
        struct placement_request request = {some(&random, 40), ""};
        uint64_t chosen;

        nodes[n].id = n + 1;
        nodes[n].name = "";
        nodes[n].capacity = some(&random, 100);
        for (int i = 0; i < RESOURCE_COUNT; i++)
            nodes[n].free.amount[i] =
                random_below(&random, nodes[n].capacity.amount[i] + 1);
        nodes[n].closed =
            random_below(&random, 5) ? PLACEMENT_OPEN : PLACEMENT_CORDONED;
        placement_set(placement, &nodes[n]);
        chosen = placement_choose(placement, &request);
        assert_int_equal(chosen, choose_slowly(nodes, reserved, &request.want));
        if (chosen && random_below(&random, 2)) {
            placement_reserve(placement, chosen, &request.want);
            resources_add(&reserved[chosen - 1], &request.want);
        } else if (nodes[n].id) {
            placement_release(placement, n + 1, &reserved[n]);
            reserved[n] = (struct resources){{0}};
        }
    }
    placement_free(placement);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_hold),
        cmocka_unit_test(closed_nodes_take_nothing),
        cmocka_unit_test(reserved_room_is_not_given_twice),
        cmocka_unit_test(set_tells_of_more_room),
        cmocka_unit_test(summary_counts_and_names_the_best),
        cmocka_unit_test(summary_says_never),
        cmocka_unit_test(verdicts_come_closest_first),
        cmocka_unit_test(agrees_with_brute_force),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
