/* Many pods by one command: replicas, an app's scale, gangs; and pods that make
 * room for others. */
#include "base/fd.h"
#include "base/memory.h"
#include "master/cluster.h"
#include "master_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct wanted big = {8000, 8 << 20, 8 << 20, 8000};
static const struct wanted half = {4000, 1 << 20, 0, 0};

#define NODES(...)                                                            \
    ((struct nodes_chosen){.ids = (const uint64_t[]){__VA_ARGS__},            \
                           .count = sizeof((const uint64_t[]){__VA_ARGS__}) / \
                                    sizeof(uint64_t)})
static const struct nodes_chosen no_nodes;

/* "web-1@1 web-2 web-3!": on node 1, pending, stopping or stopped. */
static void expect(const struct cluster *cluster, const char *pods)
{
    char text[512] = "";
    size_t used = 0;

    for (const struct pod *pod = pods_after(&cluster->pods, 0); pod;
         pod = pods_after(&cluster->pods, pod->facts.id)) {
        used += (size_t)snprintf(&text[used], sizeof text - used, "%s%s",
                                 used ? " " : "", pod->name);
        if (pod->facts.node_id)
            used += (size_t)snprintf(&text[used], sizeof text - used, "@%u",
                                     (unsigned)pod->facts.node_id);
        if (pod->facts.stop_requested)
            used += (size_t)snprintf(&text[used], sizeof text - used, "!");
    }
    assert_string_equal(text, pods);
}

static void expect_code(struct cluster_result result, enum error_code code,
                        const char *part)
{
    assert_int_equal(result.error.code, code);
    if (!strstr(result.error.message, part))
        fail_msg("\"%s\" does not say \"%s\"", result.error.message, part);
}

/* Two nodes with room for two halves each. */
static struct cluster *two_nodes(void)
{
    struct cluster *cluster = cluster_new();

    do_register(cluster, "n1", big);
    do_register(cluster, "n2", big);
    return cluster;
}

/* The same state, from its snapshot. */
static struct cluster *loaded(struct cluster *cluster)
{
    CLEANUP(fd_close) int fd = save_to_file(cluster);
    struct cluster *copy;
    struct error why;

    if (cluster_load(&copy, fd, &why) != 0)
        fail_msg("%s", why.message);
    assert_true(same_state(cluster, copy));
    cluster_free(cluster);
    return copy;
}

/* ---- replicas ---- */

static void replicas_are_made_by_one_command(void **state)
{
    struct cluster *c = two_nodes();
    struct cluster_result made = do_create_many(
        c, (struct create){.want = half, .named = true}, NODES(1, 2, 0), false);

    (void)state;
    assert_int_equal(made.error.code, 0);
    assert_int_equal(made.subject_id, 1);
    expect(c, "web-1@1 web-2@2 web-3");
    assert_string_equal(text_string(pods_find(&c->pods, 3)->facts.reason),
                        "nothing fits");
    do_place(c, 3, 2);
    expect(c, "web-1@1 web-2@2 web-3@2");
    cluster_free(c);
}

static void all_are_made_or_none(void **state)
{
    struct cluster *c = two_nodes();
    struct create named = {.want = half, .named = true};
    struct create absurd = {.want = {1, UINT64_MAX, 0, 0}};
    uint64_t *many = memory_array(PODS_PER_COMMAND_MAX + 1, sizeof(uint64_t));

    (void)state;
    expect_code(do_create_many(c, named, no_nodes, false),
                ERROR_INVALID_ARGUMENT, "0 pods at one time: 1 to 10000");
    expect_code(
        do_create_many(c, named,
                       (struct nodes_chosen){many, PODS_PER_COMMAND_MAX + 1, 0},
                       false),
        ERROR_INVALID_ARGUMENT, "10001 pods at one time: 1 to 10000");
    expect_code(do_create_many(c, absurd, NODES(1, 2), false),
                ERROR_INVALID_ARGUMENT, "memory");
    expect(c, "");
    assert_int_equal(c->next_pod_id, 1);
    assert_int_equal(c->specs.map.count, 0);
    assert_int_equal(do_create_many(c, named, NODES(1, 1), false).error.code,
                     0);
    expect_code(do_create_many(c, named, NODES(2, 2), false),
                ERROR_ALREADY_EXISTS, "web has a pod");
    expect(c, "web-1@1 web-2@1");
    do_create_many(c, (struct create){0},
                   (struct nodes_chosen){many, PODS_PER_COMMAND_MAX, 0}, false);
    assert_int_equal(series_count(&c->pods.all), 2 + PODS_PER_COMMAND_MAX);
    free(many);
    cluster_free(c);
}

/* A node that has filled up since is not over-committed. */
static void what_fits_no_longer_is_pending(void **state)
{
    struct cluster *c = two_nodes();

    (void)state;
    do_create_many(c, (struct create){.want = half}, NODES(1, 1, 1, 7), false);
    expect(c, "web-1@1 web-2@1 web-3 web-4");
    assert_string_equal(text_string(pods_find(&c->pods, 3)->facts.reason),
                        "the node that was chosen has filled up or closed");
    cluster_free(c);
}

static void a_request_for_many_is_done_once(void **state)
{
    struct cluster *c = two_nodes();
    struct create create = {.want = half, .request = 9};

    (void)state;
    do_create_many(c, create, NODES(1, 2), false);
    c = loaded(c);
    assert_true(do_create_many(c, create, NODES(1, 2), false).replayed);
    expect(c, "web-1@1 web-2@2");
    cluster_free(c);
}

/* Each by itself, with the next generation. */
static void replicas_of_a_lost_node_are_placed_anew(void **state)
{
    struct cluster *c = two_nodes();

    (void)state;
    do_create_many(c, (struct create){.want = half}, NODES(1, 2, 1), false);
    do_state(c, 1, KONTOR__V1__NODE_STATE__NODE_LOST);
    expect(c, "web-1 web-2@2 web-3");
    do_place(c, 3, 2);
    expect(c, "web-1 web-2@2 web-3@2");
    assert_int_equal(pods_find(&c->pods, 3)->facts.generation, 2);
    cluster_free(c);
}

/* ---- scale ---- */

static void an_app_is_scaled_up_with_its_newest_spec(void **state)
{
    struct cluster *c = two_nodes();
    struct cluster_result made;

    (void)state;
    do_create(c, (struct create){.want = big, .node_id = 1});
    do_create(c, (struct create){.want = half, .node_id = 2});
    made = do_scale(c, "web", 4, NODES(2), NO_REQUEST);
    assert_int_equal(made.error.code, 0);
    assert_int_equal(made.subject_id, 3);
    expect(c, "web-1@1 web-2@2 web-3@2 web-4");
    assert_ptr_equal(pods_find(&c->pods, 4)->facts.spec,
                     pods_find(&c->pods, 2)->facts.spec);
    cluster_free(c);
}

/* Meanwhile a pod of another kind became the newest one. */
static void nodes_chosen_for_another_kind_do_not_count(void **state)
{
    struct cluster *c = two_nodes();
    struct nodes_chosen nodes = NODES(2);

    (void)state;
    do_create(c, (struct create){.want = half, .node_id = 1});
    do_create(c, (struct create){.want = big});
    nodes.like_pod_id = 1;
    do_scale(c, "web", 3, nodes, NO_REQUEST);
    expect(c, "web-1@1 web-2 web-3");
    do_create(c, (struct create){.want = half, .node_id = 1});
    do_scale(c, "web", 5, nodes, NO_REQUEST);
    expect(c, "web-1@1 web-2 web-3 web-4@1 web-5@2");
    cluster_free(c);
}

static void the_greatest_numbers_are_stopped_first(void **state)
{
    struct cluster *c = two_nodes();

    (void)state;
    do_create_many(c, (struct create){.want = half}, NODES(1, 2, 1, 0), false);
    do_stop(c, 2, NO_REQUEST);
    do_scale(c, "web", 2, no_nodes, NO_REQUEST);
    expect(c, "web-1@1 web-2@2! web-3@1 web-4!");
    do_scale(c, "web", 1, no_nodes, NO_REQUEST);
    expect(c, "web-1@1 web-2@2! web-3@1! web-4!");
    do_scale(c, "web", 0, no_nodes, NO_REQUEST);
    expect(c, "web-1@1! web-2@2! web-3@1! web-4!");
    do_scale(c, "web", 1, NODES(2), NO_REQUEST); /* still known */
    expect(c, "web-1@1! web-2@2! web-3@1! web-4! web-5@2");
    cluster_free(c);
}

static void a_scale_is_done_once(void **state)
{
    struct cluster *c = two_nodes();

    (void)state;
    do_create(c, (struct create){.want = half, .node_id = 1});
    do_scale(c, "web", 2, NODES(1), 5);
    do_scale(c, "web", 1, no_nodes, 6);
    assert_true(do_scale(c, "web", 2, NODES(1), 5).replayed);
    expect(c, "web-1@1 web-2@1!");
    cluster_free(c);
}

static void a_bad_scale_changes_nothing(void **state)
{
    struct cluster *c = two_nodes();

    (void)state;
    expect_code(do_scale(c, "web", 2, no_nodes, NO_REQUEST), ERROR_NOT_FOUND,
                "no app is called \"web\"");
    do_create(c, (struct create){0});
    expect_code(do_scale(c, "web", 10000000, no_nodes, NO_REQUEST),
                ERROR_INVALID_ARGUMENT, "1 to 10000 can be made");
    expect(c, "web-1");
    cluster_free(c);
}

/* Stopping thousands of pending pods forgets some of them on the way. */
static void more_are_stopped_than_are_remembered(void **state)
{
    struct cluster *c = cluster_new();
    uint64_t *many = memory_array(PODS_PER_COMMAND_MAX, sizeof(uint64_t));

    (void)state;
    do_create_many(c, (struct create){0},
                   (struct nodes_chosen){many, PODS_PER_COMMAND_MAX, 0}, true);
    do_scale(c, "web", 0, no_nodes, NO_REQUEST);
    assert_int_equal(series_count(&c->pods.all), PODS_ENDED_MAX);
    free(many);
    cluster_free(loaded(c));
}

/* ---- gangs ---- */

static void a_gang_that_fits_is_placed_at_once(void **state)
{
    struct cluster *c = two_nodes();

    (void)state;
    do_create_many(c, (struct create){.want = half}, NODES(1, 2, 1), true);
    expect(c, "web-1@1 web-2@2 web-3@1");
    assert_int_equal(pods_find(&c->pods, 1)->gang, 0);
    cluster_free(c);
}

static const struct {
    const char *rule;
    uint64_t nodes[3];
} half_gangs[] = {
    {"one has no node", {1, 2, 0}},
    {"a node takes only two of three", {2, 2, 2}},
    {"a node is not there", {1, 2, 7}},
};

static void no_gang_is_half_placed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(half_gangs); i++) {
        struct cluster *c = two_nodes();
        const uint64_t *nodes = half_gangs[i].nodes;

        do_create_many(c, (struct create){.want = half},
                       (struct nodes_chosen){nodes, 3, 0}, true);
        expect(c, "web-1 web-2 web-3");
        do_place_many(c,
                      (const struct chosen[]){
                          {1, nodes[0]}, {2, nodes[1]}, {3, nodes[2]}},
                      3);
        expect(c, "web-1 web-2 web-3");
        cluster_free(c);
    }
}

static void a_gang_is_placed_when_all_fit(void **state)
{
    struct cluster *c = two_nodes();
    const struct chosen all[] = {{2, 1}, {3, 2}, {4, 1}};
    const struct chosen others[] = {{3, 2}, {2, 1}, {4, 1}};
    const struct chosen mixed[] = {{5, 2}, {2, 1}, {3, 2}, {4, 1}};

    (void)state;
    do_create(c, (struct create){.app = "db", .want = big, .node_id = 1});
    do_create_many(c, (struct create){.want = half}, NODES(1, 2, 1), true);
    do_create(c, (struct create){.app = "job", .want = half});
    c = loaded(c);
    do_place_many(c, all, 3); /* n1 is full */
    expect(c, "db-1@1 web-1 web-2 web-3 job-1");
    do_report(c, 1, 1, 1, KONTOR__V1__POD_PHASE__POD_SUCCEEDED);
    do_place_many(c, all, 2);
    do_place_many(c, &all[1], 2);
    do_place_many(c, others, 3);
    expect(c, "db-1@1 web-1 web-2 web-3 job-1");
    do_place_many(c, mixed, 4);
    expect(c, "db-1@1 web-1@1 web-2@2 web-3@1 job-1@2");
    cluster_free(loaded(c));
}

/* Who is stopped before is not waited for. */
static void a_gang_goes_on_without_who_was_stopped(void **state)
{
    struct cluster *c = two_nodes();
    const struct chosen rest[] = {{1, 1}, {3, 2}};

    (void)state;
    do_create_many(c, (struct create){.want = half}, NODES(0, 0, 0), true);
    do_stop(c, 2, NO_REQUEST);
    c = loaded(c);
    do_place_many(c, rest, 2);
    expect(c, "web-1@1 web-2! web-3@2");
    cluster_free(c);
}

/* Once placed each is on its own. */
static void a_gang_that_ran_is_replaced_one_by_one(void **state)
{
    struct cluster *c = two_nodes();

    (void)state;
    do_create_many(c, (struct create){.want = half}, NODES(1, 2), true);
    do_state(c, 1, KONTOR__V1__NODE_STATE__NODE_LOST);
    expect(c, "web-1 web-2@2");
    do_place(c, 1, 2);
    expect(c, "web-1@2 web-2@2");
    cluster_free(c);
}

/* Two gangs of one app that wait side by side are two. */
static void gangs_of_one_app_are_apart(void **state)
{
    struct cluster *c = two_nodes();
    const struct chosen second[] = {{3, 1}, {4, 2}};

    (void)state;
    do_create_many(c, (struct create){.want = half}, NODES(0, 0), true);
    do_create_many(c, (struct create){.want = half}, NODES(0, 0), true);
    c = loaded(c);
    do_place_many(c, second, 2);
    expect(c, "web-1 web-2 web-3@1 web-4@2");
    cluster_free(c);
}

/* ---- preemption ---- */

/* Three halves of priority 0 and one that may run once only, and one of 5. */
static struct cluster *full_nodes(void)
{
    struct cluster *c = two_nodes();

    do_create_many(c, (struct create){.want = half}, NODES(1, 1, 2), false);
    do_create(c, (struct create){
                     .app = "once",
                     .want = half,
                     .node_id = 2,
                     .restart = KONTOR__V1__RESTART_POLICY__RESTART_NEVER});
    do_create(c, (struct create){.app = "high", .want = big, .priority = 5});
    return c;
}

static void pods_make_room_for_a_higher_priority(void **state)
{
    struct cluster *c = full_nodes();
    const struct move victims[] = {{.pod_id = 1}, {.pod_id = 2}};
    const struct node *node = nodes_find(&c->nodes, 1);

    (void)state;
    assert_int_equal(
        do_preempt(c, (struct chosen){5, 1}, victims, 2).error.code, 0);
    expect(c, "web-1 web-2 web-3@2 once-1@2 high-1@1");
    assert_string_equal(text_string(pods_find(&c->pods, 1)->facts.reason),
                        "preempted on n1 by high-1");
    assert_int_equal(node->leaving.count, 2); /* it is not started yet */
    assert_true(node_crowded(node));
    c = loaded(c);
    node = nodes_find(&c->nodes, 1);
    do_report(c, 1, 1, 1, KONTOR__V1__POD_PHASE__POD_STOPPED);
    do_report(c, 1, 2, 1, KONTOR__V1__POD_PHASE__POD_STOPPED);
    assert_false(node_crowded(node));
    expect(c, "web-1 web-2 web-3@2 once-1@2 high-1@1");
    do_stop(c, 3, NO_REQUEST);
    do_report(c, 2, 3, 1, KONTOR__V1__POD_PHASE__POD_STOPPED);
    do_place(c, 2, 2);
    assert_int_equal(pods_find(&c->pods, 2)->facts.generation, 2);
    cluster_free(c);
}

static const struct {
    const char *rule;
    struct chosen winner;
    struct move victims[2];
    size_t count;
} bad_preemptions[] = {
    {"not enough room", {5, 1}, {{.pod_id = 1}}, 1},
    {"twice the same", {5, 1}, {{.pod_id = 1}, {.pod_id = 1}}, 2},
    {"on another node", {5, 1}, {{.pod_id = 1}, {.pod_id = 3}}, 2},
    {"of an older placement",
     {5, 1},
     {{.pod_id = 1}, {.pod_id = 2, .generation = 7}},
     2},
    {"must not run twice", {5, 2}, {{.pod_id = 3}, {.pod_id = 4}}, 2},
    {"has a node", {3, 1}, {{.pod_id = 1}}, 1},
    {"is not there", {9, 1}, {{.pod_id = 1}}, 1},
    {"no such node", {5, 7}, {{.pod_id = 1}, {.pod_id = 2}}, 2},
};

static void a_preemption_is_done_whole_or_not_at_all(void **state)
{
    struct cluster *c = full_nodes();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_preemptions); i++) {
        expect_code(do_preempt(c, bad_preemptions[i].winner,
                               bad_preemptions[i].victims,
                               bad_preemptions[i].count),
                    ERROR_ABORTED, "changed since that was planned");
        expect(c, "web-1@1 web-2@1 web-3@2 once-1@2 high-1");
    }
    do_create(c, (struct create){.app = "equal", .want = half});
    do_preempt(c, (struct chosen){6, 1}, &(struct move){.pod_id = 1}, 1);
    do_stop(c, 2, NO_REQUEST);
    do_preempt(c, (struct chosen){5, 1},
               (const struct move[]){{.pod_id = 1}, {.pod_id = 2}}, 2);
    expect(c, "web-1@1 web-2@1! web-3@2 once-1@2 high-1 equal-1");
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replicas_are_made_by_one_command),
        cmocka_unit_test(all_are_made_or_none),
        cmocka_unit_test(what_fits_no_longer_is_pending),
        cmocka_unit_test(a_request_for_many_is_done_once),
        cmocka_unit_test(replicas_of_a_lost_node_are_placed_anew),
        cmocka_unit_test(an_app_is_scaled_up_with_its_newest_spec),
        cmocka_unit_test(nodes_chosen_for_another_kind_do_not_count),
        cmocka_unit_test(the_greatest_numbers_are_stopped_first),
        cmocka_unit_test(a_scale_is_done_once),
        cmocka_unit_test(a_bad_scale_changes_nothing),
        cmocka_unit_test(more_are_stopped_than_are_remembered),
        cmocka_unit_test(a_gang_that_fits_is_placed_at_once),
        cmocka_unit_test(no_gang_is_half_placed),
        cmocka_unit_test(a_gang_is_placed_when_all_fit),
        cmocka_unit_test(a_gang_goes_on_without_who_was_stopped),
        cmocka_unit_test(a_gang_that_ran_is_replaced_one_by_one),
        cmocka_unit_test(gangs_of_one_app_are_apart),
        cmocka_unit_test(pods_make_room_for_a_higher_priority),
        cmocka_unit_test(a_preemption_is_done_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
