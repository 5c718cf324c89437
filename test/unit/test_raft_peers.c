/* Who the other members are: connections to the right ones. */
#include "raft/peers.h"
#include "rpc_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct story {
    struct rpc_fixture fixture;
    struct tls_context *context;
    struct peers *peers;
    bool closed;
};

static void on_message(void *data, const struct raft_message *message)
{
    (void)data;
    (void)message;
}

static void on_lost(void *data, uint32_t member)
{
    (void)data;
    (void)member;
}

static void on_closed(void *data)
{
    ((struct story *)data)->closed = true;
}

static int set_up(void **state)
{
    struct story *story = calloc(1, sizeof *story);
    struct peers_config config = {
        .self = 1,
        .events = {.message = on_message, .lost = on_lost},
    };

    rpc_fixture_init(&story->fixture);
    story->context = rpc_fixture_context(&story->fixture, "alice");
    config.tls = story->context;
    story->peers =
        peers_open(&story->fixture.loop, story->fixture.server, &config);
    *state = story;
    return 0;
}

static int tear_down(void **state)
{
    struct story *story = *state;

    peers_close(story->peers, on_closed, story);
    rpc_fixture_fini(&story->fixture);
    assert_true(story->closed);
    tls_context_free(story->context);
    free(story);
    return 0;
}

/* Ourselves, and member 2. */
static struct channel *set(struct story *story, const char *name,
                           const char *address)
{
    Kontor__V1__RaftMember self = KONTOR__V1__RAFT_MEMBER__INIT;
    Kontor__V1__RaftMember other = KONTOR__V1__RAFT_MEMBER__INIT;
    Kontor__V1__RaftMember *members[] = {&self, &other};
    Kontor__V1__RaftConfiguration all = KONTOR__V1__RAFT_CONFIGURATION__INIT;

    self.id = 1;
    self.name = (char[]){"m1"};
    self.address = (char[]){"127.0.0.1:1"};
    other.id = 2;
    other.name = without_const(name);
    other.address = without_const(address);
    all.members = members;
    all.n_members = 2;
    all.next_id = 3;
    peers_set(story->peers, &all);
    return peers_channel(story->peers, 2);
}

/* An addition that was never committed left its id to another one. */
static void an_id_may_become_anothers(void **state)
{
    struct channel *first = set(*state, "m2", "127.0.0.1:2");
    struct channel *second;

    assert_non_null(first);
    assert_ptr_equal(set(*state, "m2", "127.0.0.1:2"), first);
    second = set(*state, "m3", "127.0.0.1:3");
    assert_non_null(second);
    assert_ptr_not_equal(second, first);
}

static void an_address_may_change(void **state)
{
    struct channel *first = set(*state, "m2", "127.0.0.1:2");
    struct channel *second = set(*state, "m2", "127.0.0.1:3");

    assert_non_null(second);
    assert_ptr_not_equal(second, first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_id_may_become_anothers, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_address_may_change, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
