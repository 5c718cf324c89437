/* Those who wait: whom a node could take, by the index and by looking at each;
 * and that it does not cost too much to say why they do. */
#include "base/memory.h"
#include "base/random.h"
#include "master/matcher.h"
#include "master/placer.h"
#include "master/reasons.h"
#include "master_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SEEDS = 40, STEPS = 300, LOOKS_A_STEP = 4 };

struct world {
    struct cluster *cluster;
    struct placer placer;
    struct random random;
    uint64_t odd; /* a third of the wants is turned down; 3: none is */
};

static void world_fini(struct world *world)
{
    placer_fini(&world->placer);
    cluster_free(world->cluster);
}

static struct wanted any_want(struct random *random)
{
    return (struct wanted){(uint32_t)random_below(random, 8) * 500,
                           random_below(random, 4) << 20,
                           random_below(random, 2), 0};
}

/* Pods come, go and are stopped; gangs among them. */
static void step(struct world *world)
{
    static const uint64_t nowhere[3];
    struct cluster *cluster = world->cluster;
    struct random *random = &world->random;
    struct create create = {.want = any_want(random),
                            .priority = (int32_t)random_below(random, 2)};
    uint64_t pod_id = random_below(random, cluster->next_pod_id) + 1;

    switch (random_below(random, 5)) {
    case 0:
        do_stop(cluster, pod_id, NO_REQUEST);
        return;
    case 1:
        do_place(cluster, pod_id, 1);
        return;
    case 2:
        do_create_many(
            cluster, create,
            (struct nodes_chosen){nowhere, 2 + random_below(random, 2), 0},
            true);
        return;
    default:
        do_create(cluster, create);
    }
}

static bool is_odd(const struct world *world, const struct spec *spec)
{
    return spec->want.amount[RESOURCE_CPU] / 500 % 3 == world->odd;
}

static bool suits_all(void *data, const Kontor__V1__PodSpec *spec)
{
    (void)data;
    (void)spec;
    return true;
}

static bool takes_some(void *data, struct seeker *seeker)
{
    return !is_odd(data, seeker->group->spec);
}

/* All of those who wait are looked at. */
static const struct pod *first_that_fits(const struct world *world,
                                         const struct resources *room)
{
    const struct waiting *waiting = &world->cluster->pods.waiting;
    const struct pod *best = NULL;

    list_for_each(link, next, &waiting->all)
    {
        const struct waiting_group *group =
            container_of(link, struct waiting_group, all);
        const struct pod *pod = waiting_first(group);

        if (resources_fit(room, &group->spec->want) &&
            !is_odd(world, group->spec) &&
            (!best || order_key_less(pending_key(pod), pending_key(best))))
            best = pod;
    }
    return best;
}

static void look(struct world *world)
{
    struct wanted some = any_want(&world->random);
    struct pending_query query = {
        .room = {{some.cpu_milli, some.memory_bytes, some.disk_bytes, 0}},
        .suits = suits_all,
        .takes = takes_some,
        .data = world};
    const struct seeker *found;

    world->odd = random_below(&world->random, 4);
    found = pending_match(&world->placer.pending, &query);
    assert_ptr_equal(found ? found->next : NULL,
                     first_that_fits(world, &query.room));
}

static void who_is_found_is_the_first_that_fits(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world world = {cluster_new(), .random = {seed}};

        do_register(world.cluster, "n1", (struct wanted){9000, 9 << 20, 9, 0});
        placer_init(&world.placer, world.cluster);
        for (int i = 0; i < STEPS; i++) {
            step(&world);
            placer_refresh(&world.placer);
            for (int k = 0; k < LOOKS_A_STEP; k++)
                look(&world);
        }
        world_fini(&world);
    }
}

/* Two that wait, of different specs, for a node that has 1 cpu. */
static void let_two_wait(struct world *world, const struct spec *specs[2])
{
    world->cluster = cluster_new();
    do_register(world->cluster, "n1", (struct wanted){1000, 9 << 20, 9, 0});
    placer_init(&world->placer, world->cluster);
    for (uint32_t i = 0; i < 2; i++) {
        struct create create = {.want = {2000 + i, 0, 0, 0}};
        uint64_t pod_id = do_create(world->cluster, create).subject_id;

        specs[i] = pods_find(&world->cluster->pods, pod_id)->facts.spec;
    }
    placer_refresh(&world->placer);
}

static void one_answer_has_so_many_reasons(void **state)
{
    const struct spec *specs[2];
    struct reasons few = {.nodes = REASONS_LOOKS_MAX}, all = {.nodes = 1};
    struct world world;
    const char *first;

    (void)state;
    let_two_wait(&world, specs);
    few.view = all.view = world.placer.view;
    first = reasons_find(&few, specs[0]);
    assert_string_equal(first, "no node could ever hold it: asks 2 cpu, the "
                               "largest node has 1");
    assert_null(reasons_find(&few, specs[1]));
    assert_ptr_equal(reasons_find(&few, specs[0]), first);
    assert_non_null(reasons_find(&all, specs[0]));
    assert_string_equal(reasons_find(&all, specs[1]),
                        "no node could ever hold it: asks 2.001 cpu, the "
                        "largest node has 1");
    reasons_fini(&few);
    reasons_fini(&all);
    world_fini(&world);
}

static void what_is_asked_for_in_vain_is_counted(void **state)
{
    const struct spec *specs[2];
    char text[PLACEMENT_SUMMARY_MAX];
    struct placement_request request;
    struct world world;

    (void)state;
    let_two_wait(&world, specs);
    request = placer_request(specs[0]->message);
    placer_reason(&world.placer, &request, text);
    assert_string_equal(text, "no node could ever hold it: asks 2 cpu, the "
                              "largest node has 1");
    placer_reason(&world.placer, &request, text); /* none are left */
    assert_string_equal(text, PLACER_NOWHERE);
    placer_step(&world.placer); /* time has gone by */
    placer_reason(&world.placer, &request, text);
    assert_string_not_equal(text, PLACER_NOWHERE);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_found_is_the_first_that_fits),
        cmocka_unit_test(one_answer_has_so_many_reasons),
        cmocka_unit_test(what_is_asked_for_in_vain_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
