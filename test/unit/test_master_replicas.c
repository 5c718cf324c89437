/* Requests for many pods, over real connections: replicas, scale, gangs; and
 * pods that make room for others. */
#include "base/memory.h"
#include "master/service.h"
#include "master_asks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- requests in one line ---- */

/* "web-1 ... web-6: 6 placed"; returns the index. */
static uint64_t expect_group(struct ask ask, const char *what)
{
    struct error why;
    Kontor__V1__ScheduleResponse *response = schedule_pod(admin, ask, &why);
    char text[160];
    uint64_t index;

    if (!response) {
        fail_msg("%s", why.message);
        return 0;
    }
    snprintf(text, sizeof text, "%s ... %s: %u placed", response->pod->name,
             response->last_pod, response->placed);
    assert_string_equal(text, what);
    index = response->index;
    kontor__v1__schedule_response__free_unpacked(response, NULL);
    return index;
}

static Kontor__V1__ScaleResponse *try_scale(const char *app, uint32_t replicas,
                                            uint64_t id, struct error *why)
{
    Kontor__V1__ScaleRequest request = KONTOR__V1__SCALE_REQUEST__INIT;
    Kontor__V1__RequestId request_id = KONTOR__V1__REQUEST_ID__INIT;
    CLEANUP(free_pointer) char *name = memory_string(app);

    request_id.low = id;
    request.request_id = &request_id;
    request.app = name;
    request.replicas = replicas;
    return world_call(admin, "Scale", &request.base, why);
}

static uint64_t scale(uint32_t replicas, uint64_t id, const char *what)
{
    struct error why;
    Kontor__V1__ScaleResponse *response = try_scale("web", replicas, id, &why);
    char text[80];
    uint64_t index;

    if (!response) {
        fail_msg("%s", why.message);
        return 0;
    }
    snprintf(text, sizeof text, "%u placed, %u pending", response->placed,
             response->pending);
    assert_string_equal(text, what);
    index = response->index;
    kontor__v1__scale_response__free_unpacked(response, NULL);
    return index;
}

static void expect_why(const char *pod, const char *part)
{
    Kontor__V1__WhyRequest request = KONTOR__V1__WHY_REQUEST__INIT;
    CLEANUP(free_pointer) char *name = memory_string(pod);
    Kontor__V1__WhyResponse *response;
    struct error why;

    request.pod = name;
    response = world_call(admin, "Why", &request.base, &why);
    if (!response)
        fail_msg("%s", why.message);
    else if (!strstr(response->summary, part))
        fail_msg("\"%s\" does not say \"%s\"", response->summary, part);
    kontor__v1__why_response__free_unpacked(response, NULL);
}

static void expect_none(void *answer, struct error why, enum error_code code,
                        const char *part)
{
    assert_null(answer);
    expect_refused(why, code, part);
}

/* ---- what is waited for ---- */

static const struct app *web(void)
{
    const struct cluster *cluster = world.masters[0].master->cluster;

    return pods_find_app(&cluster->pods, "web");
}

struct expected_place {
    const char *pod;
    uint64_t node_id;
};

static bool pod_is_at(void *data)
{
    const struct expected_place *expected = data;
    const struct pod *pod =
        pods_find_name(&world.masters[0].master->cluster->pods, expected->pod);

    return pod && pod->facts.node_id == expected->node_id;
}

static void until_pod_is_at(const char *pod, uint64_t node_id)
{
    struct expected_place expected = {pod, node_id};

    world_until(pod_is_at, &expected, pod);
}

/* ---- stories ---- */

static void replicas_are_placed_together(void **state)
{
    struct fake_node *one = node_up(0), *two = node_up(1);
    struct ask six = {.cpu_milli = 1000, .replicas = 6, .id = 7};
    uint64_t index;

    (void)state;
    index = expect_group(six, "web-1 ... web-6: 6 placed");
    until_node_has(one, 4);
    until_node_has(two, 2);
    assert_int_equal(expect_group(six, "web-1 ... web-6: 6 placed"), index);
    six.id = 8;
    expect_group(six, "web-7 ... web-12: 2 placed");
    expect_why("web-12", "cpu short");
    assert_int_equal(web()->living, 12);
    until_node_has(two, 4);
}

static void bounds_are_named(void **state)
{
    struct error why;
    void *answer;

    (void)state;
    answer = schedule_pod(admin, (struct ask){.replicas = 10000000}, &why);
    expect_none(answer, why, ERROR_INVALID_ARGUMENT,
                "replicas is 10000000: 1 to 10000");
    expect_group((struct ask){.app = "web", .replicas = 2},
                 "web-1 ... web-2: 0 placed");
    answer =
        schedule_pod(admin, (struct ask){.app = "web", .replicas = 2}, &why);
    expect_none(answer, why, ERROR_ALREADY_EXISTS, "web");
    answer = try_scale("web", 10000000, 0, &why);
    expect_none(answer, why, ERROR_INVALID_ARGUMENT, "1 to 10000");
    answer = try_scale("db", 1, 0, &why);
    expect_none(answer, why, ERROR_NOT_FOUND, "no app is called \"db\"");
    assert_int_equal(web()->living, 2);
}

static void an_app_is_scaled(void **state)
{
    struct fake_node *node = node_up(0);
    uint64_t index;

    (void)state;
    expect_group((struct ask){.cpu_milli = 1000}, "web-1 ... web-1: 1 placed");
    index = scale(6, 3, "4 placed, 2 pending");
    until_node_has(node, 4);
    scale(2, 4, "2 placed, 0 pending");
    until_node_has(node, 2);
    assert_int_equal(scale(6, 3, "2 placed, 0 pending"), index);
    assert_int_equal(app_staying(web()), 2);
}

static void a_pending_replica_is_placed_when_room_appears(void **state)
{
    struct fake_node *node;

    (void)state;
    expect_group((struct ask){.cpu_milli = 1000, .replicas = 4},
                 "web-1 ... web-4: 0 placed");
    node = node_up(0);
    until_node_has(node, 4);
}

static void a_gang_waits_until_all_fit(void **state)
{
    struct fake_node *one = node_up(0), *two = node_up(1);
    struct ask six = {.cpu_milli = 1000, .replicas = 6, .gang = true, .id = 7};
    uint64_t index;

    (void)state;
    expect_group((struct ask){.app = "db", .cpu_milli = 3000},
                 "db-1 ... db-1: 1 placed");
    until_node_has(one, 1);
    index = expect_group(six, "web-1 ... web-6: 0 placed");
    expect_why("web-4", "a gang of 6 pods, of which 5 fit");
    /* Who comes later and fits is not kept waiting. */
    expect_group((struct ask){.app = "job", .cpu_milli = 500},
                 "job-1 ... job-1: 1 placed");
    assert_int_equal(expect_group(six, "web-1 ... web-6: 0 placed"), index);
    stop_pod("db-1");
    until_node_has(two, 3);
    until_node_has(one, 4); /* three of the gang and the job */
    expect_group(six, "web-1 ... web-6: 6 placed");
    assert_int_equal(web()->living, 6);
}

/* What came with it is placed beside it, not with it. */
static void a_gang_is_placed_by_itself(void **state)
{
    struct world_asked asked[2];

    (void)state;
    node_up(0);
    expect_group((struct ask){.app = "db", .cpu_milli = 3000},
                 "db-1 ... db-1: 1 placed");
    ask_schedule(&asked[0], admin,
                 (struct ask){.cpu_milli = 1000, .replicas = 2, .gang = true});
    ask_schedule(&asked[1], admin,
                 (struct ask){.app = "job", .cpu_milli = 1000});
    for (unsigned i = 0; i < 2; i++) {
        Kontor__V1__ScheduleResponse *response;

        world_until(world_is_answered, &asked[i], "Schedule");
        response = (void *)asked[i].answer;
        assert_non_null(response);
        assert_int_equal(response->placed, i);
        kontor__v1__schedule_response__free_unpacked(response, NULL);
    }
}

/* More than are placed at once; nothing that is kept meanwhile is lost. */
static void many_are_placed_in_parts(void **state)
{
    struct ask many = {
        .cpu_milli = 1, .memory_bytes = 1 << 20, .replicas = 5000};

    (void)state;
    node_up(0);
    node_up(1);
    expect_group(many, "web-1 ... web-5000: 5000 placed");
    scale(7000, 3, "7000 placed, 0 pending");
    many.app = "db";
    expect_group(many, "db-1 ... db-5000: 1000 placed");
}

/* Whom it waits for no more may be all that was in the way. */
static void a_gang_goes_on_when_one_is_stopped(void **state)
{
    struct fake_node *node = node_up(0);

    (void)state;
    node_up(1);
    expect_group((struct ask){.app = "db", .cpu_milli = 4000},
                 "db-1 ... db-1: 1 placed");
    expect_group((struct ask){.cpu_milli = 1000, .replicas = 5, .gang = true},
                 "web-1 ... web-5: 0 placed");
    stop_pod("web-2");
    until_pod_is_at("web-5", 2);
    assert_int_equal(node->pod_count, 1);
}

static void a_gang_larger_than_the_cluster_is_refused(void **state)
{
    struct ask nine = {.cpu_milli = 1000, .replicas = 9, .gang = true};
    struct error why;
    void *answer;

    (void)state;
    node_up(0);
    node_up(1);
    answer = schedule_pod(admin, nine, &why);
    expect_none(answer, why, ERROR_FAILED_PRECONDITION,
                "a gang of 9 pods is larger than the cluster: with nothing "
                "else on its nodes 8 of them would fit");
    assert_null(web());
    nine.replicas = 5; /* it is called after its image */
    nine.with = "web";
    answer = schedule_pod(admin, nine, &why);
    expect_none(answer, why, ERROR_FAILED_PRECONDITION,
                "4 of them would fit, on one node, as they want to be "
                "together");
    assert_null(web());
    nine.replicas = 8;
    nine.with = NULL;
    expect_group(nine, "web-1 ... web-8: 8 placed");
}

static void a_pod_gets_the_room_of_lower_ones(void **state)
{
    struct fake_node *node = node_up(0);

    (void)state;
    expect_group((struct ask){.cpu_milli = 1000, .replicas = 4},
                 "web-1 ... web-4: 4 placed");
    until_node_has(node, 4);
    expect_group((struct ask){.app = "high", .cpu_milli = 2000, .priority = 5},
                 "high-1 ... high-1: 0 placed");
    until_pod_is_at("high-1", 1);
    until_node_has(node, 3);
    assert_int_equal(node->deleted, 2); /* no more than need be */
    expect_why("web-1", "preempted on n1 by high-1; ");
    /* Nobody makes room for an equal. */
    expect_group((struct ask){.app = "equal", .cpu_milli = 4000, .priority = 5},
                 "equal-1 ... equal-1: 0 placed");
    stop_pod("high-1");
    until_pod_is_at("web-1", 1);
    until_pod_is_at("web-2", 1);
}

/* An app's events and nobody else's. */
static void an_app_is_watched(void **state)
{
    Kontor__V1__WatchRequest watch = KONTOR__V1__WATCH_REQUEST__INIT;
    Kontor__V1__Event *event;
    struct error why;

    (void)state;
    expect_group((struct ask){.app = "web", .replicas = 2},
                 "web-1 ... web-2: 0 placed");
    expect_group((struct ask){.app = "db"}, "db-1 ... db-1: 0 placed");
    watch.app = (char[]){"web"};
    watch.until_now = true;
    event = world_call(admin, "Watch", &watch.base, &why);
    assert_non_null(event);
    assert_string_equal(event->subject, "web-2"); /* the last */
    kontor__v1__event__free_unpacked(event, NULL);
    watch.app = (char[]){"Web"};
    expect_none(world_call(admin, "Watch", &watch.base, &why), why,
                ERROR_INVALID_ARGUMENT, "\"Web\"");
}

#define STORY(test) \
    cmocka_unit_test_setup_teardown(test, set_up_one, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(replicas_are_placed_together),
        STORY(many_are_placed_in_parts),
        STORY(bounds_are_named),
        STORY(an_app_is_scaled),
        STORY(a_pending_replica_is_placed_when_room_appears),
        STORY(a_gang_waits_until_all_fit),
        STORY(a_gang_is_placed_by_itself),
        STORY(a_gang_goes_on_when_one_is_stopped),
        STORY(a_gang_larger_than_the_cluster_is_refused),
        STORY(a_pod_gets_the_room_of_lower_ones),
        STORY(an_app_is_watched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
