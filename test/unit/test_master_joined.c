/* Commands that came in one turn and are one entry of the log. */
#include "master_asks.h"
#include "master_commands.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct wanted node_room = {4000, 1, 1, 1};

static void joined_commands_are_done_in_order(void **state)
{
    struct cluster *c = cluster_new();
    struct cluster_result result;

    (void)state;
    do_register(c, "n1", node_room);
    join_commands();
    do_create(c, (struct create){.app = "web", .node_id = 1, .request = 1});
    do_create(c, (struct create){.app = "web", .named = true, .request = 2});
    do_stop(c, 7, 3); /* there is none */
    do_create(c, (struct create){.app = "db", .node_id = 1, .request = 4});
    do_stop(c, 1, 5);
    result = apply_joined(c);
    assert_int_equal(result.error.code, 0);
    assert_int_equal(result.subject_id, 1);
    assert_false(result.replayed);
    assert_int_equal(c->index, 2);
    assert_int_equal(series_count(&c->pods.all), 2);
    assert_int_equal(pods_find(&c->pods, 1)->facts.phase,
                     KONTOR__V1__POD_PHASE__POD_STOPPING);
    assert_int_equal(pods_find(&c->pods, 2)->facts.phase,
                     KONTOR__V1__POD_PHASE__POD_PLACED);
    /* Each is remembered by itself. */
    result = do_create(c, (struct create){.request = 2});
    assert_true(result.replayed);
    assert_int_equal(result.error.code, ERROR_ALREADY_EXISTS);
    assert_int_equal(result.index, 2);
    cluster_free(c);
}

static void one_of_the_joined_was_done_before(void **state)
{
    struct cluster *c = cluster_new();

    (void)state;
    join_commands();
    do_create(c, (struct create){.request = 1});
    do_create(c, (struct create){.request = 1});
    do_create(c, (struct create){.request = 2});
    assert_true(apply_joined(c).replayed);
    assert_int_equal(series_count(&c->pods.all), 2);
    cluster_free(c);
}

static void joined_commands_are_not_joined_again(void **state)
{
    struct cluster *c = cluster_new();
    Kontor__V1__Command inner = KONTOR__V1__COMMAND__INIT;
    ProtobufCBinaryData unreadable = {3, (uint8_t[]){0xff, 0xff, 0xff}};

    (void)state;
    inner.joined = &unreadable;
    inner.n_joined = 1;
    join_commands();
    apply_message(c, &inner);
    assert_int_equal(apply_joined(c).error.code, ERROR_INVALID_ARGUMENT);
    assert_int_equal(apply_message(c, &inner).error.code,
                     ERROR_INVALID_ARGUMENT);
    assert_int_equal(c->index, 2);
    cluster_free(c);
}

static void nothing_follows_a_joined_command_of_tomorrow(void **state)
{
    struct cluster *c = cluster_new();
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;

    (void)state;
    command.format = CLUSTER_FORMAT + 1;
    join_commands();
    apply_message(c, &command);
    do_create(c, (struct create){0});
    assert_true(apply_joined(c).beyond);
    assert_int_equal(series_count(&c->pods.all), 0);
    cluster_free(c);
}

static bool all_have_what_came(void *data)
{
    for (unsigned i = 0; i < 3; i++)
        if (series_count(&world.masters[i].master->cluster->pods.all) <
            *(const uint64_t *)data)
            return false;
    return true;
}

/* Calls that come together: fewer entries than pods, once all masters know
 * that. */
static void calls_of_a_turn_share_an_entry(void **state)
{
    enum { CALLS = 64 };
    static struct world_asked asked[CALLS];
    uint64_t calls = CALLS;
    uint64_t before;
    unsigned leader;

    (void)state;
    world_start(3, 3);
    leader = world_leader();
    admin = world_channel(leader, "admin");
    before = world.masters[leader].master->cluster->index;
    for (unsigned i = 0; i < CALLS; i++)
        ask_schedule(&asked[i], admin, (struct ask){.id = i + 1});
    for (unsigned i = 0; i < CALLS; i++) {
        world_until(world_is_answered, &asked[i], "an answer");
        assert_int_equal(asked[i].why.code, 0);
        protobuf_c_message_free_unpacked(asked[i].answer, NULL);
    }
    assert_true(world.masters[leader].master->cluster->index - before <
                CALLS / 2);
    world_until(all_have_what_came, &calls, "the pods on all masters");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joined_commands_are_done_in_order),
        cmocka_unit_test(one_of_the_joined_was_done_before),
        cmocka_unit_test(joined_commands_are_not_joined_again),
        cmocka_unit_test(nothing_follows_a_joined_command_of_tomorrow),
        cmocka_unit_test_teardown(calls_of_a_turn_share_an_entry,
                                  world_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
