/* What a node says of its pods, taken into the state. */
#include "master/cluster_apply.h"
#include "master/cluster_status.h"

#include <string.h>

/* What a node may report: what a master alone decides is not among it. */
static bool reportable(int32_t phase)
{
    return phase >= KONTOR__V1__POD_PHASE__POD_PLACED &&
           phase <= KONTOR__V1__POD_PHASE__POD_STOPPED;
}

/* Take over what matters; true when something of it is new. The phase is the
 * caller's. */
static bool take_over(struct pod_facts *facts,
                      const Kontor__V1__PodStatus *status)
{
    struct pod_facts before = *facts;
    bool changed = text_replace(&facts->reason, status->reason);

    changed |= pod_set_address(facts, status->address);
    changed |= details_replace(&facts->details, status);
    facts->pid = status->pid;
    facts->restarts = status->restarts;
    facts->exit_code = status->exit_code;
    facts->signal = status->signal;
    facts->oom_killed = status->oom_killed;
    facts->started_at_ms = status->started_at_ms;
    facts->finished_at_ms = status->finished_at_ms;
    return changed || before.pid != facts->pid ||
           before.restarts != facts->restarts ||
           before.exit_code != facts->exit_code ||
           before.signal != facts->signal ||
           before.oom_killed != facts->oom_killed ||
           before.started_at_ms != facts->started_at_ms ||
           before.finished_at_ms != facts->finished_at_ms;
}

/* One status of a placement that still stands. */
static void take_status(struct apply *apply, struct pod *pod,
                        const Kontor__V1__PodStatus *status)
{
    int32_t phase = (int32_t)status->phase;
    bool changed = take_over(&pod->facts, status);

    if (pod_phase_ended(phase)) {
        /* However it ended after being asked to: it was stopped. */
        pod_end(apply, pod,
                pod->facts.stop_requested
                    ? (int32_t)KONTOR__V1__POD_PHASE__POD_STOPPED
                    : phase);
        return;
    }
    if (pod->facts.stop_requested) /* said before the order arrived */
        phase = KONTOR__V1__POD_PHASE__POD_STOPPING;
    if (!changed && phase == pod->facts.phase)
        return;
    pod->facts.phase = (uint8_t)phase;
    pod_event(apply, pod, KONTOR__V1__EVENT_KIND__EVENT_POD_STATUS,
              pod_status_text(apply->cluster, &pod->facts));
}

/* Of one that was given up. When it ended well before it was told to, the pod
 * has nothing left to do elsewhere. */
static void take_departure(struct apply *apply, struct pod *pod,
                           const Kontor__V1__PodStatus *status)
{
    bool done = status->phase == KONTOR__V1__POD_PHASE__POD_SUCCEEDED;

    if (!pod_phase_ended((int32_t)status->phase))
        return;
    if (!done || pod_ended(pod) || pod->facts.stop_requested) {
        pod_departed(apply, pod);
        return;
    }
    departure_end(pod);
    take_over(&pod->facts, status);
    pod_end(apply, pod, KONTOR__V1__POD_PHASE__POD_SUCCEEDED);
}

void apply_report_pods(struct apply *apply, const Kontor__V1__ReportPods *in)
{
    const struct cluster *cluster = apply->cluster;

    if (in->n_pods > REPORTS_PER_COMMAND_MAX || in->node_id == 0) {
        error_set(&apply->result->error, ERROR_INVALID_ARGUMENT,
                  "report of %zu pods (%d are allowed) by no node", in->n_pods,
                  REPORTS_PER_COMMAND_MAX);
        return;
    }
    for (size_t i = 0; i < in->n_pods; i++) {
        const Kontor__V1__PodStatus *status = in->pods[i];
        struct pod *pod = pods_find(&cluster->pods, status->pod_id);

        if (departure_is(pod, in->node_id, status->generation))
            take_departure(apply, pod, status);
        else if (pod_is_placed(pod, in->node_id, status->generation) &&
                 !pod_ended(pod) && reportable((int32_t)status->phase))
            take_status(apply, pod, status);
    }
}
