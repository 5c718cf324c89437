/* The Cluster service over real connections: one master, or three, and nodes
 * that the test makes up. */
#include "base/clock.h"
#include "base/memory.h"
#include "master/cluster_view.h"
#include "master/service.h"
#include "master_asks.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- stories ---- */

static void a_pod_is_ordered_runs_and_stops(void **state)
{
    struct fake_node *node = node_with_a_pod();
    struct error why;

    (void)state;
    assert_int_equal(node->pods[0].generation, 1);
    assert_true(node->term > 0);

    fake_report(node, 1, PHASE(RUNNING));
    until_pod("web-1", PHASE(RUNNING));
    stop_pod("web");
    until_pod("web-1", PHASE(STOPPED));
    assert_int_equal(node->deleted, 1);
    assert_null(try_stop("web", &why));
    expect_refused(why, ERROR_NOT_FOUND, "web");
}

static void a_request_sent_again_is_answered_again(void **state)
{
    uint64_t index;

    (void)state;
    index = expect_scheduled(admin, (struct ask){.id = 7}, "web-1 -");
    expect_scheduled(admin, (struct ask){.id = 8}, "web-2 -");
    assert_int_equal(expect_scheduled(admin, (struct ask){.id = 7}, "web-1 -"),
                     index);
    expect_scheduled(admin, (struct ask){.id = 9}, "web-3 -");
}

static void a_name_that_lives_is_refused(void **state)
{
    struct error why;

    (void)state;
    expect_scheduled(admin, (struct ask){.app = "web"}, "web-1 -");
    assert_null(schedule_pod(admin, (struct ask){.app = "web"}, &why));
    expect_refused(why, ERROR_ALREADY_EXISTS, "web");
}

static void a_silent_nodes_pods_go_elsewhere(void **state)
{
    struct fake_node *silent = node_with_a_pod();
    struct fake_node *other;

    (void)state;
    fake_report(silent, 1, PHASE(RUNNING));
    until_pod("web-1", PHASE(RUNNING));

    other = node_up(1);
    silent->silent = true;
    until_node_has(other, 1);
    assert_int_equal(other->pods[0].generation, 2);
    /* It comes back: what was replaced is stopped there, and only there. */
    world_node_stop(0);
    silent->silent = false;
    world_node_start(0);
    until_node_has(silent, 0);
    assert_int_equal(other->pod_count, 1);
}

/* A turn of the loop in whose midst a node is heard. */
static struct {
    uv_async_t first_half; /* is read before the report */
    uv_check_t second_half;
    struct fake_node *node;
    bool half, whole;
} turn;

enum { HALF_A_TURN_MS = 150 };

static void on_first_half(uv_async_t *async)
{
    (void)async;
    poll(NULL, 0, HALF_A_TURN_MS);
    turn.half = true;
}

static void on_second_half(uv_check_t *check)
{
    if (!turn.half)
        return;
    poll(NULL, 0, HALF_A_TURN_MS);
    turn.whole = true;
    uv_close((uv_handle_t *)check, NULL);
    uv_close((uv_handle_t *)&turn.first_half, NULL);
}

static bool turn_is_over(void *data)
{
    (void)data;
    return turn.whole;
}

/* It is forgiven no more than it was long. */
static void a_long_turn_is_not_its_nodes_silence(void **state)
{
    (void)state;
    memset(&turn, 0, sizeof turn);
    turn.node = node_with_a_pod();
    uv_async_init(&world.loop, &turn.first_half, on_first_half);
    uv_check_init(&world.loop, &turn.second_half);
    uv_check_start(&turn.second_half, on_second_half);
    uv_async_send(&turn.first_half);
    fake_report(turn.node, 1, PHASE(RUNNING));
    world_until(turn_is_over, NULL, "a long turn");
    expect_scheduled(admin, (struct ask){.app = "next"}, "next-1 n1");
    until_pod("web-1", PHASE(RUNNING));
    assert_int_equal(turn.node->pods[0].generation, 1);
}

/* Its machine refuses connections: the pods run on, and it may be back. */
static void an_agent_that_is_away_is_waited_for(void **state)
{
    struct fake_node *other;
    uint64_t away_ms;

    (void)state;
    node_with_a_pod();
    other = node_up(1);
    world_node_stop(0);
    away_ms = clock_monotonic_ms();
    until_node_has(other, 1);
    assert_true(clock_monotonic_ms() - away_ms >= 2 * WORLD_LOST_AFTER_MS);
}

/* What differs after a reconnect is corrected, both ways. */
static void node_and_state_are_compared(void **state)
{
    struct fake_node *node = node_with_a_pod();

    (void)state;
    world_node_stop(0);
    node->pods[0].pod_id = 99; /* lost its own, has a foreign one */
    world_node_start(0);
    until_node_has(node, 0);
    until_node_has(node, 1);
    assert_int_equal(node->pods[0].pod_id, 1);
    assert_int_equal(node->deleted, 1);
}

/* As an order of an earlier connection does that arrives after the node was
 * compared. */
static void what_starts_unwanted_is_removed(void **state)
{
    struct fake_node *node = node_with_a_pod();
    Kontor__V1__PodStatus *late = &node->pods[node->pod_count++];

    (void)state;
    kontor__v1__pod_status__init(late);
    late->pod_id = 99;
    late->generation = 1;
    fake_report(node, 99, KONTOR__V1__POD_PHASE__POD_RUNNING);
    until_node_has(node, 1);
    assert_int_equal(node->pods[0].pod_id, 1);
}

static void a_pod_stopped_while_its_node_is_away_has_stopped(void **state)
{
    struct fake_node *node = node_with_a_pod();

    (void)state;
    world_node_stop(0);
    node->pod_count = 0;
    stop_pod("web-1");
    world_node_start(0);
    until_pod("web-1", PHASE(STOPPED));
}

static void one_pod_that_a_node_refuses_fails_alone(void **state)
{
    (void)state;
    schedule_many(5);
    world.nodes[0].fake.refuse = "web-3";
    node_up(0);
    until_pod("web-3", PHASE(FAILED));
    until_node_has(&world.nodes[0].fake, 4);
    assert_null(fake_pod(&world.nodes[0].fake, 3));
}

static bool order_is_held(void *data)
{
    return ((const struct fake_node *)data)->held;
}

/* Stopped while its order is under way; the node took it, and refuses another
 * of that order. It has stopped when the node says so. */
static void a_pod_taken_beside_one_refused_stops_when_it_has(void **state)
{
    struct fake_node *node = world_node_start(0);

    (void)state;
    node->refuse = "web-2";
    node->holds = true;
    node->lingers = true;
    schedule_many(3);
    world_node_register(0, 0);
    world_until(order_is_held, node, "an order");
    stop_pod("web-1");
    node->holds = false;
    fake_answer(node);
    until_pod("web-2", PHASE(FAILED));
    until_pod("web-1", PHASE(STOPPING));
    fake_report(node, 1, PHASE(STOPPED));
    until_pod("web-1", PHASE(STOPPED));
}

static bool six_creates(void *data)
{
    return ((const struct fake_node *)data)->create_calls >= 6;
}

/* The reason that the state has for web-1, until it is this one. */
static bool reason_is(void *data)
{
    const struct master *leader = world.masters[world_leader()].master;
    const struct pod *pod = pods_find_name(&leader->cluster->pods, "web-1");

    return pod && text_is(pod->facts.reason, data);
}

/* The first waits for 50 ms, then 100, 200, 400, 800: the sixth comes after
 * more than a second and a half. All the while the node is heard. */
static void what_a_node_does_not_take_is_sent_ever_more_rarely(void **state)
{
    char said[] = "the node did not take it: the disk is read-only";
    struct fake_node *node = world_node_start(0);
    uint64_t since_ms = clock_monotonic_ms();

    (void)state;
    node->broken = "the disk is read-only";
    world_node_register(0, 0);
    expect_scheduled(admin, (struct ask){0}, "web-1 n1");
    world_until(reason_is, said, "the reason");
    world_until(six_creates, node, "orders that are sent again");
    assert_true(clock_monotonic_ms() - since_ms >= 50 + 100 + 200 + 400 + 800);
    assert_int_equal(
        nodes_find_name(&world.masters[0].master->cluster->nodes, "n1")->state,
        KONTOR__V1__NODE_STATE__NODE_READY);
    until_pod("web-1", PHASE(PLACED));
    node->broken = NULL;
    until_node_has(node, 1);
    fake_report(node, 1, PHASE(PULLING));
    said[0] = '\0';
    world_until(reason_is, said, "no reason");
}

static void orders_travel_together(void **state)
{
    struct fake_node *node;

    (void)state;
    schedule_many(20);
    node = node_up(0);
    until_node_has(node, 20);
    assert_true(node->create_calls <= 2);
}

static bool all_have_two_routes(void *data)
{
    (void)data;
    return world.nodes[0].fake.routes == 2 && world.nodes[1].fake.routes == 2 &&
           world.nodes[2].fake.routes == 2;
}

static void every_node_learns_the_routes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        node_up(i);
    world_until(all_have_two_routes, NULL, "the routes");
    /* The last one was told all, the first what came after. */
    assert_int_equal(world.nodes[2].fake.route_changes, 0);
    assert_true(world.nodes[0].fake.route_changes > 0);
}

/* n1 registers once more. How many routes is it answered? */
static size_t routes_answered(bool apart)
{
    Kontor__V1__RegisterNodeRequest request =
        KONTOR__V1__REGISTER_NODE_REQUEST__INIT;
    Kontor__V1__Resources capacity = KONTOR__V1__RESOURCES__INIT;
    Kontor__V1__RegisterNodeResponse *answer;
    struct error why;
    size_t count;

    capacity.cpu_milli = 4000;
    capacity.memory_bytes = UINT64_C(4) << 30;
    request.name = world.nodes[0].name;
    request.address = world.nodes[0].address;
    request.capacity = &capacity;
    request.routes_apart = apart;
    answer =
        world_call(world_channel(0, "n1"), "RegisterNode", &request.base, &why);
    assert_non_null(answer);
    count = answer->n_routes;
    kontor__v1__register_node_response__free_unpacked(answer, NULL);
    return count;
}

static void a_node_of_before_is_answered_the_routes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        node_up(i);
    world_until(all_have_two_routes, NULL, "the routes");
    assert_int_equal(routes_answered(false), 2);
    assert_int_equal(routes_answered(true), 0);
}

/* ---- who may ---- */

static void roles_are_kept(void **state)
{
    struct channel *viewer = world_channel(0, "viewer");
    struct channel *node;
    Kontor__V1__ListPodsRequest list = KONTOR__V1__LIST_PODS_REQUEST__INIT;
    Kontor__V1__RegisterNodeRequest other =
        KONTOR__V1__REGISTER_NODE_REQUEST__INIT;
    ProtobufCMessage *answer;
    struct error why;

    (void)state;
    assert_null(schedule_pod(viewer, (struct ask){0}, &why));
    expect_refused(why, ERROR_PERMISSION_DENIED, "viewer");
    answer = world_call(viewer, "ListPods", &list.base, &why);
    assert_non_null(answer);
    protobuf_c_message_free_unpacked(answer, NULL);

    world_node_start(0);
    node = world_channel(0, "n1");
    assert_null(world_call(node, "ListPods", &list.base, &why));
    expect_refused(why, ERROR_PERMISSION_DENIED, "node");
    other.name = (char[]){"n2"};
    assert_null(world_call(node, "RegisterNode", &other.base, &why));
    expect_refused(why, ERROR_PERMISSION_DENIED, "n1 may not register");
}

/* ---- reading ---- */

static void pods_come_in_pages(void **state)
{
    Kontor__V1__ListPodsRequest request = KONTOR__V1__LIST_PODS_REQUEST__INIT;
    uint64_t last = 0;
    unsigned pages = 0;
    struct error why;

    (void)state;
    schedule_many(7);
    request.page_size = 3;
    do {
        Kontor__V1__ListPodsResponse *page =
            world_call(admin, "ListPods", &request.base, &why);

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
}

static void why_goes_node_by_node(void **state)
{
    Kontor__V1__WhyRequest request = KONTOR__V1__WHY_REQUEST__INIT;
    Kontor__V1__WhyResponse *answer;
    struct error why;

    (void)state;
    node_up(0);
    request.pod = (char[]){"web-1"};
    assert_null(world_call(admin, "Why", &request.base, &why));
    expect_refused(why, ERROR_NOT_FOUND, "web-1");
    expect_scheduled(admin, (struct ask){.cpu_milli = 512000}, "web-1 -");
    answer = world_call(admin, "Why", &request.base, &why);
    assert_non_null(answer);
    assert_string_equal(answer->summary,
                        "no node could ever hold it: asks 512 cpu, the "
                        "largest node has 4");
    assert_int_equal(answer->n_verdicts, 1);
    assert_string_equal(answer->verdicts[0]->node, "n1");
    assert_int_equal(answer->verdicts[0]->short_->cpu_milli, 508000);
    assert_int_equal(answer->more_nodes, 0);
    kontor__v1__why_response__free_unpacked(answer, NULL);
}

static void why_says_what_it_leaves_out_and_what_would_help(void **state)
{
    Kontor__V1__WhyRequest request = KONTOR__V1__WHY_REQUEST__INIT;
    Kontor__V1__WhyResponse *answer;
    struct error why;

    (void)state;
    node_up(0);
    node_up(1);
    request.pod = (char[]){"side-1"};
    request.page_size = 1;
    expect_scheduled(admin, (struct ask){.app = "side", .with = "main"},
                     "side-1 -");
    answer = world_call(admin, "Why", &request.base, &why);
    assert_non_null(answer);
    assert_int_equal(answer->n_verdicts, 1);
    assert_int_equal(answer->more_nodes, 1);
    assert_string_equal(answer->verdicts[0]->constraint, "runs no pod of main");
    assert_string_equal(answer->verdicts[0]->would_fit,
                        "if a pod of main were there");
    kontor__v1__why_response__free_unpacked(answer, NULL);
}

static void events_are_watched_from_an_index(void **state)
{
    Kontor__V1__WatchRequest request = KONTOR__V1__WATCH_REQUEST__INIT;
    Kontor__V1__Event *last;
    struct error why;

    (void)state;
    schedule_many(2);
    request.until_now = true;
    last = world_call(admin, "Watch", &request.base, &why);
    assert_int_equal(why.code, 0);
    assert_string_equal(last->subject, "web-2");
    assert_int_equal(last->pod->id, 2);
    request.after_index = last->index;
    kontor__v1__event__free_unpacked(last, NULL);
    assert_null(world_call(admin, "Watch", &request.base, &why));
    assert_int_equal(why.code, 0);
    request.pod = (char[]){"db-1"};
    assert_null(world_call(admin, "Watch", &request.base, &why));
    expect_refused(why, ERROR_NOT_FOUND, "db-1");
}

static bool node_is_away(void *data)
{
    (void)data;
    return !channel_connected(
        dispatch_channel(&world.masters[0].master->dispatch, 1));
}

static void logs_come_from_the_node(void **state)
{
    Kontor__V1__LogsRequest request = KONTOR__V1__LOGS_REQUEST__INIT;
    Kontor__V1__LogsChunk *chunk;
    struct error why;

    (void)state;
    request.pod = (char[]){"web-1"};
    schedule_many(1);
    assert_null(world_call(admin, "Logs", &request.base, &why));
    expect_refused(why, ERROR_FAILED_PRECONDITION, "web-1 is on no node");
    until_node_has(node_up(0), 1);
    chunk = world_call(admin, "Logs", &request.base, &why);
    assert_int_equal(why.code, 0);
    assert_memory_equal(chunk->data.data, "hello\n", 6);
    kontor__v1__logs_chunk__free_unpacked(chunk, NULL);
    request.tail_lines = 1;
    assert_null(world_call(admin, "Logs", &request.base, &why));
    expect_refused(why, ERROR_NOT_FOUND, "node n1: the log is gone");
    world_node_stop(0);
    world_until(node_is_away, NULL, "the master to notice");
    assert_null(world_call(admin, "Logs", &request.base, &why));
    expect_refused(why, ERROR_UNAVAILABLE, "node n1 cannot be reached");
}

/* ---- several masters ---- */

/* All are there, and who leads. */
static void expect_masters(struct channel *channel, const char *answered_by,
                           unsigned leader)
{
    Kontor__V1__MastersRequest request = KONTOR__V1__MASTERS_REQUEST__INIT;
    struct error why;
    Kontor__V1__MastersResponse *masters =
        world_call(channel, "Masters", &request.base, &why);

    assert_int_equal(masters->n_masters, 3);
    assert_string_equal(masters->answered_by, answered_by);
    for (unsigned i = 0; i < 3; i++)
        assert_string_equal(masters->masters[i]->role,
                            i == leader ? "leader" : "follower");
    kontor__v1__masters_response__free_unpacked(masters, NULL);
}

static void any_master_takes_a_call(void **state)
{
    Kontor__V1__WatchRequest watch = KONTOR__V1__WATCH_REQUEST__INIT;
    Kontor__V1__Event *event;
    struct channel *viewer;
    struct error why;
    unsigned leader;
    unsigned other;

    (void)state;
    world_start(3, 3);
    leader = world_leader();
    other = (leader + 1) % 3;
    admin = world_channel(other, "admin");
    expect_scheduled(admin, (struct ask){.id = 1}, "web-1 -");
    expect_scheduled(admin, (struct ask){.id = 1}, "web-1 -");
    /* The leader looks at who asks, not at who forwards. */
    world_node_start(0);
    world_node_register(0, other);
    until_pod("web-1", PHASE(PLACED));
    viewer = world_channel(other, "viewer");
    assert_null(schedule_pod(viewer, (struct ask){0}, &why));
    expect_refused(why, ERROR_PERMISSION_DENIED, "viewer");
    watch.until_now = true;
    event = world_call(viewer, "Watch", &watch.base, &why);
    assert_string_equal(event->subject, "web-1");
    kontor__v1__event__free_unpacked(event, NULL);
    expect_masters(admin, world.masters[other].name, leader);
}

static bool leader_misses_the_node(void *data)
{
    const struct master *leader = data;

    return !channel_connected(dispatch_channel(&leader->dispatch, 1));
}

/* What the leader says at once is what a follower passes on, in time. */
static void a_node_that_is_away_is_named_by_a_follower_too(void **state)
{
    Kontor__V1__LogsRequest request = KONTOR__V1__LOGS_REQUEST__INIT;
    struct fake_node *node = &world.nodes[0].fake;
    struct error why;
    unsigned leader;

    (void)state;
    world_start(3, 3);
    leader = world_leader();
    admin = world_channel(leader, "admin");
    world_node_start(0);
    world_node_register(0, leader);
    expect_scheduled(admin, (struct ask){.id = 1}, "web-1 n1");
    until_node_has(node, 1);
    fake_report(node, node->pods[0].pod_id, PHASE(SUCCEEDED));
    until_pod("web-1", PHASE(SUCCEEDED));
    world_node_stop(0);
    world_until(leader_misses_the_node, world.masters[leader].master,
                "the leader to notice");
    request.pod = (char[]){"web-1"};
    admin = world_channel((leader + 1) % 3, "admin");
    assert_null(world_call(admin, "Logs", &request.base, &why));
    expect_refused(why, ERROR_UNAVAILABLE, "node n1 cannot be reached");
}

static void without_a_leader_a_call_waits_a_while(void **state)
{
    Kontor__V1__MastersRequest request = KONTOR__V1__MASTERS_REQUEST__INIT;
    Kontor__V1__MastersResponse *masters;
    struct error why;
    uint64_t before;

    (void)state;
    world_start(3, 1);
    admin = world_channel(0, "admin");
    before = uv_hrtime();
    assert_null(schedule_pod(admin, (struct ask){0}, &why));
    expect_refused(why, ERROR_UNAVAILABLE, "no leader");
    assert_true(uv_hrtime() - before >= UINT64_C(500000000));
    masters = world_call(admin, "Masters", &request.base, &why);
    assert_string_equal(masters->masters[1]->role, "down");
    assert_string_not_equal(masters->masters[0]->role, "down");
    kontor__v1__masters_response__free_unpacked(masters, NULL);
}

enum { LARGE_BYTES = 4000000 };

static bool one_is_refused(void *data)
{
    const struct world_asked *asked = data;

    for (unsigned i = 0; i <= FORWARDS_MAX_BYTES / LARGE_BYTES; i++)
        if (asked[i].ended)
            return true;
    return false;
}

/* What waits for a leader has a limit in bytes, not only in calls. */
static void calls_that_wait_are_bounded_in_bytes(void **state)
{
    Kontor__V1__GetPodRequest request = KONTOR__V1__GET_POD_REQUEST__INIT;
    /* They end after this test does. */
    static struct world_asked asked[FORWARDS_MAX_BYTES / LARGE_BYTES + 1];
    char *name = memory_new(LARGE_BYTES + 1);
    unsigned waiting = 0;

    (void)state;
    memset(name, 'x', LARGE_BYTES);
    request.pod = name;
    world_start(3, 1);
    world.masters[0].master->config.election_timeout_ms = 60000;
    admin = world_channel(0, "admin");
    for (unsigned i = 0; i < ARRAY_LEN(asked); i++)
        world_ask(&asked[i], admin, "GetPod", &request.base);
    world_until(one_is_refused, asked, "a call that is refused");
    for (unsigned i = 0; i < ARRAY_LEN(asked); i++) {
        waiting += !asked[i].ended;
        if (asked[i].ended)
            expect_refused(asked[i].why, ERROR_RESOURCE_EXHAUSTED,
                           "wait for the leader already");
    }
    assert_int_equal(waiting, ARRAY_LEN(asked) - 1);
    free(name);
}

#define STORY(test) \
    cmocka_unit_test_setup_teardown(test, set_up_one, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_pod_is_ordered_runs_and_stops),
        STORY(a_request_sent_again_is_answered_again),
        STORY(a_name_that_lives_is_refused),
        STORY(a_silent_nodes_pods_go_elsewhere),
        STORY(a_long_turn_is_not_its_nodes_silence),
        STORY(an_agent_that_is_away_is_waited_for),
        STORY(node_and_state_are_compared),
        STORY(what_starts_unwanted_is_removed),
        STORY(a_pod_stopped_while_its_node_is_away_has_stopped),
        STORY(one_pod_that_a_node_refuses_fails_alone),
        STORY(a_pod_taken_beside_one_refused_stops_when_it_has),
        STORY(what_a_node_does_not_take_is_sent_ever_more_rarely),
        STORY(orders_travel_together),
        STORY(every_node_learns_the_routes),
        STORY(a_node_of_before_is_answered_the_routes),
        STORY(roles_are_kept),
        STORY(pods_come_in_pages),
        STORY(why_goes_node_by_node),
        STORY(why_says_what_it_leaves_out_and_what_would_help),
        STORY(events_are_watched_from_an_index),
        STORY(logs_come_from_the_node),
        cmocka_unit_test_teardown(any_master_takes_a_call, world_tear_down),
        cmocka_unit_test_teardown(
            a_node_that_is_away_is_named_by_a_follower_too, world_tear_down),
        cmocka_unit_test_teardown(calls_that_wait_are_bounded_in_bytes,
                                  world_tear_down),
        cmocka_unit_test_teardown(without_a_leader_a_call_waits_a_while,
                                  world_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
