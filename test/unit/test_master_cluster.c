/* Applying commands: a story for each rule of master/cluster.h. */
#include "master/cluster.h"
#include "master_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PHASE(name) ((int)KONTOR__V1__POD_PHASE__POD_##name)
#define STATE(name) KONTOR__V1__NODE_STATE__NODE_##name

static const struct wanted big = {8000, 8 << 20, 8 << 20, 8000};
static const struct wanted half = {4000, 1 << 20, 0, 0};

static struct pod *pod_at(struct cluster *cluster, uint64_t id)
{
    struct pod *pod = pods_find(&cluster->pods, id);

    assert_non_null(pod);
    return pod;
}

static void expect_pod(struct cluster *cluster, const char *name, int phase,
                       uint64_t node_id, uint32_t generation)
{
    struct pod *pod = pods_find_name(&cluster->pods, name);

    assert_non_null(pod);
    assert_int_equal(pod->facts.phase, phase);
    assert_int_equal(pod->facts.node_id, node_id);
    assert_int_equal(pod->facts.generation, generation);
}

static void expect_code(struct cluster_result result, enum error_code code,
                        const char *part)
{
    assert_int_equal(result.error.code, code);
    if (!strstr(result.error.message, part))
        fail_msg("\"%s\" does not say \"%s\"", result.error.message, part);
}

/* The newest event. */
static void expect_event(struct cluster *cluster, int kind, const char *subject,
                         const char *message)
{
    const struct event *event =
        events_at(&cluster->events, cluster->events.next - 1);

    assert_int_equal(event->kind, kind);
    assert_string_equal(text_string(event->subject), subject);
    assert_string_equal(text_string(event->message), message);
}

/* ---- pods and their names ---- */

static void a_pod_is_created_placed_run_and_ended(void **state)
{
    struct cluster *c = cluster_new();
    struct cluster_result made;

    (void)state;
    do_register(c, "n1", big);
    made = do_create(c, (struct create){.want = half, .node_id = 1});
    assert_int_equal(made.error.code, 0);
    assert_int_equal(made.subject_id, 1);
    expect_pod(c, "web-1", PHASE(PLACED), 1, 1);
    expect_event(c, KONTOR__V1__EVENT_KIND__EVENT_POD_PLACED, "web-1",
                 "placed on n1");
    assert_int_equal(nodes_find(&c->nodes, 1)->allocated.amount[RESOURCE_CPU],
                     4000);

    do_report(c, 1, 1, 1, KONTOR__V1__POD_PHASE__POD_RUNNING);
    expect_pod(c, "web-1", PHASE(RUNNING), 1, 1);
    expect_event(c, KONTOR__V1__EVENT_KIND__EVENT_POD_STATUS, "web-1",
                 "running on n1, 10.42.1.2");

    do_report(c, 1, 1, 1, KONTOR__V1__POD_PHASE__POD_SUCCEEDED);
    expect_pod(c, "web-1", PHASE(SUCCEEDED), 1, 1);
    expect_event(c, KONTOR__V1__EVENT_KIND__EVENT_POD_ENDED, "web-1",
                 "succeeded");
    assert_int_equal(nodes_find(&c->nodes, 1)->allocated.amount[RESOURCE_CPU],
                     0);
    cluster_free(c);
}

static void numbers_count_up_within_an_app(void **state)
{
    struct cluster *c = cluster_new();

    (void)state;
    do_create(c, (struct create){0});
    do_create(c, (struct create){0});
    do_create(c, (struct create){.app = "db"});
    do_stop(c, 1, NO_REQUEST);
    do_create(c, (struct create){0});
    expect_pod(c, "web-1", PHASE(STOPPED), 0, 0);
    expect_pod(c, "web-2", PHASE(PENDING), 0, 0);
    expect_pod(c, "db-1", PHASE(PENDING), 0, 0);
    expect_pod(c, "web-3", PHASE(PENDING), 0, 0);
    cluster_free(c);
}

static void a_given_name_is_refused_while_it_lives(void **state)
{
    struct cluster *c = cluster_new();
    struct create named = {.named = true};

    (void)state;
    assert_int_equal(do_create(c, named).error.code, 0);
    expect_code(do_create(c, named), ERROR_ALREADY_EXISTS, "web");
    do_stop(c, 1, NO_REQUEST);
    assert_int_equal(do_create(c, named).error.code, 0);
    expect_pod(c, "web-2", PHASE(PENDING), 0, 0);
    assert_int_equal(series_count(&c->pods.all), 2);
    cluster_free(c);
}

/* One reason that is no UTF-8 would make a list unreadable to strict clients;
 * said again, it is nothing new. */
static void what_is_said_is_kept_readable(void **state)
{
    struct text *text = text_new("exec \xff failed");

    (void)state;
    assert_string_equal(text_string(text), "exec ? failed");
    assert_false(text_replace(&text, "exec \xff failed"));
    assert_true(text_replace(&text, "\xff"));
    assert_string_equal(text_string(text), "?");
    text_drop(text);
}

static void bad_pods_are_refused(void **state)
{
    struct cluster *c = cluster_new();
    struct create absurd = {.want = {1, UINT64_MAX, 0, 0}};

    (void)state;
    expect_code(do_create(c, (struct create){.app = "Web"}),
                ERROR_INVALID_ARGUMENT, "spec.app \"Web\"");
    expect_code(do_create(c, (struct create){.app = "-web"}),
                ERROR_INVALID_ARGUMENT, "spec.app");
    expect_code(do_create(c, absurd), ERROR_INVALID_ARGUMENT, "memory");
    assert_int_equal(series_count(&c->pods.all), 0);
    assert_int_equal(c->pods.apps.count, 0);
    assert_int_equal(c->specs.map.count, 0);
    assert_int_equal(c->next_pod_id, 1);
    cluster_free(c);
}

static const struct {
    const char *image;
    const char *app;
} images[] = {
    {"registry.local:5000/web:1", "web"},
    {"registry.local:5000/team/Web_App:1.2", "web-app"},
    {"localhost:5000/a/b", "b"},
    {"web", "web"},
    {"web@sha256:00ff", "web"},
    {"oci:/srv/images/busybox:latest", "busybox"},
    {"r/__x__", "x"},
    {"r/___", "pod"},
    {"", "pod"},
    {"r/0123456789012345678901234567890123456789012345678901234567890123",
     "0123456789012345678901234567890123456789012345678901"},
};

static void apps_are_called_after_their_image(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(images); i++) {
        char name[APP_NAME_MAX + 1];

        app_name_of_image(images[i].image, name);
        assert_string_equal(name, images[i].app);
        assert_true(app_name_valid(name));
    }
}

static void equal_specs_are_stored_once(void **state)
{
    struct cluster *c = cluster_new();

    (void)state;
    do_create(c, (struct create){.want = half});
    do_create(c, (struct create){.want = half});
    do_create(c, (struct create){.want = big});
    assert_int_equal(c->specs.map.count, 2);
    assert_ptr_equal(pod_at(c, 1)->facts.spec, pod_at(c, 2)->facts.spec);
    cluster_free(c);
}

static void the_oldest_ended_pod_is_forgotten(void **state)
{
    struct cluster *c = cluster_new();

    (void)state;
    for (uint64_t id = 1; id <= PODS_ENDED_MAX + 2; id++) {
        do_create(c, (struct create){0});
        do_stop(c, id, NO_REQUEST);
    }
    assert_null(pods_find(&c->pods, 2));
    assert_null(pods_find_name(&c->pods, "web-2"));
    assert_non_null(pods_find(&c->pods, 3));
    assert_int_equal(c->pods.ended_count, PODS_ENDED_MAX);
    assert_int_equal(do_create(c, (struct create){0}).subject_id,
                     PODS_ENDED_MAX + 3);
    cluster_free(c);
}

/* ---- room ---- */

/* Two leaders in turn may both think that the room is theirs to give. */
static void what_no_longer_fits_becomes_pending(void **state)
{
    struct cluster *c = cluster_new();
    struct create create = {.want = {5000, 0, 0, 0}, .node_id = 1};

    (void)state;
    do_register(c, "n1", big);
    do_create(c, create);
    do_create(c, create);
    expect_pod(c, "web-1", PHASE(PLACED), 1, 1);
    expect_pod(c, "web-2", PHASE(PENDING), 0, 0);
    assert_string_equal(text_string(pod_at(c, 2)->facts.reason),
                        "the node that was chosen has filled up or closed");
    assert_int_equal(do_place(c, 2, 1).error.code, 0);
    expect_pod(c, "web-2", PHASE(PENDING), 0, 0);

    do_report(c, 1, 1, 1, KONTOR__V1__POD_PHASE__POD_FAILED);
    do_place(c, 2, 1);
    expect_pod(c, "web-2", PHASE(PLACED), 1, 1);
    assert_string_equal(text_string(pod_at(c, 2)->facts.reason), "");
    cluster_free(c);
}

static void closed_or_other_nodes_get_no_pods(void **state)
{
    struct cluster *c = cluster_new();

    (void)state;
    do_register(c, "n1", big);
    do_register(c, "n2", big);
    do_cordon(c, 1, true);
    do_state(c, 2, STATE(SUSPECT));
    do_create(c, (struct create){.node_id = 1});
    do_create(c, (struct create){.node_id = 2});
    do_create(c, (struct create){.node_id = 3});
    do_state(c, 2, STATE(READY));
    do_create(c, (struct create){.node_id = 2, .pin = "n1"});
    for (uint64_t id = 1; id <= 4; id++)
        assert_int_equal(pod_at(c, id)->facts.phase, PHASE(PENDING));
    do_cordon(c, 1, false);
    do_place(c, 4, 1);
    expect_pod(c, "web-4", PHASE(PLACED), 1, 1);
    cluster_free(c);
}

/* ---- stopping ---- */

static void stopping_waits_for_the_node(void **state)
{
    struct cluster *c = cluster_new();

    (void)state;
    do_register(c, "n1", big);
    do_create(c, (struct create){.node_id = 1});
    do_stop(c, 1, NO_REQUEST);
    expect_pod(c, "web-1", PHASE(STOPPING), 1, 1);
    /* Said before the order arrived. */
    do_report(c, 1, 1, 1, KONTOR__V1__POD_PHASE__POD_RUNNING);
    expect_pod(c, "web-1", PHASE(STOPPING), 1, 1);
    /* Killed by the signal: stopped, not failed. */
    do_report(c, 1, 1, 1, KONTOR__V1__POD_PHASE__POD_FAILED);
    expect_pod(c, "web-1", PHASE(STOPPED), 1, 1);
    assert_int_equal(do_stop(c, 1, NO_REQUEST).error.code, 0);
    expect_code(do_stop(c, 9, NO_REQUEST), ERROR_NOT_FOUND, "9");
    cluster_free(c);
}

static void people_name_a_pod_or_an_app_with_one(void **state)
{
    struct cluster *c = cluster_new();
    struct pod *pod;
    struct error why;

    (void)state;
    assert_int_equal(cluster_find_pod(c, "web", &pod, &why), ERROR_NOT_FOUND);
    do_create(c, (struct create){0});
    assert_int_equal(cluster_find_pod(c, "web", &pod, &why), 0);
    assert_int_equal(pod->facts.id, 1);
    do_create(c, (struct create){0});
    assert_int_equal(cluster_find_pod(c, "web", &pod, &why),
                     ERROR_FAILED_PRECONDITION);
    do_stop(c, 2, NO_REQUEST);
    assert_int_equal(cluster_find_pod(c, "web", &pod, &why), 0);
    assert_int_equal(pod->facts.id, 1);
    assert_int_equal(cluster_find_pod(c, "web-2", &pod, &why), 0);
    assert_int_equal(pod->facts.id, 2);
    do_stop(c, 1, NO_REQUEST);
    assert_int_equal(cluster_find_pod(c, "web", &pod, &why), ERROR_NOT_FOUND);
    cluster_free(c);
}

/* ---- reports ---- */

static void reports_of_another_placement_change_nothing(void **state)
{
    struct cluster *c = cluster_new();
    uint64_t events;

    (void)state;
    do_register(c, "n1", big);
    do_register(c, "n2", big);
    do_create(c, (struct create){.node_id = 1});
    events = c->events.next;
    do_report(c, 1, 1, 2, KONTOR__V1__POD_PHASE__POD_RUNNING);
    do_report(c, 1, 1, 0, KONTOR__V1__POD_PHASE__POD_RUNNING);
    do_report(c, 2, 1, 1, KONTOR__V1__POD_PHASE__POD_RUNNING);
    do_report(c, 1, 7, 1, KONTOR__V1__POD_PHASE__POD_RUNNING);
    do_report(c, 1, 1, 1, KONTOR__V1__POD_PHASE__POD_PENDING);
    do_report(c, 1, 1, 1, (Kontor__V1__PodPhase)77);
    expect_pod(c, "web-1", PHASE(PLACED), 1, 1);
    assert_int_equal(c->events.next, events);

    do_report(c, 1, 1, 1, KONTOR__V1__POD_PHASE__POD_RUNNING);
    do_report(c, 1, 1, 1, KONTOR__V1__POD_PHASE__POD_RUNNING);
    assert_int_equal(c->events.next, events + 1); /* nothing new, no event */
    cluster_free(c);
}

/* ---- nodes ---- */

static void a_lost_nodes_pods_go_elsewhere(void **state)
{
    struct cluster *c = cluster_new();

    (void)state;
    do_register(c, "n1", big);
    do_register(c, "n2", big);
    do_create(c, (struct create){.node_id = 1, .want = half});
    do_create(c, (struct create){
                     .app = "job",
                     .node_id = 1,
                     .restart = KONTOR__V1__RESTART_POLICY__RESTART_NEVER,
                 });
    do_create(c, (struct create){.app = "old", .node_id = 1});
    do_stop(c, 3, NO_REQUEST);
    do_report(c, 1, 1, 1, KONTOR__V1__POD_PHASE__POD_RUNNING);

    do_state(c, 1, STATE(SUSPECT));
    expect_pod(c, "web-1", PHASE(RUNNING), 1, 1);
    do_state(c, 1, STATE(LOST));
    expect_pod(c, "web-1", PHASE(PENDING), 0, 1);
    expect_pod(c, "job-1", PHASE(FAILED), 1, 1); /* must not run twice */
    expect_pod(c, "old-1", PHASE(STOPPED), 1, 1);
    assert_string_equal(text_string(pod_at(c, 1)->facts.reason),
                        "node n1 is lost");
    assert_string_equal(pod_at(c, 1)->facts.address, "");
    assert_int_equal(nodes_find(&c->nodes, 1)->allocated.amount[RESOURCE_CPU],
                     0);
    assert_int_equal(nodes_find(&c->nodes, 1)->pod_count, 0);

    do_place(c, 1, 2);
    expect_pod(c, "web-1", PHASE(PLACED), 2, 2);
    /* The old node comes back and speaks of the old placement. */
    do_state(c, 1, STATE(READY));
    do_report(c, 1, 1, 1, KONTOR__V1__POD_PHASE__POD_FAILED);
    expect_pod(c, "web-1", PHASE(PLACED), 2, 2);
    cluster_free(c);
}

static void a_node_keeps_its_id_and_subnet(void **state)
{
    struct cluster *c = cluster_new();
    char subnet[POD_NETWORK_TEXT_MAX];
    struct node *node;

    (void)state;
    assert_int_equal(do_register(c, "n1", big).subject_id, 1);
    assert_int_equal(do_register(c, "n2", big).subject_id, 2);
    do_create(c, (struct create){.node_id = 2, .want = half});
    assert_int_equal(do_register(c, "n2", half).subject_id, 2);
    node = nodes_find_name(&c->nodes, "n2");
    assert_string_equal(
        pod_network_subnet(&c->network, node->subnet_number, subnet),
        "10.42.2.0/24");
    assert_int_equal(node->capacity.amount[RESOURCE_CPU], 4000);
    assert_int_equal(node->allocated.amount[RESOURCE_CPU], 4000);
    assert_int_equal(node->labels.count, 1);
    expect_code(do_register(c, "no/de", big), ERROR_INVALID_ARGUMENT, "no/de");
    expect_code(do_state(c, 5, STATE(LOST)), ERROR_NOT_FOUND, "5");
    expect_code(do_state(c, 1, (Kontor__V1__NodeState)9),
                ERROR_INVALID_ARGUMENT, "9");
    expect_code(do_cordon(c, 5, true), ERROR_NOT_FOUND, "5");
    cluster_free(c);
}

static void subnets_run_out(void **state)
{
    struct cluster *c = cluster_new();
    char name[16];

    (void)state;
    for (int i = 1; i <= 255; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(do_register(c, name, big).error.code, 0);
    }
    expect_code(do_register(c, "n256", big), ERROR_RESOURCE_EXHAUSTED, "n256");
    assert_int_equal(do_register(c, "n255", big).error.code, 0);
    cluster_free(c);
}

static const struct {
    const char *text;
    const char *part; /* of the error; NULL: fine */
} networks[] = {
    {"10.42.0.0/16", NULL},     {"10.0.0.0/8", NULL},
    {"192.168.0.0/23", NULL},   {"10.42.0.0/24", "prefix"},
    {"10.42.0.0/7", "prefix"},  {"10.42.1.0/16", "beyond"},
    {"10.42.0.0", "write it"},  {"10.42.0/16", "write it"},
    {"10.42.0.0/", "write it"}, {"10.42.0.256/16", "write it"},
    {"10.42.0.0/16x", "write"}, {"", "write it"},
};

static void pod_networks_are_read_strictly(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(networks); i++) {
        struct pod_network network;
        char text[POD_NETWORK_TEXT_MAX];
        struct error why;
        int code = pod_network_parse(networks[i].text, &network, &why);

        if (networks[i].part) {
            assert_int_equal(code, ERROR_INVALID_ARGUMENT);
            assert_non_null(strstr(why.message, networks[i].part));
        } else {
            assert_int_equal(code, 0);
            assert_string_equal(pod_network_text(&network, text),
                                networks[i].text);
        }
    }
}

/* ---- requests sent again ---- */

static void a_request_is_done_once(void **state)
{
    struct cluster *c = cluster_new();
    struct create create = {.request = 77};
    struct cluster_result first = do_create(c, create);
    struct cluster_result again = do_create(c, create);

    (void)state;
    assert_false(first.replayed);
    assert_true(again.replayed);
    assert_int_equal(again.index, first.index);
    assert_int_equal(again.subject_id, first.subject_id);
    assert_int_equal(series_count(&c->pods.all), 1);
    expect_code(do_stop(c, 1, 77), ERROR_INVALID_ARGUMENT, "another operation");
    expect_pod(c, "web-1", PHASE(PENDING), 0, 0);
    cluster_free(c);
}

static void a_refusal_is_remembered_too(void **state)
{
    struct cluster *c = cluster_new();
    struct create named = {.named = true, .request = 5};

    (void)state;
    do_create(c, (struct create){0});
    expect_code(do_create(c, named), ERROR_ALREADY_EXISTS, "web");
    do_stop(c, 1, NO_REQUEST);
    expect_code(do_create(c, named), ERROR_ALREADY_EXISTS, "web");
    assert_int_equal(series_count(&c->pods.all), 1);
    cluster_free(c);
}

static void only_recent_requests_are_remembered(void **state)
{
    struct cluster *c = cluster_new();

    (void)state;
    do_create(c, (struct create){.request = 1});
    for (uint64_t i = 2; i <= REQUESTS_MAX; i++)
        do_stop(c, 1, i);
    assert_true(do_create(c, (struct create){.request = 1}).replayed);
    do_stop(c, 1, REQUESTS_MAX + 1);
    assert_false(do_create(c, (struct create){.request = 1}).replayed);
    assert_int_equal(c->requests.by_id.count, REQUESTS_MAX);
    cluster_free(c);
}

/* ---- events ---- */

static void watching_goes_on_after_an_index(void **state)
{
    struct cluster *c = cluster_new();
    uint64_t at;
    struct error why;

    (void)state;
    assert_int_equal(events_seek(&c->events, 0, &at, &why), 0);
    assert_int_equal(at, c->events.next);
    do_register(c, "n1", big);                   /* 1 */
    do_create(c, (struct create){.node_id = 1}); /* 2: two events */
    do_stop(c, 1, NO_REQUEST);                   /* 3 */
    events_seek(&c->events, 1, &at, &why);
    assert_int_equal(events_at(&c->events, at)->index, 2);
    assert_int_equal(at, c->events.first + 1);
    events_seek(&c->events, 2, &at, &why);
    assert_int_equal(events_at(&c->events, at)->index, 3);
    events_seek(&c->events, 99, &at, &why);
    assert_int_equal(at, c->events.next);
    cluster_free(c);
}

static void events_that_are_gone_are_refused(void **state)
{
    struct cluster *c = cluster_new();
    uint64_t at;
    struct error why;

    (void)state;
    do_register(c, "n1", big);
    for (int i = 0; i < EVENTS_MAX + 10; i++)
        do_cordon(c, 1, i % 2 == 0);
    /* 1 + EVENTS_MAX + 10 events, one an index: 1..11 are gone. */
    assert_int_equal(c->events.dropped_index, 11);
    assert_int_equal(events_seek(&c->events, 10, &at, &why),
                     ERROR_OUT_OF_RANGE);
    assert_non_null(strstr(why.message, "up to 11"));
    assert_int_equal(events_seek(&c->events, 11, &at, &why), 0);
    assert_int_equal(events_at(&c->events, at)->index, 12);
    assert_int_equal(events_seek(&c->events, 0, &at, &why), 0);
    assert_int_equal(at, c->events.first);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_is_created_placed_run_and_ended),
        cmocka_unit_test(numbers_count_up_within_an_app),
        cmocka_unit_test(a_given_name_is_refused_while_it_lives),
        cmocka_unit_test(what_is_said_is_kept_readable),
        cmocka_unit_test(bad_pods_are_refused),
        cmocka_unit_test(apps_are_called_after_their_image),
        cmocka_unit_test(equal_specs_are_stored_once),
        cmocka_unit_test(the_oldest_ended_pod_is_forgotten),
        cmocka_unit_test(what_no_longer_fits_becomes_pending),
        cmocka_unit_test(closed_or_other_nodes_get_no_pods),
        cmocka_unit_test(stopping_waits_for_the_node),
        cmocka_unit_test(people_name_a_pod_or_an_app_with_one),
        cmocka_unit_test(reports_of_another_placement_change_nothing),
        cmocka_unit_test(a_lost_nodes_pods_go_elsewhere),
        cmocka_unit_test(a_node_keeps_its_id_and_subnet),
        cmocka_unit_test(subnets_run_out),
        cmocka_unit_test(pod_networks_are_read_strictly),
        cmocka_unit_test(a_request_is_done_once),
        cmocka_unit_test(a_refusal_is_remembered_too),
        cmocka_unit_test(only_recent_requests_are_remembered),
        cmocka_unit_test(watching_goes_on_after_an_index),
        cmocka_unit_test(events_that_are_gone_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
