/* The Cluster service over real connections: one master, or three, and nodes
 * that the test makes up. */
#include "base/memory.h"
#include "master/cluster_view.h"
#include "master/service.h"
#include "master_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PHASE(name) KONTOR__V1__POD_PHASE__POD_##name

/* ---- requests in one line ---- */

struct ask {
    const char *image; /* NULL: registry.local/web:1 */
    const char *app;
    const char *node;
    uint32_t cpu_milli;
    uint64_t id;
};

static Kontor__V1__ScheduleResponse *schedule(struct world *world,
                                              struct channel *channel,
                                              struct ask ask, struct error *why)
{
    Kontor__V1__ScheduleRequest request = KONTOR__V1__SCHEDULE_REQUEST__INIT;
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    Kontor__V1__PodSpec spec = KONTOR__V1__POD_SPEC__INIT;
    Kontor__V1__Resources resources = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__ContainerSpec container = KONTOR__V1__CONTAINER_SPEC__INIT;
    Kontor__V1__ContainerSpec *containers[] = {&container};
    CLEANUP(free_pointer)
    char *image = memory_string(ask.image ? ask.image : "registry.local/web:1");
    CLEANUP(free_pointer) char *app = memory_string(ask.app ? ask.app : "");
    CLEANUP(free_pointer) char *node = memory_string(ask.node ? ask.node : "");

    container.image = image;
    resources.cpu_milli = ask.cpu_milli;
    spec.containers = containers;
    spec.n_containers = 1;
    spec.resources = &resources;
    spec.app = app;
    spec.node = node;
    id.low = ask.id;
    request.request_id = &id;
    request.spec = &spec;
    return (void *)world_call(world, channel, "Schedule", &request.base, why);
}

static void schedule_free(Kontor__V1__ScheduleResponse *response)
{
    if (response)
        kontor__v1__schedule_response__free_unpacked(response, NULL);
}

/* Schedule, and expect the pod's name and node. */
static void expect_scheduled(struct world *world, struct channel *channel,
                             struct ask ask, const char *name_and_node)
{
    struct error why;
    Kontor__V1__ScheduleResponse *response =
        schedule(world, channel, ask, &why);
    char text[80];

    if (!response) {
        fail_msg("%s", why.message);
        return;
    }
    snprintf(text, sizeof text, "%s %s", response->pod->name,
             response->pod->node[0] ? response->pod->node : "-");
    assert_string_equal(text, name_and_node);
    assert_true(response->term > 0);
    assert_int_equal(response->index, response->pod->changed_index);
    schedule_free(response);
}

static Kontor__V1__StopResponse *stop(struct world *world,
                                      struct channel *channel, const char *pod,
                                      struct error *why)
{
    Kontor__V1__StopRequest request = KONTOR__V1__STOP_REQUEST__INIT;
    CLEANUP(free_pointer) char *name = memory_string(pod);

    request.pod = name;
    return (void *)world_call(world, channel, "Stop", &request.base, why);
}

static void expect_refused(struct error why, enum error_code code,
                           const char *part)
{
    assert_int_equal(why.code, code);
    if (!strstr(why.message, part))
        fail_msg("\"%s\" does not say \"%s\"", why.message, part);
}

/* ---- the state, looked at from within ---- */

struct expected {
    struct world *world;
    const char *pod;
    int32_t phase;
};

static bool pod_is(void *data)
{
    const struct expected *expected = data;
    struct world *world = expected->world;
    const struct pod *pod = pods_find_name(
        &world->masters[world_leader(world)]->cluster->pods, expected->pod);

    return pod && pod->facts.phase == expected->phase;
}

static void until_pod(struct world *world, const char *pod, int32_t phase)
{
    struct expected expected = {world, pod, phase};

    world_until(world, pod_is, &expected);
}

static bool has_pod(void *data)
{
    return ((struct fake_node *)data)->pod_count > 0;
}

static bool has_four_pods(void *data)
{
    return ((struct fake_node *)data)->pod_count == 4;
}

static bool has_no_pod(void *data)
{
    return ((struct fake_node *)data)->pod_count == 0;
}

/* ---- stories ---- */

static void a_pod_is_ordered_runs_and_stops(void **state)
{
    struct world world;
    struct channel *admin;
    Kontor__V1__StopResponse *stopped;
    struct error why;

    (void)state;
    world_init(&world, 1, 1);
    admin = world_channel(&world, 0, "admin");
    world_node_start(&world, 0);
    world_node_register(&world, 0);
    expect_scheduled(&world, admin, (struct ask){.app = "web"}, "web-1 n1");
    world_until(&world, has_pod, &world.nodes[0]);
    assert_int_equal(world.nodes[0].pods[0].generation, 1);
    assert_true(world.nodes[0].term > 0);

    fake_report(&world.nodes[0], 1, PHASE(RUNNING));
    until_pod(&world, "web-1", PHASE(RUNNING));
    stopped = stop(&world, admin, "web", &why);
    assert_non_null(stopped);
    assert_true(stopped->pod->stop_requested);
    kontor__v1__stop_response__free_unpacked(stopped, NULL);
    until_pod(&world, "web-1", PHASE(STOPPED));
    assert_int_equal(world.nodes[0].deleted, 1);
    assert_null(stop(&world, admin, "web", &why));
    expect_refused(why, ERROR_NOT_FOUND, "web");
    world_fini(&world);
}

static void a_request_sent_again_is_answered_again(void **state)
{
    struct world world;
    struct channel *admin;

    (void)state;
    world_init(&world, 1, 1);
    admin = world_channel(&world, 0, "admin");
    expect_scheduled(&world, admin, (struct ask){.id = 7}, "web-1 -");
    expect_scheduled(&world, admin, (struct ask){.id = 7}, "web-1 -");
    expect_scheduled(&world, admin, (struct ask){.id = 8}, "web-2 -");
    world_fini(&world);
}

static void a_name_that_lives_is_refused(void **state)
{
    struct world world;
    struct channel *admin;
    struct error why;

    (void)state;
    world_init(&world, 1, 1);
    admin = world_channel(&world, 0, "admin");
    expect_scheduled(&world, admin, (struct ask){.app = "web"}, "web-1 -");
    assert_null(schedule(&world, admin, (struct ask){.app = "web"}, &why));
    expect_refused(why, ERROR_ALREADY_EXISTS, "web");
    world_fini(&world);
}

static void a_pending_pod_is_placed_when_room_appears(void **state)
{
    struct world world;
    struct channel *admin;
    struct error why;

    (void)state;
    world_init(&world, 1, 1);
    admin = world_channel(&world, 0, "admin");
    expect_scheduled(&world, admin, (struct ask){.cpu_milli = 3000}, "web-1 -");
    expect_scheduled(&world, admin, (struct ask){.cpu_milli = 3000}, "web-2 -");
    world_node_start(&world, 0);
    world_node_register(&world, 0);
    until_pod(&world, "web-1", PHASE(PLACED)); /* the oldest first */
    until_pod(&world, "web-2", PHASE(PENDING));
    world_until(&world, has_pod, &world.nodes[0]);
    kontor__v1__stop_response__free_unpacked(stop(&world, admin, "web-1", &why),
                                             NULL);
    until_pod(&world, "web-2", PHASE(PLACED));
    world_fini(&world);
}

static void a_silent_nodes_pods_go_elsewhere(void **state)
{
    struct world world;
    struct channel *admin;

    (void)state;
    world_init(&world, 1, 1);
    admin = world_channel(&world, 0, "admin");
    world_node_start(&world, 0);
    world_node_register(&world, 0);
    expect_scheduled(&world, admin, (struct ask){0}, "web-1 n1");
    world_until(&world, has_pod, &world.nodes[0]);
    fake_report(&world.nodes[0], 1, PHASE(RUNNING));
    until_pod(&world, "web-1", PHASE(RUNNING));

    world_node_start(&world, 1);
    world_node_register(&world, 1);
    world.nodes[0].silent = true;
    world_until(&world, has_pod, &world.nodes[1]);
    assert_int_equal(world.nodes[1].pods[0].generation, 2);
    /* It comes back: what was replaced is stopped there, and only there. */
    world_node_stop(&world, 0);
    world.nodes[0].silent = false;
    world_node_start(&world, 0);
    world_until(&world, has_no_pod, &world.nodes[0]);
    assert_int_equal(world.nodes[1].pod_count, 1);
    world_fini(&world);
}

/* What differs after a reconnect is corrected, both ways. */
static void node_and_state_are_compared(void **state)
{
    struct world world;
    struct channel *admin;
    struct fake_node *node = &world.nodes[0];

    (void)state;
    world_init(&world, 1, 1);
    admin = world_channel(&world, 0, "admin");
    world_node_start(&world, 0);
    world_node_register(&world, 0);
    expect_scheduled(&world, admin, (struct ask){0}, "web-1 n1");
    world_until(&world, has_pod, node);
    world_node_stop(&world, 0);
    node->pods[0].pod_id = 99; /* lost its own, has a foreign one */
    world_node_start(&world, 0);
    world_until(&world, has_no_pod, node);
    world_until(&world, has_pod, node);
    assert_int_equal(node->pods[0].pod_id, 1);
    assert_int_equal(node->deleted, 1);
    world_fini(&world);
}

static void a_pod_stopped_while_its_node_is_away_has_stopped(void **state)
{
    struct world world;
    struct channel *admin;
    struct error why;

    (void)state;
    world_init(&world, 1, 1);
    admin = world_channel(&world, 0, "admin");
    world_node_start(&world, 0);
    world_node_register(&world, 0);
    expect_scheduled(&world, admin, (struct ask){0}, "web-1 n1");
    world_until(&world, has_pod, &world.nodes[0]);
    world_node_stop(&world, 0);
    world.nodes[0].pod_count = 0;
    kontor__v1__stop_response__free_unpacked(stop(&world, admin, "web-1", &why),
                                             NULL);
    world_node_start(&world, 0);
    until_pod(&world, "web-1", PHASE(STOPPED));
    world_fini(&world);
}

static void one_pod_that_a_node_refuses_fails_alone(void **state)
{
    struct world world;
    struct channel *admin;
    struct fake_node *node = &world.nodes[0];

    (void)state;
    world_init(&world, 1, 1);
    admin = world_channel(&world, 0, "admin");
    for (int i = 0; i < 5; i++)
        schedule_free(
            schedule(&world, admin, (struct ask){0}, &(struct error){0}));
    node->refuse = "web-3";
    world_node_start(&world, 0);
    world_node_register(&world, 0);
    until_pod(&world, "web-3", PHASE(FAILED));
    world_until(&world, has_four_pods, node);
    assert_null(fake_pod(node, 3));
    world_fini(&world);
}

static void orders_travel_together(void **state)
{
    struct world world;
    struct channel *admin;
    struct fake_node *node = &world.nodes[0];

    (void)state;
    world_init(&world, 1, 1);
    admin = world_channel(&world, 0, "admin");
    for (int i = 0; i < 20; i++)
        schedule_free(
            schedule(&world, admin, (struct ask){0}, &(struct error){0}));
    world_node_start(&world, 0);
    world_node_register(&world, 0);
    until_pod(&world, "web-20", PHASE(PLACED));
    while (node->pod_count < 20)
        world_run_ms(&world, 1);
    assert_true(node->create_calls <= 2);
    world_fini(&world);
}

static bool has_two_routes(void *data)
{
    struct world *world = data;

    return world->nodes[0].routes == 2 && world->nodes[1].routes == 2 &&
           world->nodes[2].routes == 2;
}

static void every_node_learns_the_routes(void **state)
{
    struct world world;

    (void)state;
    world_init(&world, 1, 1);
    for (unsigned i = 0; i < 3; i++) {
        world_node_start(&world, i);
        world_node_register(&world, i);
    }
    world_until(&world, has_two_routes, &world);
    world_fini(&world);
}

/* ---- who may ---- */

static void roles_are_kept(void **state)
{
    struct world world;
    struct channel *viewer, *node;
    Kontor__V1__ListPodsRequest list = KONTOR__V1__LIST_PODS_REQUEST__INIT;
    Kontor__V1__RegisterNodeRequest other =
        KONTOR__V1__REGISTER_NODE_REQUEST__INIT;
    ProtobufCMessage *answer;
    char name[] = "n2";
    struct error why;

    (void)state;
    world_init(&world, 1, 1);
    viewer = world_channel(&world, 0, "viewer");
    assert_null(schedule(&world, viewer, (struct ask){0}, &why));
    expect_refused(why, ERROR_PERMISSION_DENIED, "viewer");
    answer = world_call(&world, viewer, "ListPods", &list.base, &why);
    assert_non_null(answer);
    protobuf_c_message_free_unpacked(answer, NULL);

    world_node_start(&world, 0);
    node = world_channel(&world, 0, "n1");
    assert_null(world_call(&world, node, "ListPods", &list.base, &why));
    expect_refused(why, ERROR_PERMISSION_DENIED, "node");
    other.name = name;
    assert_null(world_call(&world, node, "RegisterNode", &other.base, &why));
    expect_refused(why, ERROR_PERMISSION_DENIED, "n1 may not register");
    world_fini(&world);
}

/* ---- reading ---- */

static void pods_come_in_pages(void **state)
{
    struct world world;
    struct channel *admin;
    Kontor__V1__ListPodsRequest request = KONTOR__V1__LIST_PODS_REQUEST__INIT;
    uint64_t last = 0;
    unsigned pages = 0;
    struct error why;

    (void)state;
    world_init(&world, 1, 1);
    admin = world_channel(&world, 0, "admin");
    for (int i = 0; i < 7; i++)
        schedule_free(
            schedule(&world, admin, (struct ask){0}, &(struct error){0}));
    request.page_size = 3;
    do {
        Kontor__V1__ListPodsResponse *page =
            (void *)world_call(&world, admin, "ListPods", &request.base, &why);

        assert_non_null(page);
        for (size_t i = 0; i < page->n_pods; i++) {
            assert_int_equal(page->pods[i]->id, ++last);
            assert_string_equal(page->pods[i]->status->reason,
                                "no node is registered");
        }
        request.page_token = page->next_page_token;
        pages++;
        kontor__v1__list_pods_response__free_unpacked(page, NULL);
    } while (request.page_token != 0);
    assert_int_equal(last, 7);
    assert_int_equal(pages, 3);
    world_fini(&world);
}

static void why_goes_node_by_node(void **state)
{
    struct world world;
    struct channel *admin;
    Kontor__V1__WhyRequest request = KONTOR__V1__WHY_REQUEST__INIT;
    Kontor__V1__WhyResponse *answer;
    char pod[] = "web-1";
    struct error why;

    (void)state;
    world_init(&world, 1, 1);
    admin = world_channel(&world, 0, "admin");
    world_node_start(&world, 0);
    world_node_register(&world, 0);
    request.pod = pod;
    assert_null(world_call(&world, admin, "Why", &request.base, &why));
    expect_refused(why, ERROR_NOT_FOUND, "web-1");
    expect_scheduled(&world, admin, (struct ask){.cpu_milli = 512000},
                     "web-1 -");
    answer = (void *)world_call(&world, admin, "Why", &request.base, &why);
    assert_non_null(answer);
    assert_string_equal(answer->summary,
                        "no node could ever hold it: asks 512 cpu, the "
                        "largest node has 4");
    assert_int_equal(answer->n_verdicts, 1);
    assert_string_equal(answer->verdicts[0]->node, "n1");
    assert_int_equal(answer->verdicts[0]->short_->cpu_milli, 508000);
    kontor__v1__why_response__free_unpacked(answer, NULL);
    world_fini(&world);
}

static void events_are_watched_from_an_index(void **state)
{
    struct world world;
    struct channel *admin;
    Kontor__V1__WatchRequest request = KONTOR__V1__WATCH_REQUEST__INIT;
    Kontor__V1__Event *last;
    char missing[] = "db-1";
    struct error why;

    (void)state;
    world_init(&world, 1, 1);
    admin = world_channel(&world, 0, "admin");
    expect_scheduled(&world, admin, (struct ask){0}, "web-1 -");
    expect_scheduled(&world, admin, (struct ask){0}, "web-2 -");
    request.until_now = true;
    last = (void *)world_call(&world, admin, "Watch", &request.base, &why);
    assert_int_equal(why.code, 0);
    assert_string_equal(last->subject, "web-2");
    assert_int_equal(last->pod->id, 2);
    request.after_index = last->index;
    kontor__v1__event__free_unpacked(last, NULL);
    assert_null(world_call(&world, admin, "Watch", &request.base, &why));
    assert_int_equal(why.code, 0);
    request.pod = missing;
    assert_null(world_call(&world, admin, "Watch", &request.base, &why));
    expect_refused(why, ERROR_NOT_FOUND, "db-1");
    world_fini(&world);
}

static void logs_come_from_the_node(void **state)
{
    struct world world;
    struct channel *admin;
    Kontor__V1__LogsRequest request = KONTOR__V1__LOGS_REQUEST__INIT;
    Kontor__V1__LogsChunk *chunk;
    char pod[] = "web-1";
    struct error why;

    (void)state;
    world_init(&world, 1, 1);
    admin = world_channel(&world, 0, "admin");
    request.pod = pod;
    expect_scheduled(&world, admin, (struct ask){0}, "web-1 -");
    assert_null(world_call(&world, admin, "Logs", &request.base, &why));
    expect_refused(why, ERROR_FAILED_PRECONDITION, "web-1 is on no node");
    world_node_start(&world, 0);
    world_node_register(&world, 0);
    world_until(&world, has_pod, &world.nodes[0]);
    chunk = (void *)world_call(&world, admin, "Logs", &request.base, &why);
    assert_int_equal(why.code, 0);
    assert_memory_equal(chunk->data.data, "hello\n", 6);
    kontor__v1__logs_chunk__free_unpacked(chunk, NULL);
    request.tail_bytes = 1;
    assert_null(world_call(&world, admin, "Logs", &request.base, &why));
    expect_refused(why, ERROR_NOT_FOUND, "node n1: the log is gone");
    world_node_stop(&world, 0);
    world_run_ms(&world, 50);
    assert_null(world_call(&world, admin, "Logs", &request.base, &why));
    expect_refused(why, ERROR_UNAVAILABLE, "node n1 cannot be reached");
    world_fini(&world);
}

/* ---- several masters ---- */

static void any_master_takes_a_call(void **state)
{
    struct world world;
    Kontor__V1__MastersRequest request = KONTOR__V1__MASTERS_REQUEST__INIT;
    Kontor__V1__WatchRequest watch = KONTOR__V1__WATCH_REQUEST__INIT;
    Kontor__V1__MastersResponse *masters;
    Kontor__V1__Event *event;
    struct channel *admin, *viewer;
    struct error why;
    unsigned other;

    (void)state;
    world_init(&world, 3, 3);
    other = (world_leader(&world) + 1) % 3;
    admin = world_channel(&world, other, "admin");
    expect_scheduled(&world, admin, (struct ask){.id = 1}, "web-1 -");
    expect_scheduled(&world, admin, (struct ask){.id = 1}, "web-1 -");
    /* The leader looks at who asks, not at who forwards. */
    world_node_start(&world, 0);
    world_node_register_with(&world, 0, other);
    until_pod(&world, "web-1", PHASE(PLACED));
    viewer = world_channel(&world, other, "viewer");
    assert_null(schedule(&world, viewer, (struct ask){0}, &why));
    expect_refused(why, ERROR_PERMISSION_DENIED, "viewer");
    watch.until_now = true;
    event = (void *)world_call(&world, viewer, "Watch", &watch.base, &why);
    assert_string_equal(event->subject, "web-1");
    kontor__v1__event__free_unpacked(event, NULL);

    masters = (void *)world_call(&world, admin, "Masters", &request.base, &why);
    assert_int_equal(masters->n_masters, 3);
    assert_string_equal(masters->answered_by, world.names[other]);
    for (unsigned i = 0; i < 3; i++)
        assert_string_equal(masters->masters[i]->role,
                            i == world_leader(&world) ? "leader" : "follower");
    kontor__v1__masters_response__free_unpacked(masters, NULL);
    world_fini(&world);
}

static void without_a_leader_a_call_waits_a_while(void **state)
{
    struct world world;
    Kontor__V1__MastersRequest request = KONTOR__V1__MASTERS_REQUEST__INIT;
    Kontor__V1__MastersResponse *masters;
    struct channel *admin;
    struct error why;
    uint64_t before;

    (void)state;
    world_init(&world, 3, 1);
    admin = world_channel(&world, 0, "admin");
    before = uv_hrtime();
    assert_null(schedule(&world, admin, (struct ask){0}, &why));
    expect_refused(why, ERROR_UNAVAILABLE, "no leader");
    assert_true(uv_hrtime() - before >= UINT64_C(500000000));
    masters = (void *)world_call(&world, admin, "Masters", &request.base, &why);
    assert_string_equal(masters->masters[1]->role, "down");
    assert_string_not_equal(masters->masters[0]->role, "down");
    kontor__v1__masters_response__free_unpacked(masters, NULL);
    world_fini(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_pod_is_ordered_runs_and_stops,
                                  world_teardown),
        cmocka_unit_test_teardown(a_request_sent_again_is_answered_again,
                                  world_teardown),
        cmocka_unit_test_teardown(a_name_that_lives_is_refused, world_teardown),
        cmocka_unit_test_teardown(a_pending_pod_is_placed_when_room_appears,
                                  world_teardown),
        cmocka_unit_test_teardown(a_silent_nodes_pods_go_elsewhere,
                                  world_teardown),
        cmocka_unit_test_teardown(node_and_state_are_compared, world_teardown),
        cmocka_unit_test_teardown(
            a_pod_stopped_while_its_node_is_away_has_stopped, world_teardown),
        cmocka_unit_test_teardown(one_pod_that_a_node_refuses_fails_alone,
                                  world_teardown),
        cmocka_unit_test_teardown(orders_travel_together, world_teardown),
        cmocka_unit_test_teardown(every_node_learns_the_routes, world_teardown),
        cmocka_unit_test_teardown(roles_are_kept, world_teardown),
        cmocka_unit_test_teardown(pods_come_in_pages, world_teardown),
        cmocka_unit_test_teardown(why_goes_node_by_node, world_teardown),
        cmocka_unit_test_teardown(events_are_watched_from_an_index,
                                  world_teardown),
        cmocka_unit_test_teardown(logs_come_from_the_node, world_teardown),
        cmocka_unit_test_teardown(any_master_takes_a_call, world_teardown),
        cmocka_unit_test_teardown(without_a_leader_a_call_waits_a_while,
                                  world_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
