/* Pods that fit nowhere when they are asked for, and what makes them fit. */
#include "base/clock.h"
#include "base/memory.h"
#include "master_asks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_pending_pod_is_placed_when_room_appears(void **state)
{
    struct fake_node *node;

    (void)state;
    expect_scheduled(admin, (struct ask){.cpu_milli = 3000}, "web-1 -");
    expect_scheduled(admin, (struct ask){.cpu_milli = 3000}, "web-2 -");
    node = node_up(0);
    until_pod("web-1", PHASE(PLACED)); /* the oldest first */
    until_pod("web-2", PHASE(PENDING));
    until_node_has(node, 1);
    stop_pod("web-1");
    until_pod("web-2", PHASE(PLACED));
}

static void until_answered(struct world_asked *asked)
{
    world_until(world_is_answered, asked, asked->path);
    assert_non_null(asked->answer);
    protobuf_c_message_free_unpacked(asked->answer, NULL);
}

/* It is not room that it waits for. */
static void a_pending_pod_is_placed_when_company_comes(void **state)
{
    (void)state;
    node_up(0);
    expect_scheduled(admin, (struct ask){.app = "side", .with = "main"},
                     "side-1 -");
    expect_scheduled(admin, (struct ask){.app = "other"}, "other-1 n1");
    until_pod("side-1", PHASE(PENDING));
    expect_scheduled(admin, (struct ask){.app = "main"}, "main-1 n1");
    until_pod("side-1", PHASE(PLACED));
}

/* It fits nowhere when it is chosen for, and somewhere when it is pending. */
static void company_that_comes_at_the_same_moment_counts(void **state)
{
    struct world_asked side, company;

    (void)state;
    node_up(0);
    ask_schedule(&side, admin, (struct ask){.app = "side", .with = "main"});
    ask_schedule(&company, admin, (struct ask){.app = "main"});
    until_answered(&side);
    until_answered(&company);
    until_pod("side-1", PHASE(PLACED));
}

static char n1[] = "n1";
static char n2[] = "n2";

static void ask_cordon(struct world_asked *asked, char *node, bool cordoned)
{
    Kontor__V1__CordonRequest request = KONTOR__V1__CORDON_REQUEST__INIT;

    request.node = node;
    request.cordoned = cordoned;
    world_ask(asked, admin, "Cordon", &request.base);
}

static void cordon(char *node)
{
    struct world_asked asked;

    ask_cordon(&asked, node, true);
    until_answered(&asked);
}

/* The node opens at every moment about the choice: before it, while the pod's
 * creation is under way, and after. */
static void a_pod_that_begins_to_wait_as_its_node_opens_is_placed(void **state)
{
    (void)state;
    node_up(0);
    for (int gap = 0; gap < 24; gap++) {
        struct world_asked opened, pod;
        char name[16];

        cordon(n1);
        ask_cordon(&opened, n1, false);
        for (int i = 0; i < gap; i++)
            uv_run(&world.loop, UV_RUN_ONCE);
        ask_schedule(&pod, admin, (struct ask){0});
        until_answered(&opened);
        until_answered(&pod);
        snprintf(name, sizeof name, "web-%d", gap + 1);
        until_pod(name, PHASE(PLACED));
    }
}

/* They want as much of a node, which has not got what one of them asks for:
 * that stands before the other, and not in its way. */
static void who_fits_nowhere_is_in_nobodys_way(void **state)
{
    (void)state;
    node_up(0);
    expect_scheduled(admin, (struct ask){.cpu_milli = 4000}, "web-1 n1");
    until_pod("web-1", PHASE(PLACED));
    expect_scheduled(admin, (struct ask){.app = "own", .userns = true},
                     "own-1 -");
    expect_scheduled(admin, (struct ask){0}, "web-2 -");
    stop_pod("web-1");
    until_pod("web-2", PHASE(PLACED));
}

/* What one was promised is not offered to the next before it is committed. */
static void requests_of_one_moment_get_room_of_their_own(void **state)
{
    struct world_asked asked[2];

    (void)state;
    node_up(0);
    node_up(1);
    for (unsigned i = 0; i < 2; i++)
        ask_schedule(&asked[i], admin, (struct ask){.cpu_milli = 3000});
    for (unsigned i = 0; i < 2; i++) {
        Kontor__V1__ScheduleResponse *response;

        world_until(world_is_answered, &asked[i], "Schedule");
        response = (void *)asked[i].answer;
        assert_non_null(response);
        assert_string_equal(response->pod->node, i == 0 ? "n1" : "n2");
        kontor__v1__schedule_response__free_unpacked(response, NULL);
    }
}

/* Room that was kept for a request that was refused then is there for who did
 * not fit beside it. */
static void what_a_refused_request_kept_is_given_to_others(void **state)
{
    const struct ask asks[] = {{.cpu_milli = 3000, .app = "db"},
                               {.cpu_milli = 2000, .app = "web"}};
    const enum error_code codes[] = {ERROR_ALREADY_EXISTS, 0};
    struct world_asked asked[2];

    (void)state;
    node_up(0);
    expect_scheduled(admin, (struct ask){.cpu_milli = 1000, .app = "db"},
                     "db-1 n1");
    for (unsigned i = 0; i < 2; i++)
        ask_schedule(&asked[i], admin, asks[i]);
    for (unsigned i = 0; i < 2; i++) {
        world_until(world_is_answered, &asked[i], "Schedule");
        assert_int_equal(asked[i].why.code, codes[i]);
        if (asked[i].answer)
            protobuf_c_message_free_unpacked(asked[i].answer, NULL);
    }
    until_pod("web-1", PHASE(PLACED));
}

/* ---- those who wait long ---- */

static struct placer *placer(void)
{
    return &world.masters[0].master->placer;
}

static bool some_is_favoured(void *data)
{
    (void)data;
    return placer()->pending.favoured;
}

static bool nothing_is_kept(void *data)
{
    (void)data;
    return placer()->keeper.count == 0;
}

/* Something must come free for it. */
static bool is_tried_at_once(void *data)
{
    const struct keeper *keeper = &placer()->keeper;

    (void)data;
    return !keeper->gained && clock_monotonic_ms() > keeper->tried_ms + 100;
}

/* n1 is full of web-1 to web-4, one core each; `large` waits for three, and so
 * long that room is kept for it. */
static void one_waits_long(struct ask large, const char *name_and_node)
{
    node_up(0);
    placer()->keeper.patience_ms = 50;
    for (int i = 1; i <= 4; i++) {
        char placed[32];

        snprintf(placed, sizeof placed, "web-%d n1", i);
        expect_scheduled(admin, (struct ask){.cpu_milli = 1000}, placed);
    }
    expect_scheduled(admin, large, name_and_node);
    world_until(some_is_favoured, NULL, "room to be kept");
}

static void end_pod(const char *name)
{
    stop_pod(name);
    until_pod(name, PHASE(STOPPED));
}

static void small_pods_do_not_starve_a_large_one(void **state)
{
    (void)state;
    one_waits_long((struct ask){.app = "large", .cpu_milli = 3000},
                   "large-1 -");
    end_pod("web-1");
    expect_scheduled(admin, (struct ask){.app = "late", .cpu_milli = 500},
                     "late-1 -");
    end_pod("web-2");
    end_pod("web-3");
    until_pod("large-1", PHASE(PLACED));
    until_pod("late-1", PHASE(PENDING));
    end_pod("web-4");
    until_pod("late-1", PHASE(PLACED));
    assert_true(nothing_is_kept(NULL));
}

static void small_pods_do_not_starve_a_gang(void **state)
{
    (void)state;
    one_waits_long(
        (struct ask){
            .app = "gang", .cpu_milli = 1000, .replicas = 3, .gang = true},
        "gang-1 -");
    end_pod("web-1");
    expect_scheduled(admin, (struct ask){.app = "late", .cpu_milli = 500},
                     "late-1 -");
    end_pod("web-2");
    end_pod("web-3");
    until_pod("gang-1", PHASE(PLACED));
    until_pod("gang-3", PHASE(PLACED));
    until_pod("late-1", PHASE(PENDING));
}

static void what_is_kept_goes_to_a_higher_priority(void **state)
{
    (void)state;
    one_waits_long((struct ask){.app = "large", .cpu_milli = 3000},
                   "large-1 -");
    end_pod("web-1");
    expect_scheduled(
        admin, (struct ask){.app = "late", .cpu_milli = 1000, .priority = 1},
        "late-1 -");
    until_pod("late-1", PHASE(PLACED));
    until_pod("large-1", PHASE(PENDING));
}

/* Both nodes open at the same moment: what is kept for one does not keep the
 * other from the rest. */
static void who_gets_what_was_kept_is_in_nobodys_way(void **state)
{
    struct world_asked first, second;

    (void)state;
    node_up(1);
    expect_scheduled(admin, (struct ask){.app = "half", .cpu_milli = 2000},
                     "half-1 n2");
    cordon(n2);
    one_waits_long((struct ask){.app = "large", .cpu_milli = 3000},
                   "large-1 -");
    cordon(n1);
    end_pod("web-1");
    end_pod("web-2");
    end_pod("web-3");
    expect_scheduled(admin, (struct ask){.app = "late", .cpu_milli = 1500},
                     "late-1 -");
    world_until(is_tried_at_once, NULL, "the last trial to be past");
    ask_cordon(&first, n1, false);
    ask_cordon(&second, n2, false);
    until_answered(&first);
    until_answered(&second);
    until_pod("large-1", PHASE(PLACED));
    placer()->keeper.patience_ms = 60000; /* none is kept for late-1 */
    until_pod("late-1", PHASE(PLACED));
}

/* What does not come free is not waited for for ever. */
static void what_is_kept_in_vain_is_given_to_others(void **state)
{
    (void)state;
    one_waits_long((struct ask){.app = "large", .cpu_milli = 3000},
                   "large-1 -");
    end_pod("web-1");
    expect_scheduled(admin, (struct ask){.app = "late", .cpu_milli = 1000},
                     "late-1 -");
    placer()->keeper.turn_ms = 100;
    until_pod("late-1", PHASE(PLACED));
    until_pod("large-1", PHASE(PENDING));
}

/* Nor is room kept for who has gone. */
static void what_is_kept_for_one_that_has_gone_is_free(void **state)
{
    (void)state;
    one_waits_long((struct ask){.app = "large", .cpu_milli = 3000},
                   "large-1 -");
    end_pod("large-1");
    world_until(nothing_is_kept, NULL, "the node to be open");
    end_pod("web-1");
    expect_scheduled(admin, (struct ask){.app = "late", .cpu_milli = 1000},
                     "late-1 n1");
}

#define STORY(test) \
    cmocka_unit_test_setup_teardown(test, set_up_one, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_pending_pod_is_placed_when_room_appears),
        STORY(a_pending_pod_is_placed_when_company_comes),
        STORY(company_that_comes_at_the_same_moment_counts),
        STORY(a_pod_that_begins_to_wait_as_its_node_opens_is_placed),
        STORY(who_fits_nowhere_is_in_nobodys_way),
        STORY(requests_of_one_moment_get_room_of_their_own),
        STORY(what_a_refused_request_kept_is_given_to_others),
        STORY(small_pods_do_not_starve_a_large_one),
        STORY(small_pods_do_not_starve_a_gang),
        STORY(what_is_kept_goes_to_a_higher_priority),
        STORY(who_gets_what_was_kept_is_in_nobodys_way),
        STORY(what_is_kept_in_vain_is_given_to_others),
        STORY(what_is_kept_for_one_that_has_gone_is_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
