/* Who the masters are, changed over real connections. */
#include "base/lang.h"
#include "kontor/v1/cluster.pb-c.h"
#include "master_asks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* "That one is there" was true when the others were heard last; they may have
 * removed it since. */
static void a_leader_that_is_alone_says_nothing_of_members(void **state)
{
    Kontor__V1__AddMasterRequest request = KONTOR__V1__ADD_MASTER_REQUEST__INIT;
    struct error why;
    unsigned leader, other;

    (void)state;
    world_start(3, 3);
    leader = world_leader();
    other = (leader + 1) % 3;
    admin = world_channel(leader, "admin");
    request.name = world.masters[other].name;
    request.address = world.masters[other].address;
    kontor__v1__add_master_response__free_unpacked(
        world_call(admin, "AddMaster", &request.base, &why), NULL);
    assert_int_equal(why.code, 0);
    world_master_stop(other);
    world_master_stop((leader + 2) % 3);
    assert_null(world_call(admin, "AddMaster", &request.base, &why));
    expect_refused(why, ERROR_UNAVAILABLE, "no leader");
}

static const struct {
    const char *name;
    const char *address;
    const char *text;
} strange_masters[] = {
    {"", "127.0.0.1:7400", "name \"\""},
    {"m4,m5", "127.0.0.1:7400", "name \"m4,m5\""},
    {"m4", "", "address \"\": not HOST:PORT"},
    {"m4", "10.0.0.4", "address \"10.0.0.4\": not HOST:PORT"},
    {"m4", "fd00::4:7400", "write IPv6 as [HOST]:PORT"},
};

static void a_master_that_cannot_be_reached_is_not_added(void **state)
{
    Kontor__V1__AddMasterRequest request = KONTOR__V1__ADD_MASTER_REQUEST__INIT;
    struct error why;

    (void)state;
    world_start(1, 1);
    admin = world_channel(0, "admin");
    for (size_t i = 0; i < ARRAY_LEN(strange_masters); i++) {
        request.name = without_const(strange_masters[i].name);
        request.address = without_const(strange_masters[i].address);
        assert_null(world_call(admin, "AddMaster", &request.base, &why));
        expect_refused(why, ERROR_INVALID_ARGUMENT, strange_masters[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(
            a_leader_that_is_alone_says_nothing_of_members, world_tear_down),
        cmocka_unit_test_teardown(a_master_that_cannot_be_reached_is_not_added,
                                  world_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
