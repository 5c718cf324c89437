/* Random commands, as two leaders that disagree might propose them: the
 * state keeps its promises, and every master ends up with the same one. */
#include "base/fd.h"
#include "base/memory.h"
#include "base/random.h"
#include "master/cluster.h"
#include "master_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { NODES = 6, STEPS = 4000, SEEDS = 12, CHECK_EVERY = 16 };

static struct wanted some_want(struct random *random)
{
    return (struct wanted){
        .cpu_milli = (uint32_t)random_below(random, 5) * 500,
        .memory_bytes = random_below(random, 4) << 20,
        .disk_bytes = random_below(random, 3) << 20,
        .net_bits = random_below(random, 3) * 1000,
    };
}

static void create_something(struct cluster *cluster, struct random *random)
{
    static const char *const apps[] = {"web", "db", "job"};
    static const char *const pins[] = {NULL, NULL, NULL, "n1", "n2"};

    do_create(cluster,
              (struct create){
                  .app = apps[random_below(random, ARRAY_LEN(apps))],
                  .pin = pins[random_below(random, ARRAY_LEN(pins))],
                  .want = some_want(random),
                  .node_id = random_below(random, NODES + 2),
                  .named = random_below(random, 8) == 0,
                  .request = random_below(random, 300),
                  .restart = (Kontor__V1__RestartPolicy)random_below(random, 3),
                  .priority = (int32_t)random_below(random, 3),
              });
}

static void move_something(struct cluster *cluster, struct random *random)
{
    struct move moves[3];
    size_t count = random_below(random, 3) + 1;
    uint64_t drained = random_below(random, 4 * NODES);

    for (size_t i = 0; i < count; i++) {
        const struct pod *pod;

        moves[i] = (struct move){
            .pod_id = random_below(random, cluster->next_pod_id + 2),
            .node_id = random_below(random, NODES + 2),
        };
        pod = pods_find(&cluster->pods, moves[i].pod_id);
        moves[i].generation =
            (pod ? pod->facts.generation : 0) + (random_below(random, 8) == 0);
    }
    if (drained < 2)
        do_drain(cluster, drained + 1, moves, count, drained);
    else
        do_moves(cluster, moves, count);
}

/* A node says that what is leaving it has ended, one way or another. */
static void end_departure(struct cluster *cluster, struct random *random)
{
    const struct node *node =
        nodes_find(&cluster->nodes, random_below(random, NODES) + 1);
    size_t count;

    if (node && node->leaving.count > 0) {
        struct pod **pods = node_pods_leaving(node, &count);
        const struct pod *pod = pods[random_below(random, count)];

        do_report(cluster, node->id, pod->facts.id, pod->departure->generation,
                  KONTOR__V1__POD_PHASE__POD_SUCCEEDED +
                      (Kontor__V1__PodPhase)random_below(random, 3));
        free(pods);
    }
}

enum { GROUP_MAX = 5 };

/* The gangs that were made in this run. */
static struct {
    uint64_t first;
    uint64_t count;
} gangs[2 * STEPS];
static size_t gang_count;

/* Of each all pods that live were placed once, or none. */
static void check_gangs_whole(const struct cluster *cluster)
{
    for (size_t i = 0; i < gang_count; i++) {
        unsigned living = 0, placed = 0;

        for (uint64_t id = 0; id < gangs[i].count; id++) {
            const struct pod *pod =
                pods_find(&cluster->pods, gangs[i].first + id);

            living += pod && !pod_ended(pod);
            placed += pod && !pod_ended(pod) && pod->facts.generation > 0;
        }
        assert_true(placed == 0 || placed == living);
    }
}

static void create_group(struct cluster *cluster, struct random *random)
{
    uint64_t nodes[GROUP_MAX], next = cluster->next_pod_id;
    bool gang = random_below(random, 3) > 0;

    for (int i = 0; i < GROUP_MAX; i++)
        nodes[i] = 1 + random_below(random, NODES);
    do_create_many(
        cluster,
        (struct create){.app = random_below(random, 2) ? "web" : "gang",
                        .want = some_want(random),
                        .request = random_below(random, 300)},
        (struct nodes_chosen){nodes, random_below(random, GROUP_MAX + 1), 0},
        gang);
    if (gang && cluster->next_pod_id > next) {
        gangs[gang_count].first = next;
        gangs[gang_count++].count = cluster->next_pod_id - next;
    }
}

static void scale_something(struct cluster *cluster, struct random *random)
{
    uint64_t nodes[GROUP_MAX];

    for (int i = 0; i < GROUP_MAX; i++)
        nodes[i] = random_below(random, NODES + 2);
    do_scale(
        cluster, random_below(random, 2) ? "web" : "gang",
        (uint32_t)random_below(random, 60),
        (struct nodes_chosen){nodes, random_below(random, GROUP_MAX + 1), 0},
        random_below(random, 300));
}

/* Pods one after the other, some of a gang and some not. */
static void place_row(struct cluster *cluster, struct random *random)
{
    struct chosen chosen[2 * GROUP_MAX];
    size_t count = 0;
    uint64_t after = random_below(random, cluster->next_pod_id);

    for (const struct pod *pod = pods_after(&cluster->pods, after);
         pod && count < ARRAY_LEN(chosen);
         pod = pods_after(&cluster->pods, pod->facts.id))
        if (pod->facts.phase == KONTOR__V1__POD_PHASE__POD_PENDING)
            chosen[count++] =
                (struct chosen){pod->facts.id, 1 + random_below(random, NODES)};
    do_place_many(cluster, chosen, count);
}

static void preempt_something(struct cluster *cluster, struct random *random)
{
    struct chosen winner = {random_below(random, cluster->next_pod_id),
                            1 + random_below(random, NODES)};
    const struct node *node = nodes_find(&cluster->nodes, winner.node_id);
    struct move victims[GROUP_MAX] = {{.pod_id = 0}};
    size_t count = 0, all = 0;
    struct pod **pods = node ? node_pods(node, &all) : NULL;

    for (size_t i = 0; i < all && count < GROUP_MAX; i++)
        if (random_below(random, 2))
            victims[count++].pod_id = pods[i]->facts.id;
    do_preempt(cluster, winner, victims, count);
    free(pods);
}

static void label_something(struct cluster *cluster, uint64_t node,
                            struct random *random)
{
    static const char *const words[] = {
        "zone=b",   "zone-", "disk=ssd !gpu=", "disk- !gpu-",
        "!gpu=yes", "!gpu-", "zone=a zone-",   "-=b"};

    do_label(cluster, node, words[random_below(random, ARRAY_LEN(words))]);
}

static void step(struct cluster *cluster, struct random *random)
{
    uint64_t pod = random_below(random, cluster->next_pod_id + 2);
    uint64_t node = random_below(random, NODES + 2);
    char name[8];

    switch (random_below(random, 20)) {
    case 0:
        snprintf(name, sizeof name, "n%d", (int)node % NODES + 1);
        do_register(cluster, name,
                    (struct wanted){4000, 8 << 20, 8 << 20, 9000});
        return;
    case 1:
        do_state(cluster, node, (Kontor__V1__NodeState)random_below(random, 4));
        return;
    case 2:
        do_cordon(cluster, node, random_below(random, 2));
        return;
    case 16:
        label_something(cluster, node, random);
        return;
    case 3:
        do_stop(cluster, pod, random_below(random, 300));
        return;
    case 4:
    case 5:
        do_place(cluster, pod, node);
        return;
    case 6:
    case 7:
    case 8:
        do_report(cluster, node, pod, (uint32_t)random_below(random, 3),
                  (Kontor__V1__PodPhase)random_below(random, 11));
        return;
    case 9:
    case 10:
        move_something(cluster, random);
        return;
    case 11:
        end_departure(cluster, random);
        return;
    case 12:
        create_group(cluster, random);
        return;
    case 13:
        scale_something(cluster, random);
        return;
    case 15:
        preempt_something(cluster, random);
        return;
    case 14:
        place_row(cluster, random);
        return;
    default:
        create_something(cluster, random);
    }
}

/* What every node has given away, added up again from all pods. */
static void check_room(const struct cluster *cluster)
{
    struct resources sums[NODES + 1] = {0};
    struct resources leaving[NODES + 1] = {0};
    unsigned counts[NODES + 1] = {0};

    for (const struct pod *pod = pods_after(&cluster->pods, 0); pod;
         pod = pods_after(&cluster->pods, pod->facts.id)) {
        uint64_t node = pod->facts.node_id;

        if (pod->departure)
            resources_add(&leaving[pod->departure->node_id],
                          &pod->facts.spec->want);
        if (pod_ended(pod) || node == 0)
            continue;
        assert_true(node <= NODES);
        resources_add(&sums[node], &pod->facts.spec->want);
        counts[node]++;
    }
    for (uint64_t id = 1; id < cluster->next_node_id; id++) {
        const struct node *node = nodes_find(&cluster->nodes, id);

        assert_true(resources_fit(&node->capacity, &sums[id]));
        assert_memory_equal(&node->allocated, &sums[id], sizeof sums[id]);
        assert_int_equal(node->pod_count, counts[id]);
        assert_memory_equal(&node->leaving.wants, &leaving[id],
                            sizeof leaving[id]);
        if (node->state == KONTOR__V1__NODE_STATE__NODE_LOST)
            assert_int_equal(node->leaving.count, 0);
    }
}

/* What is left is an older placement, and the pod runs nowhere else yet. */
static void check_departure(const struct pod *pod)
{
    bool here = pod->facts.node_id != 0 && !pod_ended(pod);

    if (!pod->departure)
        return;
    assert_true(pod->departure->generation <= pod->facts.generation);
    if (here)
        assert_true(pod->departure->generation < pod->facts.generation);
}

/* What counts of every node's labels is what was set, and else its own. */
static void check_labels(const struct cluster *cluster)
{
    for (uint64_t id = 1; id < cluster->next_node_id; id++) {
        const struct node *node = nodes_find(&cluster->nodes, id);
        size_t count = node->own_labels.count;

        for (size_t i = 0; i < node->set_labels.count; i++) {
            const Kontor__V1__Label *set = node->set_labels.all[i];

            count += !labels_find(&node->own_labels, set->key);
            assert_string_equal(labels_find(&node->labels, set->key)->value,
                                set->value);
        }
        assert_int_equal(node->labels.count, count);
    }
}

/* Pending pods are on no node and on a queue, others the other way round. */
static void check_pods(const struct cluster *cluster)
{
    size_t ended = 0;
    uint64_t last = 0;

    for (const struct pod *pod = pods_after(&cluster->pods, 0); pod;
         pod = pods_after(&cluster->pods, pod->facts.id)) {
        bool pending = pod->facts.phase == KONTOR__V1__POD_PHASE__POD_PENDING;

        assert_true(pod->facts.id > last);
        last = pod->facts.id;
        ended += pod_ended(pod);
        check_departure(pod);
        assert_false(list_empty(&pod->queue));
        if (!pod_ended(pod))
            assert_true(pending == (pod->facts.node_id == 0));
        assert_ptr_equal(pods_find_name(&cluster->pods, pod->name), pod);
    }
    assert_int_equal(ended, cluster->pods.ended_count);
    assert_true(last < cluster->next_pod_id);
}

/* Those that wait for each other stand in a row and were never placed. */
static void check_gangs(const struct cluster *cluster)
{
    for (const struct pod *pod = pods_after(&cluster->pods, 0); pod;
         pod = pods_after(&cluster->pods, pod->facts.id)) {
        const struct pod *next = pods_after(&cluster->pods, pod->facts.id);
        const struct waiting_group *gang;

        if (pod->gang == 0)
            continue;
        gang = waiting_group_of(&cluster->pods.waiting, pod);
        assert_int_equal(pod->facts.phase, KONTOR__V1__POD_PHASE__POD_PENDING);
        assert_int_equal(pod->facts.generation, 0);
        if (pod->number == pod->gang)
            assert_ptr_equal(waiting_first(gang), pod);
        while (next && next->app == pod->app && next->gang != pod->gang &&
               pod_ended(next))
            next = pods_after(&cluster->pods, next->facts.id);
        if (next && next->app == pod->app && next->gang == pod->gang)
            assert_ptr_equal(waiting_next(gang, pod), next);
    }
}

static void promises_are_kept(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct random random = {seed};
        struct cluster *cluster = cluster_new();

        gang_count = 0;
        for (int i = 0; i < STEPS; i++) {
            step(cluster, &random);
            if (i % CHECK_EVERY == 0) {
                check_room(cluster);
                check_pods(cluster);
                check_gangs(cluster);
                check_gangs_whole(cluster);
                check_labels(cluster);
            }
        }
        check_room(cluster);
        check_pods(cluster);
        cluster_free(cluster);
    }
}

/* The same commands give the same bytes, also where one master starts from
 * another's snapshot on the way. */
static void every_master_agrees(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 100 + SEEDS; seed++) {
        struct random left = {seed}, right = {seed};
        struct cluster *a = cluster_new();
        struct cluster *b = cluster_new();
        struct error why;

        gang_count = 0;
        for (int i = 0; i < STEPS; i++) {
            step(a, &left);
            step(b, &right);
            if (i % (STEPS / 4) == STEPS / 8) {
                CLEANUP(fd_close) int fd = save_to_file(b);

                cluster_free(b);
                assert_int_equal(cluster_load(&b, fd, &why), 0);
                check_room(b);
                check_pods(b);
                check_gangs(b);
                check_labels(b);
            }
        }
        assert_true(same_state(a, b));
        cluster_free(a);
        cluster_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promises_are_kept),
        cmocka_unit_test(every_master_agrees),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
