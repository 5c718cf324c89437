/* bench_memory.c - what a pod takes of a master's memory: a million running
 * ones in the cluster's state and in the leader's view of it. No network, no
 * log; `make bench-scale` measures whole masters. */
#include "master/placer.h"
#include "test/bench/figure.h"
#include "test/unit/master_commands.h"

#include <assert.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NODES = 5000, PODS = 1000000, REPORTED = 200 };

/* Of this process, in memory. */
static double resident_bytes(void)
{
    FILE *statm = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    assert(statm && fscanf(statm, "%*u %lu", &pages) == 1);
    fclose(statm);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void register_node(struct cluster *cluster, unsigned number)
{
    const struct wanted capacity = {1000000, UINT64_C(1) << 40, 0, 0};

    assert(do_register_one_of_many(cluster, number, capacity).error.code == 0);
}

/* Pods first, first + NODES, first + 2 * NODES ...: those of one node. */
static void report_running(struct cluster *cluster, uint64_t node_id,
                           uint64_t first_id)
{
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__ReportPods report = KONTOR__V1__REPORT_PODS__INIT;
    static Kontor__V1__PodStatus statuses[REPORTED];
    static Kontor__V1__PodStatus *pointers[REPORTED];
    static char addresses[REPORTED][16];

    for (unsigned i = 0; i < REPORTED; i++) {
        kontor__v1__pod_status__init(&statuses[i]);
        snprintf(addresses[i], sizeof addresses[i], "10.%u.%u.%u",
                 (unsigned)node_id / 256, (unsigned)node_id % 256, i + 2);
        statuses[i].pod_id = first_id + (uint64_t)i * NODES;
        statuses[i].generation = 1;
        statuses[i].phase = KONTOR__V1__POD_PHASE__POD_RUNNING;
        statuses[i].address = addresses[i];
        statuses[i].pid = 1000;
        statuses[i].started_at_ms = cluster->index;
        pointers[i] = &statuses[i];
    }
    report.node_id = node_id;
    report.pods = pointers;
    report.n_pods = REPORTED;
    command.time_ms = cluster->index + 1;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_REPORT_PODS;
    command.report_pods = &report;
    assert(apply_message(cluster, &command).error.code == 0);
}

/* Pods of so many apps; what one takes. */
static double bytes_a_pod(unsigned apps)
{
    struct cluster *cluster = cluster_new();
    struct placer placer;
    char app[16];
    double before;

    placer_init(&placer, cluster);
    for (unsigned i = 1; i <= NODES; i++)
        register_node(cluster, i);
    placer_refresh(&placer);
    before = resident_bytes();
    for (unsigned i = 0; i < PODS; i++) {
        struct create create = {.app = app,
                                .want = {1, 1 << 20, 0, 0},
                                .node_id = i % NODES + 1,
                                .request = i + 1};

        snprintf(app, sizeof app, "app%u", i % apps);
        assert(do_create(cluster, create).error.code == 0);
    }
    for (unsigned i = 0; i < NODES; i++)
        report_running(cluster, i + 1, i + 1);
    placer_refresh(&placer);
    assert(cluster->events.next - cluster->events.first == EVENTS_MAX);
    /* The process ends next: nothing is given back. */
    return (resident_bytes() - before) / PODS;
}

/* In a process of its own: what one has freed would serve the next. */
static void measure(const char *what, unsigned apps)
{
    pid_t child = fork();
    char ours[32];
    double bytes;
    int status;

    assert(child >= 0);
    if (child > 0) {
        assert(waitpid(child, &status, 0) == child && status == 0);
        return;
    }
    bytes = bytes_a_pod(apps);
    snprintf(ours, sizeof ours, "%.0f bytes", bytes);
    figure(what, ours, "<= 300 bytes", bytes <= 300, "");
    _exit(0);
}

int main(void)
{
    printf("\n  What each of %d running pods on %d nodes takes of a master's "
           "memory.\n\n",
           PODS, NODES);
    figure_head();
    measure("a pod of one app", 1);
    measure("a pod of 10,000 apps, each of its own spec", 10000);
    return 0;
}
