/* The rules of pods beside room: a table of requests against one small
 * cluster, and the same choices looked for in the plainest way. */
#include "master/placement/ceiling.h"
#include "master/placement/explain.h"
#include "master/placement/index.h"
#include "master/placement/plan.h"

#include "base/lang.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 4, APPS_MAX = 2, CONSTRAINTS_MAX = 2 };

/* n1 and n2 are in zone a, n3 in b, n4 in none and tainted. n3 knows user
 * namespaces; on n2 an operator has said no; the others are older. */
static const char *const names[] = {"", "n1", "n2", "n3", "n4"};
static const char *const zones[] = {NULL, "a", "a", "b", NULL};
static const char *const userns[] = {NULL, NULL, "no", "yes", NULL};

struct world {
    struct placement *placement;
    Kontor__V1__PodSpec specs[16];
    size_t spec_count;
};

static void add_node(struct world *world, uint64_t id)
{
    Kontor__V1__Label feature = KONTOR__V1__LABEL__INIT;
    Kontor__V1__Label zone = KONTOR__V1__LABEL__INIT;
    Kontor__V1__Label taint = KONTOR__V1__LABEL__INIT;
    Kontor__V1__Label *labels[] = {&zone, &feature};
    Kontor__V1__Label *taints[] = {&taint};
    char key[] = "zone", gpu[] = "gpu", yes[] = "yes", value[8] = "";
    struct placement_node node = {
        .id = id, .name = names[id], .capacity = {{8000, 8000, 8000, 8000}}};

    node.free = node.capacity;
    zone.key = key;
    zone.value = value;
    taint.key = gpu;
    taint.value = yes;
    if (zones[id]) {
        strcpy(value, zones[id]);
        feature.key = without_const("kontor.io/userns");
        feature.value = without_const(userns[id]);
        node.labels = (struct kind_labels){labels, userns[id] ? 2 : 1, NULL, 0};
    } else {
        node.labels = (struct kind_labels){NULL, 0, taints, 1};
    }
    placement_set(world->placement, &node);
}

/* As it is, but cordoned. */
static void close_node(struct placement *placement, uint64_t id)
{
    struct placement_entry *entry = placement_find(placement, id);

    entry->node.closed = PLACEMENT_CORDONED;
    placement_touch(placement, entry);
}

static struct world world_new(void)
{
    struct world world = {.placement = placement_new()};

    for (uint64_t id = 1; id <= NODES; id++)
        add_node(&world, id);
    return world;
}

/* Many nodes, each of a kind of its own, which have next to no memory. */
static void add_kinds(struct placement *placement)
{
    for (uint64_t id = NODES + 1; id <= NODES + 70; id++) {
        Kontor__V1__Label label = KONTOR__V1__LABEL__INIT;
        Kontor__V1__Label *labels[] = {&label};
        char key[] = "id", value[8];
        struct placement_node node = {
            .id = id,
            .name = "",
            .labels = {labels, 1, NULL, 0},
            .capacity = {{8000, id == NODES + 70 ? 100 : 99, 0, 0}}};

        snprintf(value, sizeof value, "%d", (int)id);
        label.key = key;
        label.value = value;
        placement_set(placement, &node);
    }
}

/* ---- requests in words: "app=web anti=db spread=zone zone=a,b" ---- */

struct asked {
    Kontor__V1__PodSpec spec;
    Kontor__V1__Constraint constraint;
    Kontor__V1__Constraint *constraints[1];
    Kontor__V1__Label toleration;
    Kontor__V1__Label *tolerations[1];
    char *values[4];
    char *anti[1], *with[1];
    Kontor__V1__HealthCheck health;
    Kontor__V1__ContainerSpec container;
    Kontor__V1__ContainerSpec *containers[1];
    char text[128];
};

static void read_constraint(struct asked *asked, char *key, char *values,
                            bool none_of)
{
    char *rest = NULL;

    kontor__v1__constraint__init(&asked->constraint);
    asked->constraint.key = key;
    asked->constraint.none_of = none_of;
    asked->constraint.values = asked->values;
    for (char *one = strtok_r(values, ",", &rest); one;
         one = strtok_r(NULL, ",", &rest))
        asked->values[asked->constraint.n_values++] = one;
    asked->constraints[0] = &asked->constraint;
    asked->spec.constraints = asked->constraints;
    asked->spec.n_constraints = 1;
}

static void read_word(struct asked *asked, char *key, char *value)
{
    size_t length = strlen(key);

    if (strcmp(key, "app") == 0) {
        asked->spec.app = value;
    } else if (strcmp(key, "node") == 0) {
        asked->spec.node = value;
    } else if (strcmp(key, "spread") == 0) {
        asked->spec.spread = value;
    } else if (strcmp(key, "anti") == 0) {
        asked->anti[0] = value;
        asked->spec.anti = asked->anti;
        asked->spec.n_anti = 1;
    } else if (strcmp(key, "with") == 0) {
        asked->with[0] = value;
        asked->spec.with = asked->with;
        asked->spec.n_with = 1;
    } else if (strcmp(key, "tolerate") == 0) {
        kontor__v1__label__init(&asked->toleration);
        asked->toleration.key = value;
        asked->tolerations[0] = &asked->toleration;
        asked->spec.tolerations = asked->tolerations;
        asked->spec.n_tolerations = 1;
    } else if (strcmp(key, "userns") == 0) {
        asked->spec.userns = true;
    } else if (strcmp(key, "io") == 0) {
        asked->spec.io_bytes = 1;
    } else if (strcmp(key, "health") == 0) {
        kontor__v1__health_check__init(&asked->health);
        kontor__v1__container_spec__init(&asked->container);
        asked->container.health = &asked->health;
        asked->containers[0] = &asked->container;
        asked->spec.containers = asked->containers;
        asked->spec.n_containers = 1;
    } else {
        bool none_of = key[length - 1] == '!';

        if (none_of)
            key[length - 1] = '\0';
        read_constraint(asked, key, value, none_of);
    }
}

static void ask(struct asked *asked, const char *words)
{
    char *rest = NULL;

    *asked = (struct asked){0};
    kontor__v1__pod_spec__init(&asked->spec);
    strcpy(asked->text, words);
    for (char *word = strtok_r(asked->text, " ", &rest); word;
         word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');

        *equals = '\0';
        read_word(asked, word, equals + 1);
    }
}

static struct placement_request request_of(const struct asked *asked)
{
    return (struct placement_request){
        .want = {{100, 100, 0, 0}}, .node = "", .spec = &asked->spec};
}

/* ---- the table ---- */

static const struct {
    const char *rule;
    const char *there[2]; /* on n1, on n3 */
    const char *asks;
    uint64_t node;
    const char *why_not[NODES + 1]; /* of n1 ... */
} rules[] = {
    {"a label must have the value",
     {0},
     "app=web zone=b",
     3,
     {NULL, "does not meet zone=b", "does not meet zone=b", "",
      "does not meet zone=b"}},
    {"one of the values will do",
     {0},
     "app=web zone=c,b",
     3,
     {NULL, "does not meet zone in (c,b)", "does not meet zone in (c,b)", "",
      "does not meet zone in (c,b)"}},
    {"none of the values",
     {0},
     "app=web zone!=a",
     3,
     {NULL, "does not meet zone!=a", "does not meet zone!=a", "",
      "taint gpu=yes is not tolerated"}},
    {"what is tainted is for those who tolerate it",
     {0},
     "app=web tolerate=gpu zone!=a,b",
     4,
     {NULL, "does not meet zone not in (a,b)",
      "does not meet zone not in (a,b)", "does not meet zone not in (a,b)",
      ""}},
    {"away from an app",
     {"app=db", NULL},
     "app=web anti=db",
     2,
     {NULL, "runs a pod of db", "", "", "taint gpu=yes is not tolerated"}},
    {"an app that keeps off this one",
     {"app=db anti=web", NULL},
     "app=web",
     2,
     {NULL, "runs a pod that keeps off web", "", "",
      "taint gpu=yes is not tolerated"}},
    {"by an app",
     {NULL, "app=db"},
     "app=web with=db",
     3,
     {NULL, "runs no pod of db", "runs no pod of db", "",
      "taint gpu=yes is not tolerated"}},
    {"by an app that runs nowhere",
     {0},
     "app=web with=db",
     0,
     {NULL, "runs no pod of db", "runs no pod of db", "runs no pod of db",
      "taint gpu=yes is not tolerated"}},
    {"the first by its own kind",
     {0},
     "app=web with=web",
     1,
     {NULL, "", "", "", "taint gpu=yes is not tolerated"}},
    {"the second by its own kind",
     {NULL, "app=web"},
     "app=web with=web",
     3,
     {NULL, "runs no pod of web", "runs no pod of web", "",
      "taint gpu=yes is not tolerated"}},
    {"what not every knode can do",
     {0},
     "app=web userns=yes",
     3,
     {NULL, "its knode has no kontor.io/userns",
      "its knode has no kontor.io/userns", "",
      "its knode has no kontor.io/userns"}},
    {"what none of them can do",
     {0},
     "app=web health=yes",
     0,
     {NULL, "its knode has no kontor.io/health", NULL,
      "its knode has no kontor.io/health", NULL}},
    {"a limit that no knode knows",
     {0},
     "app=web io=yes",
     0,
     {NULL, "its knode has no kontor.io/io", NULL,
      "its knode has no kontor.io/io", NULL}},
    {"over nodes", {"app=web", NULL}, "app=web spread=host", 2, {0}},
    {"over zones",
     {"app=web", NULL},
     "app=web spread=zone",
     3,
     {NULL, "", "", "", "taint gpu=yes is not tolerated"}},
    {"over zones, two of two have one",
     {"app=web", "app=web"},
     "app=web spread=zone",
     1,
     {0}},
    {"over a label that only a tainted node lacks",
     {0},
     "app=web spread=zone tolerate=gpu",
     1,
     {NULL, "", "", "", "has no label zone to spread over"}},
};

static void expect_reasons(const struct placement *placement,
                           const struct placement_request *request,
                           const char *const *why_not)
{
    size_t count;
    struct placement_verdict *verdicts =
        placement_explain(placement, request, &count);
    char text[PLACEMENT_RULE_MAX];

    for (size_t i = 0; i < count; i++) {
        placement_rule_text(request, &verdicts[i], text);
        if (why_not[verdicts[i].node->id])
            assert_string_equal(text, why_not[verdicts[i].node->id]);
    }
    free(verdicts);
}

static void rules_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        struct world world = world_new();
        struct asked asked, there[2];
        struct placement_request request;
        uint64_t chosen;

        for (int k = 0; k < 2; k++) {
            if (!rules[i].there[k])
                continue;
            ask(&there[k], rules[i].there[k]);
            placement_put(world.placement, k == 0 ? 1 : 3, 7, &there[k].spec);
        }
        ask(&asked, rules[i].asks);
        request = request_of(&asked);
        chosen = placement_choose(world.placement, &request);
        if (chosen != rules[i].node)
            fail_msg("%s: chose n%d", rules[i].rule, (int)chosen);
        expect_reasons(world.placement, &request, rules[i].why_not);
        placement_free(world.placement);
    }
}

/* ---- together ---- */

/* What is held counts, so that two of one batch keep apart. */
static void a_batch_keeps_its_own_rules(void **state)
{
    struct world world = world_new();
    struct asked asked;
    struct placement_request requests[5];
    struct placement_hold *holds[5];
    bool taken[NODES + 1] = {false};

    (void)state;
    ask(&asked, "app=web anti=web");
    for (int i = 0; i < 5; i++)
        requests[i] = request_of(&asked);
    placement_place_all(world.placement, requests, 5, holds);
    for (int i = 0; i < 3; i++) {
        assert_non_null(holds[i]);
        assert_false(taken[placement_hold_node(holds[i])]);
        taken[placement_hold_node(holds[i])] = true;
    }
    assert_null(holds[3]);
    assert_null(holds[4]);
    for (int i = 0; i < 5; i++)
        placement_unhold(world.placement, holds[i]);
    assert_int_equal(placement_choose(world.placement, &requests[0]), 1);
    placement_free(world.placement);
}

/* What is known from the last one is not used for another's: both apps are on
 * the fullest node that does. */
static void apps_of_one_batch_do_not_mix(void **state)
{
    struct world world = world_new();
    struct asked asked[2];
    struct placement_request requests[4];
    struct placement_hold *holds[4];

    (void)state;
    ask(&asked[0], "app=web anti=web");
    ask(&asked[1], "app=db anti=db");
    for (int i = 0; i < 4; i++)
        requests[i] = request_of(&asked[i % 2]);
    placement_place_all(world.placement, requests, 4, holds);
    for (int i = 0; i < 4; i++)
        assert_int_equal(placement_hold_node(holds[i]), i < 2 ? 1 : 2);
    for (int i = 0; i < 4; i++)
        placement_unhold(world.placement, holds[i]);
    placement_free(world.placement);
}

static void a_gang_is_placed_whole_or_not(void **state)
{
    struct world world = world_new();
    struct asked asked;
    struct placement_request requests[4];
    struct placement_hold *holds[4];
    size_t stuck = 99;

    (void)state;
    ask(&asked, "app=web anti=web");
    for (int i = 0; i < 4; i++)
        requests[i] = request_of(&asked);
    requests[2].want =
        (struct resources){{50, 50, 0, 0}}; /* the smallest comes last */
    assert_false(
        placement_place_gang(world.placement, requests, 4, holds, &stuck));
    assert_int_equal(stuck, 2);
    assert_int_equal(placement_choose(world.placement, &requests[0]), 1);
    assert_true(
        placement_place_gang(world.placement, requests, 3, holds, &stuck));
    assert_int_equal(placement_choose(world.placement, &requests[3]), 0);
    for (int i = 0; i < 3; i++)
        placement_unhold(world.placement, holds[i]);
    placement_free(world.placement);
}

/* ---- the closest first, and what would help ---- */

static const struct {
    const char *there[2]; /* on n1, on n3 */
    const char *asks;
    const char *said;
} remedies[] = {
    {{"app=db", NULL},
     "app=web zone!=a anti=db",
     "n3; n2 if it did not ask for zone!=a; n4 if it tolerated gpu=yes; n1"},
    {{"app=db anti=web", "app=log"},
     "app=web tolerate=gpu anti=log",
     "n2; n4; n1 if that pod went; n3 if it did not keep off log"},
    {{NULL, "app=db"},
     "app=web with=db spread=zone tolerate=gpu",
     "n3; n1 if a pod of db were there; n2 if a pod of db were there; n4"},
    {{0},
     "app=web spread=zone tolerate=gpu",
     "n1; n2; n3; n4 if the node had a label zone"},
    {{0}, "app=web userns=yes zone=a,b", "n3; n1; n2; n4"},
    {{0},
     "app=web node=n2 tolerate=gpu",
     "n2; n1 if it asked for no node; n3 if it asked for no node; n4 if it "
     "asked for no node"},
    {{0}, "app=web node=n4 zone=b", "n4; n3 if it asked for no node; n1; n2"},
};

static void expect_said(const struct placement *placement,
                        const struct placement_request *request,
                        uint64_t looks_left, const char *said)
{
    size_t count;
    struct placement_verdict *verdicts =
        placement_explain(placement, request, &count);
    char text[PLACEMENT_RULE_MAX], all[1024] = "";

    for (size_t i = 0; i < count; i++) {
        const char *remedy = placement_remedy_text(
            placement, request, &verdicts[i], &looks_left, text);

        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s%s%s",
                 i > 0 ? "; " : "", verdicts[i].node->name,
                 remedy[0] ? " " : "", remedy);
    }
    assert_string_equal(all, said);
    free(verdicts);
}

static void what_would_help_is_said(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(remedies); i++) {
        struct world world = world_new();
        struct asked asked, there[2];
        struct placement_request request;

        for (int k = 0; k < 2; k++) {
            if (!remedies[i].there[k])
                continue;
            ask(&there[k], remedies[i].there[k]);
            placement_put(world.placement, k == 0 ? 1 : 3, 7, &there[k].spec);
        }
        ask(&asked, remedies[i].asks);
        request = request_of(&asked);
        request.node = asked.spec.node;
        expect_said(world.placement, &request, 0, remedies[i].said);
        placement_free(world.placement);
    }
}

/* n1 is full of lower ones, n2 of others; n3 is cordoned, and n4 is, too, with
 * its taint. */
static void lower_ones_and_closed_nodes_would_help(void **state)
{
    struct world world = world_new();
    struct asked asked, low, high;
    struct placement_request request;
    Kontor__V1__Resources all = KONTOR__V1__RESOURCES__INIT;
    struct placement_node node = {.capacity = {{8000, 8000, 8000, 8000}}};

    (void)state;
    resources_tell(&node.capacity, &all);
    ask(&low, "app=low");
    ask(&high, "app=high");
    low.spec.priority = -1;
    low.spec.resources = high.spec.resources = &all;
    placement_give(world.placement, 1, 7, &low.spec);
    placement_give(world.placement, 2, 8, &high.spec);
    close_node(world.placement, 3);
    close_node(world.placement, 4);
    ask(&asked, "app=web");
    request = request_of(&asked);
    expect_said(world.placement, &request, 2000,
                "n1 if 1 pod of lower priority went; n2; n3 if the node were "
                "uncordoned; n4");
    expect_said(world.placement, &request, 100, /* no time to find it out */
                "n1; n2; n3 if the node were uncordoned; n4");
    placement_free(world.placement);
}

/* On nodes with room for 80; and with more kinds than are told apart by bits.
 */
static const struct {
    const char *what;
    const char *there; /* on n1 */
    const char *asks;
    size_t pods, fit;
    size_t more; /* with a last node that has room for one */
} gangs[] = {
    {"room alone, but for the tainted node", NULL, "app=web", 999, 240, 1},
    {"no more is counted than asked for", NULL, "app=web", 100, 100, 0},
    {"labels", NULL, "app=web zone=a", 999, 160, 0},
    {"what none has", NULL, "app=web zone=c", 999, 0, 0},
    {"tolerated", NULL, "app=web tolerate=gpu", 999, 320, 1},
    {"one a node", NULL, "app=web anti=web", 999, 3, 1},
    {"one a node, and others are there", "app=web", "app=web anti=web", 9, 3,
     1},
    {"away from others, which may go", "app=db", "app=web anti=db", 999, 240,
     1},
    {"all on one", NULL, "app=web with=web", 999, 80, 0},
    {"all on one, which is enough", NULL, "app=web with=web", 80, 80, 0},
    {"with those that are there", "app=web", "app=web with=web", 999, 240, 1},
    {"with others, which may come", NULL, "app=web with=db", 999, 240, 1},
};

static void a_gang_that_can_never_fit_is_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * ARRAY_LEN(gangs); i++) {
        size_t g = i / 2;
        struct world world = world_new();
        struct asked asked, there;
        struct placement_request request;
        size_t fit;

        if (i % 2)
            add_kinds(world.placement);
        if (gangs[g].there) {
            ask(&there, gangs[g].there);
            placement_put(world.placement, 1, 7, &there.spec);
        }
        ask(&asked, gangs[g].asks);
        request = request_of(&asked);
        fit = placement_ceiling(world.placement, &request, gangs[g].pods);
        if (fit != gangs[g].fit + (i % 2 ? gangs[g].more : 0))
            fail_msg("%s: %zu fit", gangs[g].what, fit);
        placement_free(world.placement);
    }
}

static void a_summary_counts_rules(void **state)
{
    struct world world = world_new();
    struct asked asked;
    struct placement_request request;
    char summary[PLACEMENT_SUMMARY_MAX];

    (void)state;
    ask(&asked, "app=web zone=c");
    request = request_of(&asked);
    assert_string_equal(placement_summarise(world.placement, &request, summary),
                        "4 with other labels");
    ask(&asked, "app=web userns=yes zone=a");
    request = request_of(&asked);
    assert_string_equal(
        placement_summarise(world.placement, &request, summary),
        "3 whose knode is too old or unable, 1 with other labels");
    placement_free(world.placement);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_hold),
        cmocka_unit_test(a_batch_keeps_its_own_rules),
        cmocka_unit_test(apps_of_one_batch_do_not_mix),
        cmocka_unit_test(a_gang_is_placed_whole_or_not),
        cmocka_unit_test(what_would_help_is_said),
        cmocka_unit_test(lower_ones_and_closed_nodes_would_help),
        cmocka_unit_test(a_gang_that_can_never_fit_is_known),
        cmocka_unit_test(a_summary_counts_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
