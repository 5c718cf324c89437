#include "node/pod/pod.h"

#include "base/clock.h"
#include "base/memory.h"
#include "node/pod/bundle.h"
#include "node/pod/folder.h"
#include "node/pod/status.h"
#include "node/pod/step.h"
#include "node/supervisor/supervisor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    BACKOFF_FIRST_MS = 1000,
    BACKOFF_MAX_MS = 60000,
    BACKOFF_RESET_MS = 600000, /* having run this long, a pod starts afresh */
    CLEAN_AGAIN_MS = 250,
    CHECK_AGAIN_MS = 10,
    /* What kpod gets beyond the grace time before it is killed. */
    STOP_SLACK_MS = 5000,
};

static bool deleting(const struct pod *pod)
{
    return pod->delete_generation >= (int64_t)pod->order->generation;
}

bool pod_leaving(const struct pod *pod)
{
    return deleting(pod) || pod->next;
}

void pod_tell(struct pod *pod)
{
    if (!pod->closing)
        pod->site->changed(pod->site->data, &pod->status);
}

void pod_go(struct pod *pod, enum pod_state state)
{
    pod->state = state;
    pod_step(pod);
}

/* ---- waiting and failing ------------------------------------------------- */

static void pod_on_timer(uv_timer_t *timer)
{
    struct pod *pod = container_of(timer, struct pod, timer);

    if (pod->state == POD_STATE_WAIT)
        pod->state = pod->after_wait;
    else if (pod->state == POD_STATE_RUN && pod->stop_sent)
        kpod_kill(&pod->kpod); /* it did not stop in time */
    pod_step(pod);
}

static uint64_t backoff_ms(unsigned attempts)
{
    uint64_t delay_ms = BACKOFF_FIRST_MS;

    while (attempts-- > 1 && delay_ms < BACKOFF_MAX_MS)
        delay_ms *= 2;
    return delay_ms < BACKOFF_MAX_MS ? delay_ms : BACKOFF_MAX_MS;
}

/* Step from `state` after a back-off of 1 s doubling to 60 s. */
static void pod_wait(struct pod *pod, enum pod_state state)
{
    pod->after_wait = state;
    pod->state = POD_STATE_WAIT;
    uv_timer_start(&pod->timer, pod_on_timer, backoff_ms(pod->attempts), 0);
}

void pod_fail(struct pod *pod, const char *reason)
{
    struct error ignored;

    status_enter(&pod->status, KONTOR__V1__POD_PHASE__POD_FAILED, "%s", reason);
    pod->status.finished_at_ms = clock_wall_ms();
    pod->ended = true;
    /* Not written: a restart of knode would come to the same end. */
    pod_folder_write(pod->folder, SUPERVISOR_STATUS, &pod->status.base,
                     &ignored);
    pod_tell(pod);
    pod_go(pod, POD_STATE_CLEAN);
}

/* Errors that may go away by themselves. The others say that what was asked
 * for does not exist or is not allowed. */
static bool transient(enum error_code code)
{
    return code == ERROR_UNAVAILABLE || code == ERROR_DEADLINE_EXCEEDED ||
           code == ERROR_RESOURCE_EXHAUSTED || code == ERROR_INTERNAL ||
           code == ERROR_ABORTED || code == ERROR_UNKNOWN ||
           code == ERROR_CANCELLED;
}

void pod_retry(struct pod *pod, enum pod_state state,
               Kontor__V1__PodPhase phase, const struct error *why)
{
    if (!transient(why->code)) {
        pod_fail(pod, why->message);
        return;
    }
    pod->attempts++;
    status_enter(&pod->status, phase, "%s; next attempt in %d s", why->message,
                 (int)(backoff_ms(pod->attempts) / 1000));
    pod_tell(pod);
    pod_wait(pod, state);
}

/* ---- RUN ----------------------------------------------------------------- */

static void pod_on_told(struct kpod *kpod, const Kontor__V1__PodStatus *told)
{
    struct pod *pod = container_of(kpod, struct pod, kpod);
    Kontor__V1__PodStatus status = *told;

    status.pod_id = pod->id;
    status.generation = pod->order->generation;
    status.pulled_bytes = pod->status.pulled_bytes;
    status.pull_total_bytes = pod->status.pull_total_bytes;
    if (!status.address[0])
        status.address = pod->status.address;
    /* POD_STOPPED is said when nothing is left, not before. */
    if (pod_leaving(pod) || status.phase == KONTOR__V1__POD_PHASE__POD_STOPPED)
        status.phase = KONTOR__V1__POD_PHASE__POD_STOPPING;
    status_copy(&pod->status, &status);
    pod_tell(pod);
}

static void pod_on_lost(struct kpod *kpod)
{
    struct pod *pod = container_of(kpod, struct pod, kpod);

    if (pod->state == POD_STATE_RUN || pod->state == POD_STATE_CHECK)
        pod_go(pod, POD_STATE_CHECK);
}

static void step_run(struct pod *pod)
{
    uint32_t grace_ms = pod->order->spec->stop_grace_ms;

    if (!pod_leaving(pod) || pod->stop_sent)
        return;
    if (grace_ms == 0)
        grace_ms = BUNDLE_GRACE_MS;
    pod->stop_sent = true;
    status_enter(&pod->status, KONTOR__V1__POD_PHASE__POD_STOPPING, "%s", "");
    pod_tell(pod);
    kpod_stop(&pod->kpod, grace_ms);
    uv_timer_start(&pod->timer, pod_on_timer,
                   (uint64_t)grace_ms + STOP_SLACK_MS, 0);
}

/* ---- CHECK --------------------------------------------------------------- */

/* kpod was killed, or the machine was. What it ran goes with it; the restart
 * policy decides, as it would for the program itself. */
static void on_supervisor_died(struct pod *pod)
{
    uint64_t ran_ms = uv_now(pod->site->loop) - pod->running_since_ms;
    char cause[32];
    char reason[128];

    snprintf(reason, sizeof reason, "its supervisor died (%s)",
             kpod_cause(&pod->kpod, cause, sizeof cause));
    pod->status.pid = 0;
    pod->status.exit_code = -1;
    if (pod->order->spec->restart ==
        KONTOR__V1__RESTART_POLICY__RESTART_NEVER) {
        pod_fail(pod, reason);
        return;
    }
    pod->attempts = ran_ms >= BACKOFF_RESET_MS ? 1 : pod->attempts + 1;
    pod->status.restarts++;
    status_enter(&pod->status, KONTOR__V1__POD_PHASE__POD_BACKOFF,
                 "%s; started again in %d s", reason,
                 (int)(backoff_ms(pod->attempts) / 1000));
    pod_tell(pod);
    pod_go(pod, POD_STATE_CLEAN);
}

/* The last word of a kpod, or of pod_fail(). */
static bool read_status(struct pod *pod)
{
    struct error ignored;
    Kontor__V1__PodStatus *status = (Kontor__V1__PodStatus *)pod_folder_read(
        pod->folder, SUPERVISOR_STATUS, &kontor__v1__pod_status__descriptor,
        &ignored);

    if (!status)
        return false;
    status->pod_id = pod->id;
    status->generation = pod->order->generation;
    status_copy(&pod->status, status);
    kontor__v1__pod_status__free_unpacked(status, NULL);
    return true;
}

static void on_gone(struct pod *pod)
{
    bool read = read_status(pod);

    if (pod_leaving(pod)) {
        status_enter(&pod->status, KONTOR__V1__POD_PHASE__POD_STOPPING, "%s",
                     "");
        pod_go(pod, POD_STATE_CLEAN);
    } else if (read && status_ended(&pod->status)) {
        pod->ended = true;
        pod_tell(pod);
        pod_go(pod, POD_STATE_CLEAN);
    } else {
        on_supervisor_died(pod);
    }
}

/* No connection: has kpod ended, or did it only hang up? Its lock tells. */
static void step_check(struct pod *pod)
{
    struct error why;
    int socket;

    uv_timer_stop(&pod->timer);
    if (pod->kpod.connection) {
        pod_go(pod, POD_STATE_RUN);
        return;
    }
    if (!pod_folder_locked(pod->folder)) {
        if (!pod->kpod.child)
            on_gone(pod);
        return; /* a child is waited for: pod_on_lost() comes again */
    }
    if (pod_folder_connect(pod->folder, &socket, &why) == 0) {
        kpod_connected(&pod->kpod, socket, pod_folder_lock_owner(pod->folder));
        pod->stop_sent = false;
        pod_go(pod, POD_STATE_RUN);
        return;
    }
    /* It listens no more but still holds the lock: it is just ending. */
    uv_timer_start(&pod->timer, pod_on_timer, CHECK_AGAIN_MS, 0);
}

/* ---- CLEAN --------------------------------------------------------------- */

static enum pod_clean_extent wanted_extent(const struct pod *pod)
{
    if (pod->next)
        return POD_CLEAN_HISTORY;
    if (deleting(pod))
        return POD_CLEAN_ALL;
    return pod->ended ? POD_CLEAN_LAYER : POD_CLEAN_PROCESSES;
}

static void release_claims(struct pod *pod)
{
    if (pod->claimed)
        net_release(pod->site->net, pod->id);
    pod->claimed = false;
    pod->has_address = false;
    id_ranges_release(&pod->site->ids, pod->first_id);
    pod->first_id = 0;
}

/* What was next.pb is order.pb now. An even newer one that came in the
 * meantime stands in next.pb again, and in pod->next. */
static void become_next(struct pod *pod)
{
    Kontor__V1__PodOrder *next = pod->next;
    struct error ignored;

    pod_folder_promote(pod->folder, &ignored);
    kontor__v1__pod_order__free_unpacked(pod->order, NULL);
    pod->order = next;
    pod->next = NULL;
    pod->ended = false;
    pod->attempts = 0;
    status_fini(&pod->status);
    status_init(&pod->status, pod->id, pod->order->generation);
    pod_tell(pod);
}

static void on_cleaned_to(struct pod *pod, enum pod_clean_extent extent)
{
    switch (extent) {
    case POD_CLEAN_PROCESSES:
        pod->state = POD_STATE_NEW;
        if (pod->attempts > 0)
            pod_wait(pod, POD_STATE_NEW);
        break;
    case POD_CLEAN_LAYER:
        release_claims(pod);
        pod->state = POD_STATE_KEPT;
        break;
    case POD_CLEAN_HISTORY:
        release_claims(pod);
        if (!pod->next)
            break; /* deleted in the meantime: the rest goes, too */
        become_next(pod);
        pod->state = POD_STATE_NEW;
        break;
    case POD_CLEAN_ALL:
        release_claims(pod);
        status_enter(&pod->status, KONTOR__V1__POD_PHASE__POD_STOPPED, "%s",
                     "");
        pod_tell(pod);
        pod->state = POD_STATE_GONE;
        break;
    }
    pod_step(pod);
}

static void pod_clean_work(uv_work_t *work)
{
    pod_clean_run(&container_of(work, struct pod, work)->job.clean);
}

static void pod_on_cleaned(uv_work_t *work, int cancelled)
{
    struct pod *pod = container_of(work, struct pod, work);
    struct pod_clean *clean = &pod->job.clean;

    (void)cancelled;
    pod->busy = false;
    if (clean->why.code != ERROR_OK) {
        /* Tried again until it succeeds; said once, by a pod that has not a
         * reason of its own end to keep. */
        if (!pod->ended &&
            strcmp(pod->status.reason, clean->why.message) != 0) {
            status_enter(&pod->status, pod->status.phase, "%s",
                         clean->why.message);
            pod_tell(pod);
        }
        uv_timer_start(&pod->timer, pod_on_timer, CLEAN_AGAIN_MS, 0);
        return;
    }
    if (pod->claimed && !clean->net && clean->extent >= POD_CLEAN_LAYER)
        pod_step(pod); /* the network, which came meanwhile, is left, too */
    else
        on_cleaned_to(pod, clean->extent);
}

static void step_clean(struct pod *pod)
{
    uv_timer_stop(&pod->timer);
    pod->job.clean = (struct pod_clean){
        .folder = pod->folder,
        .cgroup = pod->cgroup,
        .extent = wanted_extent(pod),
        .net = pod->claimed ? pod->site->net : NULL,
        .pod_id = pod->id,
        .address = pod->address,
    };
    pod->busy = true;
    uv_queue_work(pod->site->loop, &pod->work, pod_clean_work, pod_on_cleaned);
}

bool pod_vanishing(const struct pod *pod)
{
    return pod->state == POD_STATE_GONE ||
           (pod->state == POD_STATE_CLEAN && pod->busy &&
            pod->job.clean.extent == POD_CLEAN_ALL);
}

/* ---- beginning and end --------------------------------------------------- */

struct pod *pod_new(struct pod_site *site, Kontor__V1__PodOrder *order)
{
    struct pod *pod = memory_new(sizeof *pod);

    if (!order->spec) {
        order->spec = memory_new(sizeof *order->spec);
        kontor__v1__pod_spec__init(order->spec);
    }
    pod->site = site;
    list_init(&pod->link);
    pod->id = order->pod_id;
    pod->order = order;
    pod->delete_generation = -1;
    pod->folder = memory_format("%s/%" PRIu64, site->folder, pod->id);
    pod->cgroup = memory_format("%s/pod-%" PRIu64, site->cgroup, pod->id);
    pod->state = POD_STATE_NEW;
    status_init(&pod->status, pod->id, order->generation);
    uv_timer_init(site->loop, &pod->timer);
    kpod_init(&pod->kpod, site->loop);
    pod->kpod.told = pod_on_told;
    pod->kpod.lost = pod_on_lost;
    return pod;
}

static void pod_on_closed(uv_handle_t *handle)
{
    struct pod *pod = container_of((uv_timer_t *)handle, struct pod, timer);

    pod->site->freed(pod->site, pod);
    kontor__v1__pod_order__free_unpacked(pod->order, NULL);
    if (pod->next)
        kontor__v1__pod_order__free_unpacked(pod->next, NULL);
    if (pod->bundle)
        kontor__v1__bundle__free_unpacked(pod->bundle, NULL);
    status_fini(&pod->status);
    free(pod->folder);
    free(pod->cgroup);
    free(pod);
}

static void pod_let_go(struct pod *pod)
{
    if (uv_is_closing((uv_handle_t *)&pod->timer))
        return;
    kpod_let_go(&pod->kpod);
    uv_close((uv_handle_t *)&pod->timer, pod_on_closed);
}

void pod_close(struct pod *pod)
{
    pod->closing = true;
    pod_step(pod);
}

/* ---- all of it ----------------------------------------------------------- */

/* A pull under way is of no use to a pod that leaves. */
static void cancel_pull(struct pod *pod)
{
    if (pod->state != POD_STATE_PULL || pod->cancelled)
        return;
    if (!pod->closing && !pod_leaving(pod))
        return;
    pod->cancelled = true;
    image_pull_cancel(&pod->pull);
}

/* States that nothing of a kpod's depends on are left at once. */
static void leave(struct pod *pod)
{
    switch (pod->state) {
    case POD_STATE_NEW:
    case POD_STATE_PULL:
    case POD_STATE_CLAIM:
    case POD_STATE_LAUNCH:
    case POD_STATE_KEPT:
    case POD_STATE_WAIT:
        status_enter(&pod->status, KONTOR__V1__POD_PHASE__POD_STOPPING, "%s",
                     "");
        pod_tell(pod);
        pod->state = POD_STATE_CLEAN;
        return;
    case POD_STATE_RUN:
    case POD_STATE_CHECK:
    case POD_STATE_CLEAN:
    case POD_STATE_GONE:
        return;
    }
}

/* The whole operation. `return` means: wait for a callback. */
void pod_step(struct pod *pod)
{
    if (pod->busy) {
        cancel_pull(pod);
        return;
    }
    if (pod->closing) {
        pod_let_go(pod);
        return;
    }
    if (pod_leaving(pod))
        leave(pod);
    switch (pod->state) {
    case POD_STATE_NEW:
    case POD_STATE_PULL:
    case POD_STATE_CLAIM:
    case POD_STATE_LAUNCH:
        pod_start_step(pod);
        return;
    case POD_STATE_RUN:
        step_run(pod);
        return;
    case POD_STATE_CHECK:
        step_check(pod);
        return;
    case POD_STATE_CLEAN:
        step_clean(pod);
        return;
    case POD_STATE_GONE:
        pod_let_go(pod);
        return;
    case POD_STATE_KEPT:
    case POD_STATE_WAIT:
        return;
    }
}
