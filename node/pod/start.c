/* start.c - the way of a pod from its order to its kpod: NEW, PULL, CLAIM,
 * LAUNCH. */
#include "node/disk/disk.h"
#include "node/pod/bundle.h"
#include "node/pod/folder.h"
#include "node/pod/profile.h"
#include "node/pod/status.h"
#include "node/pod/step.h"
#include "node/supervisor/supervisor.h"

#include <arpa/inet.h>
#include <unistd.h>

/* A fork bomb stays in its pod. */
enum { POD_PIDS_MAX = 4096 };

static void drop_bundle(struct pod *pod)
{
    if (pod->bundle)
        kontor__v1__bundle__free_unpacked(pod->bundle, NULL);
    pod->bundle = NULL;
}

/* ---- NEW ----------------------------------------------------------------- */

static bool layers_there(const Kontor__V1__Bundle *bundle)
{
    for (size_t i = 0; i < bundle->n_containers; i++)
        for (size_t k = 0; k < bundle->containers[i]->n_layers; k++)
            if (access(bundle->containers[i]->layers[k], F_OK) != 0)
                return false;
    return true;
}

/* A pod that ran before runs the same image again, whatever its tag means by
 * now and whether or not the registry answers. */
static bool find_bundle(struct pod *pod)
{
    struct error ignored;

    pod->bundle = (Kontor__V1__Bundle *)pod_folder_read(
        pod->folder, SUPERVISOR_BUNDLE, &kontor__v1__bundle__descriptor,
        &ignored);
    if (!pod->bundle)
        return false;
    if (pod->bundle->generation == pod->order->generation &&
        pod->bundle->n_containers == pod->order->spec->n_containers &&
        layers_there(pod->bundle))
        return true;
    drop_bundle(pod);
    return false;
}

static void step_new(struct pod *pod)
{
    struct error why;

    drop_bundle(pod);
    if (bundle_check_order(pod->order, &why) != 0) {
        pod_fail(pod, why.message);
        return;
    }
    if (!find_bundle(pod))
        pod->bundle = bundle_new(pod->order);
    pod->bundle->restarts = pod->status.restarts;
    pod_go(pod, POD_STATE_PULL);
}

/* ---- PULL ---------------------------------------------------------------- */

static void pod_on_progress(struct image_pull *pull, uint64_t done_bytes,
                            uint64_t total_bytes)
{
    struct pod *pod = container_of(pull, struct pod, pull);

    pod->status.pulled_bytes = done_bytes;
    pod->status.pull_total_bytes = total_bytes;
    if (!pod_leaving(pod) && !pod->closing)
        pod_tell(pod);
}

static void pod_on_pulled(struct image_pull *pull,
                          const Kontor__V1__Image *image,
                          const struct error *why)
{
    struct pod *pod = container_of(pull, struct pod, pull);
    struct error failure = *why;

    pod->busy = false;
    if (pod->closing || pod_leaving(pod)) {
        pod_step(pod);
        return;
    }
    if (failure.code == ERROR_OK) {
        const Kontor__V1__Resources *asked = pod->order->spec->resources;
        struct bundle_source source = {
            .spec = pod->order->spec->containers[pod->bundle->n_containers],
            .image = image,
            .image_folder = pod->site->image_folder,
            .log_limit_bytes = disk_log_limit(asked ? asked->disk_bytes : 0,
                                              pod->site->log_limit_bytes),
        };

        bundle_add(pod->bundle, &source, &failure);
    }
    if (failure.code != ERROR_OK) {
        pod_retry(pod, POD_STATE_PULL, KONTOR__V1__POD_PHASE__POD_PULLING,
                  &failure);
        return;
    }
    pod->attempts = 0;
    pod_step(pod);
}

/* One container's image after the other, until the bundle has all. */
static void step_pull(struct pod *pod)
{
    const Kontor__V1__PodSpec *spec = pod->order->spec;

    if (pod->bundle->n_containers == spec->n_containers) {
        pod_go(pod, POD_STATE_CLAIM);
        return;
    }
    status_enter(&pod->status, KONTOR__V1__POD_PHASE__POD_PULLING, "%s", "");
    pod_tell(pod);
    pod->pull.progress = pod_on_progress;
    pod->pull.done = pod_on_pulled;
    pod->busy = true;
    pod->cancelled = false;
    image_pull_start(pod->site->images, &pod->pull,
                     spec->containers[pod->bundle->n_containers]->image);
}

/* ---- CLAIM --------------------------------------------------------------- */

static void step_claim(struct pod *pod)
{
    struct net *net = pod->site->net;
    char text[INET_ADDRSTRLEN];
    struct error why;

    if (!net) {
        status_enter(&pod->status, KONTOR__V1__POD_PHASE__POD_STARTING,
                     "waits for the node to be registered");
        pod_tell(pod);
        return;
    }
    pod_adopt_address(pod);
    if (!pod->claimed && net_claim(net, pod->id, &pod->address, &why) != 0) {
        pod_retry(pod, POD_STATE_CLAIM, KONTOR__V1__POD_PHASE__POD_STARTING,
                  &why);
        return;
    }
    pod->claimed = true;
    pod->has_address = true;
    if (pod->order->spec->userns && !pod->first_id &&
        id_ranges_claim(&pod->site->ids, pod->address, &pod->first_id, &why) !=
            0) {
        pod_retry(pod, POD_STATE_CLAIM, KONTOR__V1__POD_PHASE__POD_STARTING,
                  &why);
        return;
    }
    pod->bundle->first_id = pod->first_id;
    inet_ntop(AF_INET, &pod->address, text, sizeof text);
    status_set_address(&pod->status, text);
    pod_go(pod, POD_STATE_LAUNCH);
}

/* ---- LAUNCH -------------------------------------------------------------- */

static void pod_launch_work(uv_work_t *work)
{
    pod_launch_run(&container_of(work, struct pod, work)->job.launch);
}

static void pod_on_launched(uv_work_t *work, int cancelled)
{
    struct pod *pod = container_of(work, struct pod, work);
    struct pod_launch *launch = &pod->job.launch;

    (void)cancelled;
    pod->busy = false;
    if (launch->why.code != ERROR_OK) {
        if (pod->closing || pod_leaving(pod))
            pod_step(pod);
        else
            pod_retry(pod, POD_STATE_LAUNCH,
                      KONTOR__V1__POD_PHASE__POD_STARTING, &launch->why);
        return;
    }
    drop_bundle(pod);
    pod->stop_sent = false;
    pod->running_since_ms = uv_now(pod->site->loop);
    kpod_started(&pod->kpod, launch->pid, launch->pidfd);
    if (launch->socket >= 0)
        kpod_connected(&pod->kpod, launch->socket, launch->pid);
    pod_go(pod, launch->socket >= 0 ? POD_STATE_RUN : POD_STATE_CHECK);
}

static void step_launch(struct pod *pod)
{
    const Kontor__V1__Resources *resources = pod->order->spec->resources;
    struct pod_launch *launch = &pod->job.launch;

    status_enter(&pod->status, KONTOR__V1__POD_PHASE__POD_STARTING, "%s", "");
    pod_tell(pod);
    *launch = (struct pod_launch){
        .folder = pod->folder,
        .kpod = pod->site->kpod,
        .cgroup = pod->cgroup,
        .limits = {.cpu_milli = resources ? resources->cpu_milli : 0,
                   .memory_bytes = resources ? resources->memory_bytes : 0,
                   .pids = POD_PIDS_MAX,
                   .io_bytes = pod->order->spec->io_bytes,
                   .deny_devices = profile_reaches_devices(pod->bundle)},
        .filters = pod->site->filters,
        .disk_bytes = resources ? resources->disk_bytes : 0,
        .net = pod->site->net,
        .net_pod = {.pod_id = pod->id,
                    .address = pod->address,
                    .net_bits = resources ? resources->net_bits : 0},
        .bundle = pod->bundle,
    };
    pod->busy = true;
    uv_queue_work(pod->site->loop, &pod->work, pod_launch_work,
                  pod_on_launched);
}

void pod_start_step(struct pod *pod)
{
    switch (pod->state) {
    case POD_STATE_NEW:
        step_new(pod);
        return;
    case POD_STATE_PULL:
        step_pull(pod);
        return;
    case POD_STATE_CLAIM:
        step_claim(pod);
        return;
    case POD_STATE_LAUNCH:
        step_launch(pod);
        return;
    case POD_STATE_RUN:
    case POD_STATE_CHECK:
    case POD_STATE_CLEAN:
    case POD_STATE_KEPT:
    case POD_STATE_WAIT:
    case POD_STATE_GONE:
        return;
    }
}
