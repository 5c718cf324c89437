/* What is planned is what happens: plans of random clusters are carried out by
 * commands, and change nothing before. */
#include "base/memory.h"
#include "base/random.h"
#include "master/matcher.h"
#include "master/planner.h"
#include "master/propose.h"
#include "master_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 12, PODS = 40, SEEDS = 60 };

static const struct wanted capacity = {16000, 64 << 20, 0, 0};

struct world {
    struct cluster *cluster;
    struct placer placer;
};

/* Three in four have empty nodes; one node may be closed. A few pods are jobs,
 * a few are stopping, those that found no room are pending. */
static void world_fill(struct world *world, uint64_t seed, uint64_t priorities)
{
    static const uint32_t sizes[] = {1000, 2000, 3000, 4000, 6000};
    struct random random = {seed};
    bool full = seed % 4 == 0;
    char name[16];

    world->cluster = cluster_new();
    world->cluster->format = CLUSTER_FORMAT_1;
    for (int i = 1; i <= NODES; i++) {
        snprintf(name, sizeof name, "n%d", i);
        do_register(world->cluster, name, capacity);
    }
    for (uint64_t i = 1; i <= (full ? 3 : 1) * PODS; i++) {
        uint32_t cpu = sizes[random_below(&random, ARRAY_LEN(sizes))];

        do_create(
            world->cluster,
            (struct create){
                .want = {cpu, cpu << 8, 0, 0},
                .node_id = random_below(&random, full ? NODES : NODES - 3) + 1,
                .restart = random_below(&random, 30) == 0
                               ? KONTOR__V1__RESTART_POLICY__RESTART_NEVER
                               : KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS,
                .priority = priorities > 1
                                ? (int32_t)random_below(&random, priorities)
                                : 0,
            });
        if (random_below(&random, 60) == 0)
            do_stop(world->cluster, i, NO_REQUEST);
    }
    if (random_below(&random, 2))
        do_cordon(world->cluster, random_below(&random, NODES) + 1, true);
    placer_init(&world->placer, world->cluster);
    placer_refresh(&world->placer);
}

static void world_init(struct world *world, uint64_t seed)
{
    world_fill(world, seed, 1);
}

static void world_fini(struct world *world)
{
    placer_fini(&world->placer);
    cluster_free(world->cluster);
}

static size_t nodes_used(const struct cluster *cluster)
{
    size_t used = 0;

    list_for_each(link, next, &cluster->nodes.all) used +=
        container_of(link, struct node, all)->pod_count > 0;
    return used;
}

static const struct node *node_at(const struct world *world, uint64_t id)
{
    return nodes_find(&world->cluster->nodes, id);
}

/* What the service would propose. */
static size_t moves_of(const struct plan *plan, struct move *moves)
{
    size_t count = 0;

    for (size_t i = 0; i < plan->count; i++)
        if (plan->pods[i].to_id)
            moves[count++] = (struct move){
                .pod_id = plan->pods[i].pod->facts.id,
                .generation = plan->pods[i].pod->facts.generation,
                .node_id = plan->pods[i].to_id,
            };
    return count;
}

static void expect_done(const struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct plan_pod *planned = &plan->pods[i];
        uint64_t now = planned->pod->facts.node_id;

        if (planned->fate == PLAN_STAYS)
            assert_int_equal(now, planned->from_id);
        else if (planned->fate == PLAN_FAILS)
            assert_true(pod_ended(planned->pod));
        else
            assert_int_equal(now, planned->to_id);
    }
}

static void a_drain_does_what_was_planned(void **state)
{
    size_t fates[PLAN_FATES] = {0};

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct move moves[MOVES_MAX];
        struct world world;
        struct plan plan;
        bool force = seed % 2;
        const struct node *node;

        world_init(&world, seed);
        node = node_at(&world, seed % (NODES - 2) + 1);
        plan_init(&plan, &world.placer);
        assert_int_equal(plan.nodes_before, nodes_used(world.cluster));
        plan_drain(&plan, node, force);
        do_drain(world.cluster, node->id, moves, moves_of(&plan, moves), force);
        expect_done(&plan);
        for (int i = 0; i < PLAN_FATES; i++)
            fates[i] += plan.fates[i];
        plan_fini(&plan);
        world_fini(&world);
    }
    for (int i = 0; i < PLAN_FATES; i++)
        assert_true(fates[i] > 0); /* all were seen */
}

static void carry_out(struct world *world, const struct plan *plan)
{
    struct move moves[MOVES_MAX];
    size_t count = moves_of(plan, moves);

    assert_int_equal(do_moves(world->cluster, moves, count).error.code, 0);
    expect_done(plan);
    assert_int_equal(nodes_used(world->cluster), plan->nodes_after);
}

static void a_rebalance_does_what_was_planned(void **state)
{
    size_t gained = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        size_t moves_max = seed % 3 ? MOVES_MAX : 12;
        struct world world;
        struct plan plan;

        world_init(&world, seed);
        plan_init(&plan, &world.placer);
        plan_rebalance(&plan, moves_max);
        assert_true(plan.count <= moves_max);
        assert_true(plan.nodes_after <= plan.nodes_before);
        carry_out(&world, &plan);
        gained += plan.nodes_before - plan.nodes_after;
        plan_fini(&plan);
        world_fini(&world);
    }
    assert_true(gained > SEEDS / 2);
}

/* RebalanceRequest.even comes with a moves_max of 1, for masters that do not
 * know it: they move nothing then. */
/* A move is made when it leaves its node empty. */
static void no_move_is_in_vain(void **state)
{
    size_t moved = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world world;
        struct plan plan;

        world_init(&world, seed);
        plan_init(&plan, &world.placer);
        plan_rebalance(&plan, 1);
        assert_true(plan.count <= 1);
        assert_int_equal(plan.nodes_after, plan.nodes_before - plan.count);
        moved += plan.count;
        plan_fini(&plan);
        world_fini(&world);
    }
    assert_true(moved > 0);
}

/* ---- the placer itself; what it proposes is applied after the step ---- */

enum { PROPOSED_MAX = 16 };

static struct {
    struct replica_proposal *proposals[PROPOSED_MAX];
    Kontor__V1__Command *commands[PROPOSED_MAX]; /* owned */
    size_t count;
} proposed;

void propose(struct replica *replica, struct replica_proposal *proposal,
             Kontor__V1__Command *command)
{
    size_t length = kontor__v1__command__get_packed_size(command);
    uint8_t *bytes = memory_new(length + 1);

    (void)replica;
    assert_true(proposed.count < PROPOSED_MAX);
    kontor__v1__command__pack(command, bytes);
    proposed.commands[proposed.count] =
        kontor__v1__command__unpack(NULL, length, bytes);
    proposed.proposals[proposed.count++] = proposal;
    free(bytes);
}

/* Until there is nothing more that it would do. */
static void run_placer(struct world *world)
{
    const struct error none = {0};
    bool more = true;

    placer_refresh(&world->placer);
    while (more) {
        more = placer_step(&world->placer) || proposed.count > 0;
        for (size_t i = 0; i < proposed.count; i++) {
            apply_message(world->cluster, proposed.commands[i]);
            placer_refresh(&world->placer);
            proposed.proposals[i]->done(proposed.proposals[i],
                                        world->cluster->index, &none);
            kontor__v1__command__free_unpacked(proposed.commands[i], NULL);
        }
        proposed.count = 0;
    }
}

/* Where everybody has a place that the placer would not change; and to the
 * placer, which is new, no node is contested. */
static void settle(struct world *world)
{
    placer_lead(&world->placer);
    run_placer(world);
    for (uint64_t id = 1; id < world->cluster->next_pod_id; id++) {
        const struct pod *pod = pods_find(&world->cluster->pods, id);

        if (pod && pod->facts.phase == KONTOR__V1__POD_PHASE__POD_PENDING)
            do_stop(world->cluster, id, NO_REQUEST);
    }
    placer_fini(&world->placer);
    placer_init(&world->placer, world->cluster);
    run_placer(world);
}

/* As the placer places them: the highest priority first, lower ones make room
 * for it and go elsewhere, or wait. */
static void a_loss_does_what_was_planned(void **state)
{
    enum { LOSSES = 5 * SEEDS };
    size_t fates[PLAN_FATES] = {0}, preempted = 0, again = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= LOSSES; seed++) {
        struct world world;
        struct plan plan;
        const struct node *node;

        world_fill(&world, seed, seed % 5 + 1);
        settle(&world);
        node = node_at(&world, seed % (NODES - 2) + 1);
        plan_init(&plan, &world.placer);
        plan_lose(&plan, node);
        for (size_t i = 0; i < plan.count; i++)
            assert_int_equal(plan.pods[i].from_id,
                             plan.pods[i].pod->facts.node_id);
        do_state(world.cluster, node->id, KONTOR__V1__NODE_STATE__NODE_LOST);
        run_placer(&world);
        expect_done(&plan);
        assert_int_equal(nodes_used(world.cluster), plan.nodes_after);
        for (int i = 0; i < PLAN_FATES; i++)
            fates[i] += plan.fates[i];
        for (size_t i = 0; i < plan.count; i++)
            again += plan.pods[i].for_whom && plan.pods[i].to_id;
        preempted += plan.preempted;
        plan_fini(&plan);
        world_fini(&world);
    }
    assert_true(fates[PLAN_PLACED] > LOSSES && fates[PLAN_PENDING] > LOSSES);
    assert_true(fates[PLAN_FAILS] > 0 && preempted > LOSSES / 4 && again > 5);
}

static void a_node_more_takes_pending_pods(void **state)
{
    struct plan_nodes more = {.capacity = {{16000, 64 << 20, 0, 0}},
                              .count = 1};
    struct world world;
    struct plan plan;

    (void)state;
    world.cluster = cluster_new();
    do_register(world.cluster, "n1", capacity);
    for (int i = 0; i < 4; i++)
        do_create(world.cluster,
                  (struct create){.want = {9000, 1 << 20, 0, 0}, .node_id = 1});
    placer_init(&world.placer, world.cluster);
    placer_refresh(&world.placer);
    plan_init(&plan, &world.placer);
    plan_add(&plan, &more);
    assert_int_equal(plan.count, 1);
    assert_int_equal(plan.pods[0].pod->facts.id, 2);
    assert_int_equal(plan.pods[0].from_id, 0);
    assert_int_equal(plan.pods[0].to_id, world.cluster->next_node_id);
    assert_int_equal(plan.fates[PLAN_PENDING], 2);
    assert_int_equal(plan.nodes_before, 1);
    assert_int_equal(plan.nodes_after, 2);
    plan_fini(&plan);
    world_fini(&world);
}

/* Three of 9 cores together need three nodes more of the label's kind. */
static void nodes_more_take_a_gang_as_a_whole(void **state)
{
    Kontor__V1__Label label = KONTOR__V1__LABEL__INIT;
    Kontor__V1__Label *labels[] = {&label};
    static const uint64_t nowhere[3];
    struct world world;

    (void)state;
    label.key = without_const("zone");
    label.value = without_const("a");
    world.cluster = cluster_new();
    do_create_many(world.cluster,
                   (struct create){.want = {9000, 1 << 20, 0, 0}},
                   (struct nodes_chosen){nowhere, 3, 0}, true);
    do_create(world.cluster, (struct create){.want = {9000, 1 << 20, 0, 0}});
    placer_init(&world.placer, world.cluster);
    placer_refresh(&world.placer);
    for (uint32_t count = 1; count <= 4; count++) {
        struct plan_nodes more = {.capacity = {{16000, 64 << 20, 0, 0}},
                                  .labels = labels,
                                  .label_count = 1,
                                  .count = count};
        struct plan plan;

        plan_init(&plan, &world.placer);
        plan_add(&plan, &more);
        assert_int_equal(plan.nodes_added, count);
        assert_int_equal(plan.fates[PLAN_PLACED], count < 3 ? 1 : count);
        assert_int_equal(plan.fates[PLAN_PENDING], count < 3 ? 3 : 4 - count);
        plan_fini(&plan);
    }
    world_fini(&world);
}

static void evening_out_does_what_was_planned(void **state)
{
    size_t gained = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        size_t moves_max = seed % 3 ? MOVES_MAX : 3;
        struct evenness now;
        struct world world;
        struct plan plan;

        world_init(&world, seed);
        plan_init(&plan, &world.placer);
        plan_even(&plan, moves_max);
        assert_true(plan.count <= moves_max);
        now = placement_evenness(world.placer.view);
        assert_memory_equal(&now, &plan.even_before, sizeof now);
        carry_out(&world, &plan);
        placer_refresh(&world.placer);
        now = placement_evenness(world.placer.view);
        assert_memory_equal(&now, &plan.even_after, sizeof now);
        assert_true(now.deviation <= plan.even_before.deviation);
        gained += plan.count;
        plan_fini(&plan);
        world_fini(&world);
    }
    assert_true(gained > SEEDS);
}

/* A new pod's spec. */
struct new_spec {
    Kontor__V1__PodSpec spec;
    Kontor__V1__Resources resources;
};

static struct plan_wanted want(struct new_spec *out, uint32_t cpu,
                               uint32_t pods)
{
    static char app[] = "new";

    kontor__v1__pod_spec__init(&out->spec);
    kontor__v1__resources__init(&out->resources);
    out->resources.cpu_milli = cpu;
    out->resources.memory_bytes = cpu << 8;
    out->spec.resources = &out->resources;
    out->spec.app = app;
    return (struct plan_wanted){.spec = &out->spec, .pods = pods, .number = 1};
}

/* So many as fit, where Schedule places them; a gang all or not at all. */
static void new_pods_go_where_they_would_be_placed(void **state)
{
    enum { NEW = 60 };
    bool cut = false, whole = false;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct placement_request requests[NEW];
        struct placement_hold *holds[NEW];
        struct new_spec spec;
        struct plan_wanted wanted =
            want(&spec, 1000 + 500 * (uint32_t)(seed % 5), NEW);
        struct world world;
        struct plan plan;
        size_t fit = 0;

        wanted.gang = seed % 2;
        world_init(&world, seed);
        plan_init(&plan, &world.placer);
        plan_schedule(&plan, &wanted);
        for (size_t i = 0; i < NEW; i++)
            requests[i] = placer_request(wanted.spec);
        placement_place_all(world.placer.view, requests, NEW, holds);
        for (size_t i = 0; i < NEW; i++)
            fit += holds[i] != NULL;
        assert_int_equal(plan.count, NEW);
        assert_int_equal(plan.preempted, 0);
        assert_int_equal(plan.fates[PLAN_PLACED],
                         wanted.gang && fit < NEW ? 0 : fit);
        assert_int_equal(plan.gang, wanted.gang && fit < NEW ? NEW : 0);
        if (plan.gang)
            assert_int_equal(plan.gang_fit, fit);
        for (size_t i = 0; i < NEW && !plan.gang; i++) {
            assert_int_equal(plan.pods[i].number, i + 1);
            assert_int_equal(plan.pods[i].to_id,
                             holds[i] ? placement_hold_node(holds[i]) : 0);
        }
        for (size_t i = 0; i < NEW; i++)
            placement_unhold(world.placer.view, holds[i]);
        cut |= plan.gang > 0;
        whole |= wanted.gang && !plan.gang;
        plan_fini(&plan);
        world_fini(&world);
    }
    assert_true(cut && whole);
}

/* On three nodes of 16 cores: low pods of 9, the first of which may not run
 * twice, on two, and the third has 10 left. */
static void init_low(struct world *world)
{
    char name[16];

    world->cluster = cluster_new();
    world->cluster->format = CLUSTER_FORMAT_1;
    for (int i = 1; i <= 3; i++) {
        snprintf(name, sizeof name, "n%d", i);
        do_register(world->cluster, name, capacity);
    }
    for (uint64_t id = 1; id <= 3; id++)
        do_create(
            world->cluster,
            (struct create){
                .want = {id == 3 ? 6000 : 9000, 1 << 20, 0, 0},
                .node_id = id,
                .restart = id == 1 ? KONTOR__V1__RESTART_POLICY__RESTART_NEVER
                                   : KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS,
                .priority = -5,
            });
    placer_init(&world->placer, world->cluster);
    placer_refresh(&world->placer);
}

static const struct {
    const char *what;
    int32_t priority;
    uint32_t cpu, pods;
    bool gang;
    size_t placed, pending, preempted;
} preemptions[] = {
    {"as many as fit", 0, 10000, 1, false, 1, 0, 0},
    {"one victim, which fits elsewhere no more", 0, 10000, 2, false, 2, 1, 1},
    {"no more than may yield", 0, 10000, 3, false, 2, 2, 1},
    {"not for the same priority", -5, 10000, 2, false, 1, 1, 0},
    {"not for a gang", 0, 10000, 2, true, 0, 2, 0},
    {"one victim, which goes elsewhere", 0, 12000, 1, false, 2, 0, 1},
};

static void lower_priorities_make_room(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(preemptions); i++) {
        struct new_spec spec;
        struct plan_wanted wanted =
            want(&spec, preemptions[i].cpu, preemptions[i].pods);
        struct world world;
        struct plan plan;

        print_message("%s\n", preemptions[i].what);
        spec.spec.priority = preemptions[i].priority;
        wanted.gang = preemptions[i].gang;
        init_low(&world);
        plan_init(&plan, &world.placer);
        plan_schedule(&plan, &wanted);
        assert_int_equal(plan.fates[PLAN_PLACED], preemptions[i].placed);
        assert_int_equal(plan.fates[PLAN_PENDING], preemptions[i].pending);
        assert_int_equal(plan.preempted, preemptions[i].preempted);
        for (size_t k = wanted.pods; k < plan.count; k++) {
            assert_true(plan.pods[k].winner > 0);
            assert_int_not_equal(plan.pods[k].pod->facts.id, 1);
            assert_int_equal(plan.pods[k].from_id,
                             plan.pods[k].pod->facts.node_id);
            assert_int_equal(plan.pods[plan.pods[k].winner - 1].to_id,
                             plan.pods[k].from_id);
        }
        plan_fini(&plan);
        world_fini(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drain_does_what_was_planned),
        cmocka_unit_test(a_rebalance_does_what_was_planned),
        cmocka_unit_test(no_move_is_in_vain),
        cmocka_unit_test(a_loss_does_what_was_planned),
        cmocka_unit_test(a_node_more_takes_pending_pods),
        cmocka_unit_test(nodes_more_take_a_gang_as_a_whole),
        cmocka_unit_test(evening_out_does_what_was_planned),
        cmocka_unit_test(new_pods_go_where_they_would_be_placed),
        cmocka_unit_test(lower_priorities_make_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
