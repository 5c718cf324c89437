/* Choosing with rules: any requests, on any nodes, through all that changes
 * them, against every node looked at in the plainest way. */
#include "master/placement/explain.h"
#include "master/placement/index.h"
#include "master/placement/plan.h"
#include "master/placement/preempt.h"

#include "base/lang.h"
#include "base/memory.h"
#include "base/random.h"
#include "plain_choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    SEEDS = 300,
    STEPS = 250,
    NODES_FEW = 20,
    NODES_MANY = 90, /* each of its own kind: more than are told apart */
    WORDS_MAX = 2,   /* of each sort in a request */
    MANY_MAX = 40,
};

/* ---- what may be said ---- */

enum { LABEL_ZONE, LABEL_DISK, LABEL_USERNS, LABEL_ID, LABELS };
enum { TAINT_GPU, TAINT_OLD, TAINTS };

static const char *const label_keys[LABELS] = {"zone", "disk",
                                               "kontor.io/userns", "id"};
static const char *const taint_keys[TAINTS] = {"gpu", "old"};
static const char *const values[] = {"a", "b", "c", "yes", "no", ""};
static const char *const apps[] = {"web", "db", "batch", "log"};
static const char *const spreads[] = {"", "", "host", "zone", "disk"};

struct node {
    struct placement_node facts; /* .id 0: it is not there yet */
    struct resources used;
    struct resources reserved;
    const char *labels[LABELS]; /* NULL: it has none */
    const char *taints[TAINTS];
    char name[8];
};

struct asked {
    Kontor__V1__PodSpec spec;
    Kontor__V1__Resources resources;
    Kontor__V1__Constraint constraints[WORDS_MAX];
    Kontor__V1__Constraint *constraint_list[WORDS_MAX];
    Kontor__V1__Label tolerations[WORDS_MAX];
    Kontor__V1__Label *toleration_list[WORDS_MAX];
    char *constraint_values[WORDS_MAX][2];
    char *anti[WORDS_MAX], *with[WORDS_MAX];
};

/* A pod that is on a node, or is held to come there. */
struct thing {
    struct asked *asked; /* owned; NULL: it has gone */
    struct placement_hold *hold;
    size_t at;
};

struct world {
    struct random random;
    struct placement *placement;
    struct resources greatest;
    size_t node_count;
    struct node nodes[NODES_MANY];
    struct thing things[STEPS];
    size_t thing_count;
};

/* ---- the nodes ---- */

static const char *draw(struct random *random, const char *const *from,
                        size_t count)
{
    return from[random_below(random, count)];
}

static bool one_in(struct random *random, uint64_t n)
{
    return random_below(random, n) == 0;
}

static size_t list_pairs(const char *const *keys, const char *const *of,
                         size_t count, Kontor__V1__Label *out)
{
    size_t pairs = 0;

    for (size_t i = 0; i < count; i++) {
        if (!of[i])
            continue;
        kontor__v1__label__init(&out[pairs]);
        out[pairs].key = without_const(keys[i]);
        out[pairs++].value = without_const(of[i]);
    }
    return pairs;
}

static void tell_node(struct world *world, struct node *node)
{
    Kontor__V1__Label pairs[LABELS + TAINTS];
    Kontor__V1__Label *list[LABELS + TAINTS];
    size_t labels = list_pairs(label_keys, node->labels, LABELS, pairs);
    size_t taints =
        list_pairs(taint_keys, node->taints, TAINTS, &pairs[labels]);

    for (size_t i = 0; i < labels + taints; i++)
        list[i] = &pairs[i];
    node->facts.labels =
        (struct kind_labels){list, labels, &list[labels], taints};
    node->facts.free = resources_less(&node->facts.capacity, &node->used);
    placement_set(world->placement, &node->facts);
}

static void close_or_open(struct world *world, struct node *node)
{
    struct random *random = &world->random;

    node->facts.closed =
        one_in(random, 2)
            ? (enum placement_closed)random_below(random, PLACEMENT_LOST + 1)
            : PLACEMENT_OPEN;
}

static void resize(struct world *world, struct node *node)
{
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint64_t amount = 20 + 5 * random_below(&world->random, 6);

        node->facts.capacity.amount[i] = amount;
        if (amount > world->greatest.amount[i])
            world->greatest.amount[i] = amount;
    }
}

static void label(struct world *world, struct node *node)
{
    struct random *random = &world->random;

    for (int i = 0; i < LABEL_ID; i++)
        node->labels[i] = one_in(random, 3) ? NULL : draw(random, values, 3);
    node->labels[LABEL_USERNS] = one_in(random, 3) ? NULL : "yes";
    node->labels[LABEL_ID] =
        world->node_count == NODES_MANY ? node->name : NULL;
    for (int i = 0; i < TAINTS; i++)
        node->taints[i] =
            one_in(random, 5) ? values[3 + random_below(random, 3)] : NULL;
}

/* It is new; or is closed or open, has another size, or other labels. */
static void change_node(struct world *world)
{
    struct random *random = &world->random;
    size_t at = random_below(random, world->node_count);
    struct node *node = &world->nodes[at];
    bool fresh = node->facts.id == 0;

    node->facts.id = at + 1;
    node->facts.name = node->name;
    snprintf(node->name, sizeof node->name, "n%zu", at + 1);
    if (fresh || one_in(random, 2))
        close_or_open(world, node);
    if (fresh || one_in(random, 4))
        resize(world, node);
    if (fresh || one_in(random, 2))
        label(world, node);
    tell_node(world, node);
}

/* ---- requests ---- */

static size_t draw_apps(struct random *random, char **out)
{
    size_t count = one_in(random, 4) ? 1 + random_below(random, WORDS_MAX) : 0;

    for (size_t i = 0; i < count; i++)
        out[i] = without_const(draw(random, apps, ARRAY_LEN(apps)));
    return count;
}

static void draw_constraints(struct random *random, struct asked *asked)
{
    size_t count = one_in(random, 2) ? random_below(random, WORDS_MAX + 1) : 0;

    for (size_t i = 0; i < count; i++) {
        Kontor__V1__Constraint *constraint = &asked->constraints[i];

        kontor__v1__constraint__init(constraint);
        constraint->key =
            without_const(draw(random, label_keys, LABEL_DISK + 1));
        constraint->values = asked->constraint_values[i];
        constraint->n_values = 1 + random_below(random, 2);
        for (size_t k = 0; k < constraint->n_values; k++)
            constraint->values[k] = without_const(draw(random, values, 3));
        constraint->none_of = one_in(random, 2);
        asked->constraint_list[i] = constraint;
    }
    asked->spec.constraints = asked->constraint_list;
    asked->spec.n_constraints = count;
}

static void draw_tolerations(struct random *random, struct asked *asked)
{
    size_t count = random_below(random, WORDS_MAX + 1);

    for (size_t i = 0; i < count; i++) {
        Kontor__V1__Label *toleration = &asked->tolerations[i];

        kontor__v1__label__init(toleration);
        toleration->key = without_const(draw(random, taint_keys, TAINTS));
        toleration->value = without_const(values[3 + random_below(random, 3)]);
        asked->toleration_list[i] = toleration;
    }
    asked->spec.tolerations = asked->toleration_list;
    asked->spec.n_tolerations = count;
}

static struct asked *draw_asked(struct world *world)
{
    struct random *random = &world->random;
    struct asked *asked = memory_new(sizeof *asked);
    struct resources want;

    for (int i = 0; i < RESOURCE_COUNT; i++)
        want.amount[i] = random_below(random, one_in(random, 8) ? 30 : 5);
    kontor__v1__pod_spec__init(&asked->spec);
    kontor__v1__resources__init(&asked->resources);
    resources_tell(&want, &asked->resources);
    asked->spec.resources = &asked->resources;
    asked->spec.app = without_const(draw(random, apps, ARRAY_LEN(apps)));
    asked->spec.spread =
        without_const(draw(random, spreads, ARRAY_LEN(spreads)));
    asked->spec.userns = one_in(random, 6);
    asked->spec.priority = (int32_t)random_below(random, 3) - 1;
    if (one_in(random, 4))
        asked->spec.restart = KONTOR__V1__RESTART_POLICY__RESTART_NEVER;
    if (one_in(random, 10))
        asked->spec.node =
            world->nodes[random_below(random, world->node_count)].name;
    draw_constraints(random, asked);
    draw_tolerations(random, asked);
    asked->spec.anti = asked->anti;
    asked->spec.n_anti = draw_apps(random, asked->anti);
    asked->spec.with = asked->with;
    asked->spec.n_with = draw_apps(random, asked->with);
    return asked;
}

/* ---- the rules, in the plainest way ---- */

static const char *label_of(const struct node *node, const char *key)
{
    for (int i = 0; i < LABELS; i++) {
        if (strcmp(label_keys[i], key) == 0)
            return node->labels[i];
    }
    return NULL;
}

static bool meets(const struct node *node,
                  const Kontor__V1__Constraint *constraint)
{
    const char *value = label_of(node, constraint->key);
    bool is_one = false;

    for (size_t i = 0; value && i < constraint->n_values; i++)
        is_one |= strcmp(constraint->values[i], value) == 0;
    return is_one != constraint->none_of;
}

static bool tolerates(const Kontor__V1__PodSpec *spec, const char *key,
                      const char *value)
{
    for (size_t i = 0; i < spec->n_tolerations; i++) {
        const Kontor__V1__Label *toleration = spec->tolerations[i];

        if (strcmp(toleration->key, key) == 0 &&
            (toleration->value[0] == '\0' ||
             strcmp(toleration->value, value) == 0))
            return true;
    }
    return false;
}

static bool suits(const struct node *node, const Kontor__V1__PodSpec *spec)
{
    const char *userns = node->labels[LABEL_USERNS];

    for (size_t i = 0; i < spec->n_constraints; i++) {
        if (!meets(node, spec->constraints[i]))
            return false;
    }
    for (int i = 0; i < TAINTS; i++) {
        if (node->taints[i] && !tolerates(spec, taint_keys[i], node->taints[i]))
            return false;
    }
    if (spec->userns && (!userns || strcmp(userns, "yes") != 0))
        return false;
    if (spec->node[0] && strcmp(spec->node, node->name) != 0)
        return false;
    return spec->spread[0] == '\0' || strcmp(spec->spread, "host") == 0 ||
           label_of(node, spec->spread);
}

static bool names(char *const *list, size_t count, const char *app)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], app) == 0)
            return true;
    }
    return false;
}

/* How many pods of the app there are on a node; NULL: on all. */
static size_t count_app(const struct world *world, const char *app,
                        const struct node *on)
{
    size_t count = 0;

    for (size_t i = 0; i < world->thing_count; i++) {
        const struct thing *thing = &world->things[i];

        count += thing->asked && strcmp(thing->asked->spec.app, app) == 0 &&
                 (!on || on == &world->nodes[thing->at]);
    }
    return count;
}

static bool admits(const struct world *world, const struct node *node,
                   const Kontor__V1__PodSpec *spec)
{
    for (size_t i = 0; i < spec->n_anti; i++) {
        if (count_app(world, spec->anti[i], node) > 0)
            return false;
    }
    for (size_t i = 0; i < spec->n_with; i++) {
        bool first = strcmp(spec->with[i], spec->app) == 0 &&
                     count_app(world, spec->app, NULL) == 0;

        if (!first && count_app(world, spec->with[i], node) == 0)
            return false;
    }
    for (size_t i = 0; i < world->thing_count; i++) {
        const struct thing *thing = &world->things[i];

        if (thing->asked && node == &world->nodes[thing->at] &&
            names(thing->asked->spec.anti, thing->asked->spec.n_anti,
                  spec->app))
            return false;
    }
    return true;
}

static size_t crowd_of(const struct world *world, const struct node *node,
                       const Kontor__V1__PodSpec *spec)
{
    size_t crowd = 0;

    if (spec->spread[0] == '\0')
        return 0;
    if (strcmp(spec->spread, "host") == 0)
        return count_app(world, spec->app, node);
    for (size_t i = 0; i < world->node_count; i++) {
        const char *value = label_of(&world->nodes[i], spec->spread);

        if (value && strcmp(value, label_of(node, spec->spread)) == 0)
            crowd += count_app(world, spec->app, &world->nodes[i]);
    }
    return crowd;
}

/* How many fit; `out` are those of them with the smallest crowd. */
static size_t find_fits(const struct world *world,
                        const struct placement_request *request,
                        struct plain_node *out, size_t *least_crowded)
{
    size_t count = 0, crowds[NODES_MANY], least = SIZE_MAX;
    struct plain_node all[NODES_MANY];

    for (size_t i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        struct resources room =
            resources_less(&node->facts.free, &node->reserved);

        if (node->facts.id == 0 || node->facts.closed != PLACEMENT_OPEN ||
            !resources_fit(&room, &request->want) ||
            !suits(node, request->spec) || !admits(world, node, request->spec))
            continue;
        crowds[count] = crowd_of(world, node, request->spec);
        if (crowds[count] < least)
            least = crowds[count];
        all[count++] = (struct plain_node){.id = node->facts.id, .room = room};
    }
    *least_crowded = 0;
    for (size_t i = 0; i < count; i++) {
        if (crowds[i] == least)
            out[(*least_crowded)++] = all[i];
    }
    return count;
}

static int32_t lowest_priority(const struct world *world)
{
    int32_t lowest = INT32_MAX;

    for (size_t i = 0; i < world->thing_count; i++) {
        const struct thing *thing = &world->things[i];

        if (thing->asked && !thing->hold &&
            thing->asked->spec.restart !=
                KONTOR__V1__RESTART_POLICY__RESTART_NEVER &&
            thing->asked->spec.priority < lowest)
            lowest = thing->asked->spec.priority;
    }
    return lowest;
}

/* ---- what happens ---- */

static struct placement_request request_of(const struct asked *asked)
{
    return (struct placement_request){resources_of(&asked->resources),
                                      asked->spec.node, &asked->spec};
}

static void put(struct world *world, struct thing *thing)
{
    struct node *node = &world->nodes[thing->at];
    struct resources want = resources_of(&thing->asked->resources);

    thing->hold = NULL;
    placement_put(world->placement, node->facts.id,
                  (uint64_t)(thing - world->things) + 1, &thing->asked->spec);
    resources_add(&node->used, &want);
    tell_node(world, node);
}

static void release(struct world *world, struct thing *thing)
{
    struct node *node = &world->nodes[thing->at];
    struct resources want = resources_of(&thing->asked->resources);

    if (thing->hold) {
        placement_unhold(world->placement, thing->hold);
        node->reserved = resources_less(&node->reserved, &want);
        return;
    }
    placement_take(world->placement, node->facts.id,
                   (uint64_t)(thing - world->things) + 1);
    node->used = resources_less(&node->used, &want);
    tell_node(world, node);
}

/* A pod goes; or one that was held comes to be there. */
static void change_thing(struct world *world)
{
    struct thing *thing;
    bool held;

    if (world->thing_count == 0)
        return;
    thing = &world->things[random_below(&world->random, world->thing_count)];
    if (!thing->asked)
        return;
    held = thing->hold != NULL;
    release(world, thing);
    if (held && one_in(&world->random, 2)) {
        put(world, thing);
        return;
    }
    free(thing->asked);
    thing->asked = NULL;
}

static void place(struct world *world, struct asked *asked, uint64_t node_id)
{
    struct thing *thing = &world->things[world->thing_count++];
    struct placement_request request = request_of(asked);

    *thing = (struct thing){.asked = asked, .at = node_id - 1};
    if (one_in(&world->random, 2)) {
        put(world, thing);
        return;
    }
    thing->hold = placement_hold(world->placement, node_id, &request);
    resources_add(&world->nodes[thing->at].reserved, &request.want);
}

static size_t count_explained(const struct placement *placement,
                              const struct placement_request *request)
{
    size_t count, fit = 0;
    struct placement_verdict *verdicts =
        placement_explain(placement, request, &count);

    for (size_t i = 0; i < count; i++)
        fit += placement_fits(&verdicts[i]);
    free(verdicts);
    return fit;
}

/* Returns whether it fits somewhere. */
static bool ask(struct world *world)
{
    struct asked *asked = draw_asked(world);
    struct placement_request request = request_of(asked);
    struct plain_measure by = {world->greatest, &world->placement->demand};
    struct plain_node fits[NODES_MANY];
    size_t count, all = find_fits(world, &request, fits, &count);
    uint64_t expected = plain_choose(fits, count, &by, &request.want);

    assert_int_equal(count_explained(world->placement, &request), all);
    assert_int_equal(placement_choose(world->placement, &request), expected);
    assert_int_equal(placement_may_preempt(world->placement, &request),
                     asked->spec.priority > lowest_priority(world));
    if (expected)
        place(world, asked, expected);
    else
        free(asked);
    return expected != 0;
}

/* Where each of so many goes; the room is given back. */
static void place_many(struct placement *placement,
                       const struct placement_request *requests, size_t count,
                       uint64_t *node_ids)
{
    struct placement_hold *holds[MANY_MAX];

    placement_place_all(placement, requests, count, holds);
    for (size_t i = 0; i < count; i++)
        node_ids[i] = holds[i] ? placement_hold_node(holds[i]) : 0;
    for (size_t i = 0; i < count; i++)
        placement_unhold(placement, holds[i]);
    placement_free(placement);
}

/* Many of one spec go where they would if each had a spec of its own: what is
 * known from the last one is not wrong of the next. */
static void ask_for_many(struct world *world)
{
    CLEANUP(free_pointer) struct asked *asked = draw_asked(world);
    Kontor__V1__PodSpec specs[MANY_MAX];
    struct placement_request same[MANY_MAX], own[MANY_MAX];
    uint64_t expected[MANY_MAX], got[MANY_MAX];
    size_t count = 1 + random_below(&world->random, MANY_MAX);

    for (size_t i = 0; i < count; i++) {
        same[i] = own[i] = request_of(asked);
        specs[i] = asked->spec;
        own[i].spec = &specs[i];
    }
    place_many(placement_copy(world->placement), own, count, expected);
    place_many(placement_copy(world->placement), same, count, got);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(got[i], expected[i]);
}

static void agrees_with_brute_force(void **state)
{
    size_t placed = 0, nowhere = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world world = {.random = {seed},
                              .placement = placement_new(),
                              .node_count = seed % 5 ? NODES_FEW : NODES_MANY};

        for (size_t i = 0; i < world.node_count; i++)
            change_node(&world);
        for (int i = 0; i < STEPS; i++) {
            switch (random_below(&world.random, 9)) {
            case 0:
                change_node(&world);
                break;
            case 1:
            case 2:
                change_thing(&world);
                break;
            case 3:
                ask_for_many(&world);
                break;
            default:
                if (ask(&world))
                    placed++;
                else
                    nowhere++;
            }
        }
        for (size_t i = 0; i < world.thing_count; i++) {
            if (world.things[i].asked)
                release(&world, &world.things[i]);
            free(world.things[i].asked);
        }
        placement_free(world.placement);
    }
    assert_true(placed > 20 * SEEDS && nowhere > 20 * SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_brute_force),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
