#include "node/usage.h"

#include "base/clock.h"
#include "base/memory.h"
#include "kontor/v1/cluster.pb-c.h"
#include "node/cgroup/cgroup.h"
#include "node/disk/disk.h"
#include "node/pod/folder.h"
#include "node/pod/site.h"

#include <inttypes.h>
#include <stdio.h>

/* One Usage call, and what is measured for it. */
struct usage {
    struct call *call; /* NULL when it ended before */
    const struct pod_site *site;
    uv_work_t work;
    uint64_t measured_ns;
    Kontor__V1__PodUsage *pods; /* owned; in order of id */
    size_t count;
};

static void usage_on_ended(struct call *call, const struct error *why)
{
    struct usage *op = call_data(call);

    (void)why;
    if (op)
        op->call = NULL;
}

static const struct call_events usage_events = {.ended = usage_on_ended};

/* ---- on a worker --------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    const Kontor__V1__PodUsage *left = a;
    const Kontor__V1__PodUsage *right = b;

    return left->pod_id < right->pod_id ? -1 : left->pod_id > right->pod_id;
}

static void take_traffic(void *data, uint64_t pod_id, uint64_t in_bytes,
                         uint64_t out_bytes)
{
    const struct usage *op = data;
    Kontor__V1__PodUsage key = {.pod_id = pod_id};
    Kontor__V1__PodUsage *pod =
        bsearch(&key, op->pods, op->count, sizeof key, by_id);

    if (!pod)
        return;
    pod->net_in_bytes = in_bytes;
    pod->net_out_bytes = out_bytes;
}

static void measure(const struct usage *op, Kontor__V1__PodUsage *pod)
{
    CLEANUP(free_pointer)
    char *folder = memory_format("%s/%" PRIu64, op->site->folder, pod->pod_id);
    CLEANUP(free_pointer)
    char *group =
        memory_format("%s/pod-%" PRIu64, op->site->cgroup, pod->pod_id);
    pid_t kpod = pod_folder_locked(folder) ? pod_folder_lock_owner(folder) : 0;
    struct cgroup_usage used;

    cgroup_usage(group, &used);
    pod->cpu_ns = used.cpu_ns;
    pod->memory_bytes = used.memory_bytes;
    pod->disk_bytes = disk_usage(folder, kpod);
}

static void usage_work(uv_work_t *work)
{
    struct usage *op = container_of(work, struct usage, work);
    struct error ignored; /* then there is no traffic to tell of */

    /* Disks first: they take longest, and rates want one moment. */
    for (size_t i = 0; i < op->count; i++)
        measure(op, &op->pods[i]);
    op->measured_ns = clock_monotonic_ns();
    if (op->site->net)
        net_each_traffic(op->site->net, take_traffic, op, &ignored);
}

/* ---- on the loop --------------------------------------------------------- */

static void usage_on_measured(uv_work_t *work, int cancelled)
{
    struct usage *op = container_of(work, struct usage, work);
    Kontor__V1__UsageResponse response = KONTOR__V1__USAGE_RESPONSE__INIT;
    Kontor__V1__PodUsage **pods = memory_array(op->count + 1, sizeof *pods);

    (void)cancelled;
    for (size_t i = 0; i < op->count; i++)
        pods[i] = &op->pods[i];
    response.measured_ns = op->measured_ns;
    response.pods = pods;
    response.n_pods = op->count;
    if (op->call) {
        call_listen(op->call, &usage_events, NULL);
        call_reply(op->call, &response.base);
    }
    free(pods);
    free(op->pods);
    free(op);
}

static void add_pod(void *data, const Kontor__V1__PodStatus *status)
{
    struct usage *op = data;

    op->pods = memory_resize(op->pods, (op->count + 1) * sizeof *op->pods);
    kontor__v1__pod_usage__init(&op->pods[op->count]);
    op->pods[op->count++].pod_id = status->pod_id;
}

void usage_answer(struct call *call, struct pod_engine *engine)
{
    struct usage *op = memory_new(sizeof *op);

    op->call = call;
    op->site = pod_engine_site(engine);
    pod_engine_each(engine, add_pod, op);
    call_listen(call, &usage_events, op);
    uv_queue_work(op->site->loop, &op->work, usage_work, usage_on_measured);
}
