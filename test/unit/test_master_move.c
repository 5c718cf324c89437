/* Moving pods: a story for each rule of master/cluster_departures.h and
 * MovePods. */
#include "base/fd.h"
#include "base/memory.h"
#include "master_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PHASE(name) KONTOR__V1__POD_PHASE__POD_##name
#define STATE(name) KONTOR__V1__NODE_STATE__NODE_##name

static const struct wanted big = {8000, 8 << 20, 0, 0};
static const struct wanted half = {4000, 1 << 20, 0, 0};

/* Nodes 1 to `nodes`, and pods 1 and 2 that run on the first. */
static struct cluster *cluster_with(int nodes,
                                    Kontor__V1__RestartPolicy restart)
{
    struct cluster *cluster = cluster_new();
    char name[16];

    for (int i = 1; i <= nodes; i++) {
        snprintf(name, sizeof name, "n%d", i);
        do_register(cluster, name, big);
    }
    for (uint64_t id = 1; id <= 2; id++) {
        do_create(cluster, (struct create){
                               .want = half, .node_id = 1, .restart = restart});
        do_report(cluster, 1, id, 1, PHASE(RUNNING));
    }
    return cluster;
}

static const struct node *node_at(const struct cluster *cluster, uint64_t id)
{
    return nodes_find(&cluster->nodes, id);
}

static void expect(const struct cluster *cluster, uint64_t id, int phase,
                   uint64_t node_id, uint32_t generation)
{
    const struct pod *pod = pods_find(&cluster->pods, id);

    assert_non_null(pod);
    assert_int_equal(pod->facts.phase, phase);
    assert_int_equal(pod->facts.node_id, node_id);
    assert_int_equal(pod->facts.generation, generation);
}

static void expect_leaving(const struct cluster *cluster, uint64_t id,
                           uint64_t node_id, uint32_t generation)
{
    assert_true(
        departure_is(pods_find(&cluster->pods, id), node_id, generation));
}

static void expect_gone(const struct cluster *cluster, uint64_t id)
{
    assert_null(pods_find(&cluster->pods, id)->departure);
}

static const char *newest_message(const struct cluster *cluster)
{
    return text_string(
        events_at(&cluster->events, cluster->events.next - 1)->message);
}

/* ---- one pod ---- */

static void a_moved_pod_starts_when_it_has_ended_where_it_was(void **state)
{
    struct cluster *cluster =
        cluster_with(2, KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS);

    (void)state;
    assert_int_equal(do_move(cluster, 1, 1, 2).error.code, 0);
    expect(cluster, 1, PHASE(PLACED), 2, 2);
    expect_leaving(cluster, 1, 1, 1);
    assert_string_equal(newest_message(cluster), "moved from n1 to n2");
    assert_int_equal(node_at(cluster, 1)->leaving.count, 1);
    assert_int_equal(node_at(cluster, 1)->pod_count, 1);
    assert_int_equal(node_at(cluster, 2)->pod_count, 1);

    do_report(cluster, 1, 1, 1, PHASE(STOPPING));
    expect_leaving(cluster, 1, 1, 1);
    do_report(cluster, 2, 1, 1, PHASE(STOPPED)); /* another node */
    do_report(cluster, 1, 1, 2, PHASE(STOPPED)); /* another generation */
    expect_leaving(cluster, 1, 1, 1);
    do_report(cluster, 1, 1, 1, PHASE(STOPPED));
    expect_gone(cluster, 1);
    expect(cluster, 1, PHASE(PLACED), 2, 2);
    assert_string_equal(newest_message(cluster), "may start on n2");
    assert_int_equal(node_at(cluster, 1)->leaving.count, 0);
    do_report(cluster, 2, 1, 2, PHASE(RUNNING));
    expect(cluster, 1, PHASE(RUNNING), 2, 2);
    cluster_free(cluster);
}

static void what_leaves_still_takes_room(void **state)
{
    struct cluster *cluster =
        cluster_with(2, KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS);

    (void)state;
    assert_false(node_crowded(node_at(cluster, 1)));
    do_move(cluster, 1, 1, 2);
    assert_false(node_crowded(node_at(cluster, 1)));
    do_create(cluster, (struct create){.want = half, .node_id = 1});
    expect(cluster, 3, PHASE(PLACED), 1, 1); /* the state has room */
    assert_true(node_crowded(node_at(cluster, 1)));
    do_report(cluster, 1, 1, 1, PHASE(STOPPED));
    assert_false(node_crowded(node_at(cluster, 1)));
    cluster_free(cluster);
}

static void one_that_ended_well_meanwhile_is_not_run_again(void **state)
{
    struct cluster *cluster =
        cluster_with(2, KONTOR__V1__RESTART_POLICY__RESTART_ON_FAILURE);

    (void)state;
    do_move(cluster, 1, 1, 2);
    do_move(cluster, 2, 1, 2);
    do_report(cluster, 1, 1, 1, PHASE(SUCCEEDED));
    expect(cluster, 1, PHASE(SUCCEEDED), 2, 2);
    do_report(cluster, 1, 2, 1, PHASE(FAILED));
    expect(cluster, 2, PHASE(PLACED), 2, 2);
    expect_gone(cluster, 1);
    expect_gone(cluster, 2);
    assert_int_equal(node_at(cluster, 2)->pod_count, 1);
    cluster_free(cluster);
}

static void one_that_is_stopped_stops_when_it_has_left(void **state)
{
    struct cluster *cluster =
        cluster_with(2, KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS);

    (void)state;
    do_move(cluster, 1, 1, 2);
    do_stop(cluster, 1, NO_REQUEST);
    expect(cluster, 1, PHASE(STOPPING), 2, 2);
    do_report(cluster, 1, 1, 1, PHASE(STOPPED));
    expect(cluster, 1, PHASE(STOPPED), 2, 2);
    assert_int_equal(node_at(cluster, 2)->pod_count, 0);
    cluster_free(cluster);
}

static void a_lost_node_is_left(void **state)
{
    struct cluster *cluster =
        cluster_with(3, KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS);

    (void)state;
    do_move(cluster, 1, 1, 2);
    do_move(cluster, 2, 1, 2);
    do_state(cluster, 2, STATE(LOST)); /* where they go to */
    expect(cluster, 1, PHASE(PENDING), 0, 2);
    expect_leaving(cluster, 1, 1, 1);
    do_place(cluster, 1, 3);
    expect(cluster, 1, PHASE(PLACED), 3, 3);
    expect_leaving(cluster, 1, 1, 1);
    do_state(cluster, 1, STATE(LOST)); /* where they leave */
    expect_gone(cluster, 1);
    expect_gone(cluster, 2);
    expect(cluster, 1, PHASE(PLACED), 3, 3);
    expect(cluster, 2, PHASE(PENDING), 0, 2);
    cluster_free(cluster);
}

/* ---- several ---- */

static void moves_are_all_done_or_none(void **state)
{
    const struct move good[] = {{1, 1, 2}, {2, 1, 2}};
    const struct move bad[] = {{1, 1, 2}, {2, 1, 2}, {3, 1, 2}};
    const struct move twice[] = {{1, 1, 2}, {1, 1, 3}};
    struct cluster *cluster =
        cluster_with(3, KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS);
    struct cluster_result result;

    (void)state;
    do_create(cluster, (struct create){.want = half, .node_id = 3});
    result = do_moves(cluster, bad, 3); /* no room for a third */
    assert_int_equal(result.error.code, ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(result.error.message, "pod 3 "));
    assert_int_equal(do_moves(cluster, twice, 2).error.code,
                     ERROR_FAILED_PRECONDITION);
    for (uint64_t id = 1; id <= 2; id++) {
        expect(cluster, id, PHASE(RUNNING), 1, 1);
        expect_gone(cluster, id);
    }
    assert_int_equal(node_at(cluster, 1)->pod_count, 2);
    assert_int_equal(do_moves(cluster, good, 2).error.code, 0);
    expect(cluster, 1, PHASE(PLACED), 2, 2);
    expect(cluster, 2, PHASE(PLACED), 2, 2);
    cluster_free(cluster);
}

static void full_nodes_can_change_pods(void **state)
{
    const struct move swapped[] = {{3, 1, 1}, {1, 1, 3}, {2, 1, 3}, {4, 1, 1}};
    struct cluster *cluster =
        cluster_with(3, KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS);

    (void)state;
    for (int i = 0; i < 2; i++)
        do_create(cluster, (struct create){.want = half, .node_id = 3});
    /* Who makes room for whom does not matter. */
    assert_int_equal(do_moves(cluster, swapped, 4).error.code, 0);
    expect(cluster, 4, PHASE(PLACED), 1, 2);
    assert_true(node_crowded(node_at(cluster, 1)));
    assert_true(node_crowded(node_at(cluster, 3)));
    cluster_free(cluster);
}

static void some_pods_are_not_moved(void **state)
{
    struct cluster *cluster =
        cluster_with(3, KONTOR__V1__RESTART_POLICY__RESTART_NEVER);
    static const struct move of_old[] = {{3, 9, 2}};

    (void)state;
    assert_int_equal(do_move(cluster, 1, 1, 2).error.code,
                     ERROR_FAILED_PRECONDITION);
    do_create(cluster, (struct create){.want = half, .node_id = 3});
    assert_int_equal(do_move(cluster, 3, 1, 3).error.code,
                     ERROR_FAILED_PRECONDITION);
    assert_int_equal(do_move(cluster, 3, 1, 9).error.code,
                     ERROR_FAILED_PRECONDITION);
    assert_int_equal(do_moves(cluster, of_old, 1).error.code,
                     ERROR_FAILED_PRECONDITION);
    do_cordon(cluster, 2, true);
    assert_int_equal(do_move(cluster, 3, 1, 2).error.code,
                     ERROR_FAILED_PRECONDITION);
    do_cordon(cluster, 2, false);
    assert_int_equal(do_move(cluster, 3, 1, 2).error.code, 0);
    assert_int_equal(do_move(cluster, 3, 2, 3).error.code,
                     ERROR_FAILED_PRECONDITION);
    do_report(cluster, 3, 3, 1, PHASE(STOPPED));
    assert_int_equal(do_move(cluster, 3, 2, 3).error.code, 0);
    cluster_free(cluster);
}

/* ---- a node is drained ---- */

static void a_drained_node_is_closed_and_left(void **state)
{
    const struct move moves[] = {{1, 1, 2}};
    struct cluster *cluster =
        cluster_with(2, KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS);

    (void)state;
    assert_int_equal(do_drain(cluster, 9, NULL, 0, false).error.code,
                     ERROR_NOT_FOUND);
    assert_int_equal(do_drain(cluster, 1, moves, 1, false).error.code, 0);
    assert_true(node_at(cluster, 1)->cordoned);
    expect(cluster, 1, PHASE(PLACED), 2, 2);
    expect(cluster, 2, PHASE(PENDING), 0, 1); /* nobody said where to */
    expect_leaving(cluster, 2, 1, 1);
    assert_string_equal(newest_message(cluster), "node n1 is drained");
    do_place(cluster, 2, 2);
    expect(cluster, 2, PHASE(PLACED), 2, 2);
    expect_leaving(cluster, 2, 1, 1);
    assert_int_equal(node_at(cluster, 1)->pod_count, 0);
    assert_int_equal(node_at(cluster, 1)->leaving.count, 2);
    cluster_free(cluster);
}

static void jobs_stay_on_a_drained_node_or_fail(void **state)
{
    struct cluster *cluster =
        cluster_with(2, KONTOR__V1__RESTART_POLICY__RESTART_NEVER);

    (void)state;
    do_stop(cluster, 2, NO_REQUEST);
    do_drain(cluster, 1, NULL, 0, false);
    expect(cluster, 1, PHASE(RUNNING), 1, 1);
    expect(cluster, 2, PHASE(STOPPING), 1, 1);
    do_drain(cluster, 1, NULL, 0, true);
    expect(cluster, 1, PHASE(FAILED), 1, 1);
    expect_leaving(cluster, 1, 1, 1);
    expect(cluster, 2, PHASE(STOPPING), 1, 1); /* ends as it was asked to */
    do_report(cluster, 1, 1, 1, PHASE(STOPPED));
    expect(cluster, 1, PHASE(FAILED), 1, 1);
    assert_int_equal(node_at(cluster, 1)->leaving.count, 0);
    cluster_free(cluster);
}

/* A pod that has not even started where it was moved to goes on from there. */
static void a_drain_takes_what_has_yet_to_come(void **state)
{
    struct cluster *cluster =
        cluster_with(3, KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS);

    (void)state;
    do_move(cluster, 1, 1, 2);
    do_drain(cluster, 2, NULL, 0, false);
    expect(cluster, 1, PHASE(PENDING), 0, 2);
    expect_leaving(cluster, 1, 1, 1);
    assert_int_equal(node_at(cluster, 2)->leaving.count, 0);
    cluster_free(cluster);
}

/* ---- snapshots ---- */

static void departures_are_saved(void **state)
{
    struct cluster *cluster =
        cluster_with(2, KONTOR__V1__RESTART_POLICY__RESTART_ALWAYS);
    struct cluster *loaded = NULL;
    struct error why;
    CLEANUP(fd_close) int fd = -1;

    (void)state;
    do_move(cluster, 1, 1, 2);
    do_drain(cluster, 1, NULL, 0, false);
    fd = save_to_file(cluster);
    assert_int_equal(cluster_load(&loaded, fd, &why), 0);
    expect_leaving(loaded, 1, 1, 1);
    expect_leaving(loaded, 2, 1, 1);
    assert_int_equal(node_at(loaded, 1)->leaving.count, 2);
    assert_int_equal(node_at(loaded, 1)->leaving.wants.amount[RESOURCE_CPU],
                     8000);
    assert_true(same_state(cluster, loaded));
    cluster_free(cluster);
    cluster_free(loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_moved_pod_starts_when_it_has_ended_where_it_was),
        cmocka_unit_test(what_leaves_still_takes_room),
        cmocka_unit_test(one_that_ended_well_meanwhile_is_not_run_again),
        cmocka_unit_test(one_that_is_stopped_stops_when_it_has_left),
        cmocka_unit_test(a_lost_node_is_left),
        cmocka_unit_test(moves_are_all_done_or_none),
        cmocka_unit_test(full_nodes_can_change_pods),
        cmocka_unit_test(some_pods_are_not_moved),
        cmocka_unit_test(a_drained_node_is_closed_and_left),
        cmocka_unit_test(jobs_stay_on_a_drained_node_or_fail),
        cmocka_unit_test(a_drain_takes_what_has_yet_to_come),
        cmocka_unit_test(departures_are_saved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
