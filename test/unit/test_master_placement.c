/* Placement: tables for the rules, brute force for the whole. */
#include "master/placement/explain.h"
#include "master/placement/index.h"

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
    {"a node without net is full, but for what asks for none",
     {{{8000, GI(4), GI(8), 0}}, {{8000, GI(2), GI(8), 8000}}},
     {{0, GI(1), 0, 0}},
     1},
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
        struct placement_request request = {.want = rules[i].want, .node = ""};
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
    struct placement_request request = {.want = {{100, 0, 0, 0}}, .node = ""};

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

static void held_room_is_not_given_twice(void **state)
{
    struct placement_hold *hold;
    struct placement *placement = placement_new();
    struct resources all = {{1000, GI(1), 0, 0}};
    struct placement_node node = node_of(1, all, all);
    struct placement_request request = {.want = {{600, 0, 0, 0}}, .node = ""};

    (void)state;
    placement_set(placement, &node);
    assert_int_equal(placement_choose(placement, &request), 1);
    hold = placement_hold(placement, 1, &request);
    assert_int_equal(placement_choose(placement, &request), NOWHERE);
    placement_set(placement, &node); /* what is held stays */
    assert_int_equal(placement_choose(placement, &request), NOWHERE);
    placement_unhold(placement, hold);
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
    struct placement_request request = {.want = {{2000, GI(1), 0, 0}},
                                        .node = ""};
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
    struct placement_request request = {.want = {{512000, 0, 0, 0}},
                                        .node = ""};
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
    request.want = (struct resources){{1000, 0, 0, 100000000}};
    expect_summary(placement, request,
                   "no node could ever hold it: asks 100M net, n2 offers none "
                   "(knode --net)");
    request.node = "";
    expect_summary(placement, request,
                   "no node could ever hold it: asks 100M net, no node offers "
                   "any (knode --net)");
    placement_free(placement);
}

static void verdicts_come_closest_first(void **state)
{
    struct placement *placement = four_alike();
    struct placement_request request = {.want = {{1000, GI(1), 0, 0}},
                                        .node = ""};
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

enum { BRUTE_NODES = 600, BRUTE_ROUNDS = 10000 };

static struct resources some(struct random *random, uint64_t most)
{
    struct resources resources;

    for (int i = 0; i < RESOURCE_COUNT; i++)
        resources.amount[i] = random_below(random, most + 1);
    return resources;
}

struct candidate {
    uint64_t least, sum, id;
    struct resources room;
};

static int fuller(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;

    if (a->least != b->least)
        return a->least < b->least ? -1 : 1;
    if (a->sum != b->sum)
        return a->sum < b->sum ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

/* The nodes that fit, the fullest first. */
static size_t candidates_of(const struct placement_node *nodes,
                            const struct resources *reserved,
                            const struct resources *greatest,
                            const struct resources *want, struct candidate *out)
{
    size_t count = 0;

    for (int n = 0; n < BRUTE_NODES; n++) {
        struct candidate one = {.least = 65536, .id = nodes[n].id};
        bool fits = nodes[n].id && nodes[n].closed == PLACEMENT_OPEN;

        for (int i = 0; i < RESOURCE_COUNT; i++) {
            uint64_t left = nodes[n].free.amount[i];
            uint64_t share;

            left -= reserved[n].amount[i] < left ? reserved[n].amount[i] : left;
            fits = fits && want->amount[i] <= left;
            one.room.amount[i] = left;
            if (greatest->amount[i] == 0)
                continue;
            share = left * 65536 / greatest->amount[i];
            one.sum += share;
            if (share < one.least)
                one.least = share;
        }
        if (fits)
            out[count++] = one;
    }
    qsort(out, count, sizeof *out, fuller);
    return count;
}

/* The definition of placement.h. */
static uint64_t choose_slowly(const struct candidate *fits, size_t count,
                              const struct demand *demand,
                              const struct resources *want)
{
    int64_t best_growth = INT64_MAX;
    uint64_t best = count ? fits[0].id : NOWHERE;
    size_t emptiest = 0;
    int looks = 0;

    for (size_t i = 1; i < count; i++) {
        if (fits[i].least != fits[i - 1].least ||
            fits[i].sum != fits[i - 1].sum)
            emptiest = i;
    }
    for (size_t i = 0; i < count && demand_is_bulky(demand, want); i++) {
        struct resources left = resources_less(&fits[i].room, want);
        int64_t growth;

        if (i > 0 && fits[i].least == fits[i - 1].least &&
            fits[i].sum == fits[i - 1].sum)
            continue;
        if (++looks > PLACEMENT_LOOKS && i != emptiest)
            continue;
        growth = (int64_t)demand_waste(demand, &left) -
                 (int64_t)demand_waste(demand, &fits[i].room);
        if (growth < best_growth) {
            best_growth = growth;
            best = fits[i].id;
        }
        if (growth <= 0)
            break;
    }
    return best;
}

static void change(struct placement_node *node, size_t n, struct random *random,
                   struct resources *greatest)
{
    node->id = n + 1;
    node->name = "";
    node->capacity = some(random, 100);
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint64_t most = node->capacity.amount[i];

        node->free.amount[i] = random_below(random, most + 1);
        if (most > greatest->amount[i])
            greatest->amount[i] = most;
    }
    node->closed =
        random_below(random, 5) ? PLACEMENT_OPEN : PLACEMENT_CORDONED;
}

/* Few shapes that come again and again, so that some are in demand, and any. */
static struct resources some_want(struct random *random)
{
    struct random shape = {random_below(random, 10)};

    if (random_below(random, 3) == 0)
        return some(random, 40);
    return some(&shape, random_below(&shape, 2) ? 40 : 3);
}

static void agrees_with_brute_force(void **state)
{
    struct random random = {42};
    struct placement *placement = placement_new();
    struct placement_node nodes[BRUTE_NODES] = {0};
    struct resources reserved[BRUTE_NODES] = {0};
    struct resources greatest = {{0}};
    static struct placement_hold *holds[BRUTE_ROUNDS];
    size_t held = 0;

    (void)state;
    for (int round = 0; round < BRUTE_ROUNDS; round++) {
        size_t n = random_below(&random, BRUTE_NODES);
        struct placement_request request = {.want = some_want(&random),
                                            .node = ""};
        struct candidate fits[BRUTE_NODES];
        uint64_t chosen, expected;
        size_t count;

        if (random_below(&random, 3) == 0) {
            change(&nodes[n], n, &random, &greatest);
            placement_set(placement, &nodes[n]);
        }
        count = candidates_of(nodes, reserved, &greatest, &request.want, fits);
        expected =
            choose_slowly(fits, count, &placement->demand, &request.want);
        chosen = placement_choose(placement, &request);
        if (chosen != expected)
            fail_msg("round %d: chose n%d, not n%d", round, (int)chosen,
                     (int)expected);
        if (chosen && random_below(&random, 2)) {
            holds[held++] = placement_hold(placement, chosen, &request);
            resources_add(&reserved[chosen - 1], &request.want);
        } else if (held > 0) {
            size_t at = random_below(&random, held);

            n = placement_hold_node(holds[at]) - 1;
            reserved[n] = resources_less(&reserved[n], &holds[at]->want);
            placement_unhold(placement, holds[at]);
            holds[at] = holds[--held];
        }
    }
    while (held > 0)
        placement_unhold(placement, holds[--held]);
    placement_free(placement);
}

/* Where most ask for 64 or 96 of 192 cores, 64 in 96 would lose 32. */
static void nothing_is_wasted_on_what_is_in_demand(void **state)
{
    struct placement *placement = placement_new();
    struct resources all = {{192000, GI(1024), 0, 0}};
    struct placement_request small = {.want = {{64000, GI(320), 0, 0}},
                                      .node = ""};
    struct placement_request large = {.want = {{96000, GI(480), 0, 0}},
                                      .node = ""};
    struct placement_node half =
        node_of(1, (struct resources){{96000, GI(512), 0, 0}}, all);
    struct placement_node empty = node_of(2, all, all);

    (void)state;
    placement_set(placement, &half);
    assert_int_equal(placement_choose(placement, &small), 1);
    assert_int_equal(placement_choose(placement, &large), 1);
    placement_set(placement, &empty);
    assert_int_equal(placement_choose(placement, &small), 2);
    assert_int_equal(placement_choose(placement, &large), 1);
    placement_free(placement);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_hold),
        cmocka_unit_test(closed_nodes_take_nothing),
        cmocka_unit_test(held_room_is_not_given_twice),
        cmocka_unit_test(set_tells_of_more_room),
        cmocka_unit_test(summary_counts_and_names_the_best),
        cmocka_unit_test(summary_says_never),
        cmocka_unit_test(verdicts_come_closest_first),
        cmocka_unit_test(nothing_is_wasted_on_what_is_in_demand),
        cmocka_unit_test(agrees_with_brute_force),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
