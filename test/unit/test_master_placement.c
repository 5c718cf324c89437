/* Placement: tables for the rules, brute force for the whole. */
#include "master/placement/explain.h"
#include "master/placement/index.h"

#include "base/lang.h"
#include "base/memory.h"
#include "base/random.h"
#include "plain_choice.h"

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

enum { BRUTE_NODES = 300, BRUTE_ROUNDS = 500, BRUTE_SEEDS = 120 };

/* A pod that is there. */
struct brute_pod {
    size_t at; /* its node */
    bool gone;
    Kontor__V1__PodSpec spec;
    Kontor__V1__Resources resources;
};

struct brute {
    struct random random;
    struct placement *placement;
    struct placement_node nodes[BRUTE_NODES]; /* .id 0: it is not there yet */
    char names[BRUTE_NODES][8];
    struct resources reserved[BRUTE_NODES];
    struct resources greatest;
    struct placement_hold *holds[BRUTE_ROUNDS];
    size_t held;
    struct brute_pod pods[BRUTE_ROUNDS]; /* by id */
    size_t pod_count;
};

static struct resources some(struct random *random, uint64_t most)
{
    struct resources resources;

    for (int i = 0; i < RESOURCE_COUNT; i++)
        resources.amount[i] = random_below(random, most + 1);
    return resources;
}

/* Few shapes that come again and again, so that some are in demand, and any. */
static struct resources some_want(struct random *random)
{
    struct random shape = {random_below(random, 10)};

    if (random_below(random, 3) == 0)
        return some(random, 40);
    return some(&shape, random_below(&shape, 2) ? 40 : 3);
}

static enum placement_closed some_closed(struct random *random)
{
    if (random_below(random, 3) > 0)
        return PLACEMENT_OPEN;
    return (enum placement_closed)random_below(random, PLACEMENT_LOST + 1);
}

/* A node is closed or opened, and nothing else. */
static void close_or_open(struct brute *brute, size_t n)
{
    struct placement_node *node = &brute->nodes[n];

    if (node->id == 0)
        return;
    node->closed = some_closed(&brute->random);
    placement_set(brute->placement, node);
}

/* A node is new, or is another now. */
static void change(struct brute *brute, size_t n)
{
    struct placement_node *node = &brute->nodes[n];
    struct random *random = &brute->random;

    snprintf(brute->names[n], sizeof brute->names[n], "n%zu", n + 1);
    node->id = n + 1;
    node->name = brute->names[n];
    node->capacity = some(random, 100);
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint64_t most = node->capacity.amount[i];

        node->free.amount[i] = random_below(random, most + 1);
        if (most > brute->greatest.amount[i])
            brute->greatest.amount[i] = most;
    }
    node->closed = some_closed(random);
    placement_set(brute->placement, node);
}

static size_t find_fits(const struct brute *brute,
                        const struct placement_request *request,
                        struct plain_node *out)
{
    size_t count = 0;

    for (size_t n = 0; n < BRUTE_NODES; n++) {
        const struct placement_node *node = &brute->nodes[n];
        struct resources room =
            resources_less(&node->free, &brute->reserved[n]);

        if (node->id && node->closed == PLACEMENT_OPEN &&
            resources_fit(&room, &request->want) &&
            (request->node[0] == '\0' ||
             strcmp(request->node, node->name) == 0))
            out[count++] = (struct plain_node){.id = node->id, .room = room};
    }
    return count;
}

/* A pod comes to be on the node, and takes room. */
static void put_one(struct brute *brute, uint64_t node_id,
                    const struct resources *want)
{
    static char app[] = "web";
    struct placement_node *node = &brute->nodes[node_id - 1];
    struct brute_pod *pod = &brute->pods[brute->pod_count++];

    pod->at = node_id - 1;
    kontor__v1__pod_spec__init(&pod->spec);
    kontor__v1__resources__init(&pod->resources);
    resources_tell(want, &pod->resources);
    pod->spec.resources = &pod->resources;
    pod->spec.app = app;
    placement_put(brute->placement, node_id, brute->pod_count, &pod->spec);
    node->free = resources_less(&node->free, want);
    placement_set(brute->placement, node);
}

static void hold_one(struct brute *brute, uint64_t node_id,
                     const struct placement_request *request)
{
    brute->holds[brute->held++] =
        placement_hold(brute->placement, node_id, request);
    resources_add(&brute->reserved[node_id - 1], &request->want);
}

/* What is held is given back, or a pod goes. */
static void give_back(struct brute *brute)
{
    struct random *random = &brute->random;

    if (brute->held > 0 && random_below(random, 2)) {
        size_t at = random_below(random, brute->held);
        struct placement_hold *hold = brute->holds[at];
        struct resources *reserved =
            &brute->reserved[placement_hold_node(hold) - 1];

        *reserved = resources_less(reserved, &hold->want);
        placement_unhold(brute->placement, hold);
        brute->holds[at] = brute->holds[--brute->held];
    } else if (brute->pod_count > 0) {
        size_t at = random_below(random, brute->pod_count);
        struct brute_pod *pod = &brute->pods[at];
        struct placement_node *node = &brute->nodes[pod->at];
        struct resources want = resources_of(&pod->resources);

        if (pod->gone)
            return;
        pod->gone = true;
        placement_take(brute->placement, node->id, at + 1);
        resources_add(&node->free, &want);
        placement_set(brute->placement, node);
    }
}

static void choose_both_ways(struct brute *brute, int round)
{
    struct random *random = &brute->random;
    size_t pin = random_below(random, 8 * BRUTE_NODES);
    struct placement_request request = {
        .want = some_want(random),
        .node = pin < BRUTE_NODES ? brute->names[pin] : ""};
    struct plain_measure by = {brute->greatest, &brute->placement->demand};
    struct plain_node fits[BRUTE_NODES];
    size_t count = find_fits(brute, &request, fits);
    uint64_t expected = plain_choose(fits, count, &by, &request.want);
    uint64_t chosen = placement_choose(brute->placement, &request);

    if (chosen != expected)
        fail_msg("round %d: chose n%d, not n%d", round, (int)chosen,
                 (int)expected);
    switch (chosen ? random_below(random, 3) : 2) {
    case 0:
        hold_one(brute, chosen, &request);
        break;
    case 1:
        put_one(brute, chosen, &request.want);
        break;
    default:
        give_back(brute);
    }
}

static void agrees_with_brute_force(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= BRUTE_SEEDS; seed++) {
        struct brute *brute = memory_new(sizeof *brute);

        brute->random.state = seed;
        brute->placement = placement_new();
        for (size_t n = 0; n < BRUTE_NODES && seed % 2; n++)
            change(brute, n);
        for (int round = 0; round < BRUTE_ROUNDS; round++) {
            size_t n = random_below(&brute->random, BRUTE_NODES);

            if (random_below(&brute->random, 4) == 0)
                change(brute, n);
            else
                close_or_open(brute, n);
            choose_both_ways(brute, round);
        }
        while (brute->held > 0)
            placement_unhold(brute->placement, brute->holds[--brute->held]);
        placement_free(brute->placement);
        free(brute);
    }
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

/* The emptiest node is thought of, too, behind more than are looked at. */
static void the_emptiest_is_looked_at_last(void **state)
{
    struct placement *placement = placement_new();
    struct resources all = {{192000, GI(1024), 0, 0}};
    struct placement_request small = {.want = {{64000, GI(320), 0, 0}},
                                      .node = ""};
    struct placement_request large = {.want = {{96000, GI(480), 0, 0}},
                                      .node = ""};
    struct placement_node node = {.name = "", .capacity = all};

    (void)state;
    for (node.id = 1; node.id <= 2 * PLACEMENT_LOOKS; node.id++) {
        node.free = (struct resources){{96000 + 20 * node.id, GI(512), 0, 0}};
        placement_set(placement, &node);
    }
    assert_int_equal(placement_choose(placement, &large), 1);
    node.free = all;
    placement_set(placement, &node);
    assert_int_equal(placement_choose(placement, &small), node.id);
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
        cmocka_unit_test(the_emptiest_is_looked_at_last),
        cmocka_unit_test(agrees_with_brute_force),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
