#include "master/cluster_groups.h"

size_t app_staying(const struct app *app)
{
    const struct pod *pod;
    size_t count = 0;

    for (uint32_t at = 0; (pod = series_walk(&app->pods, &at));)
        count += !pod_ended(pod) && !pod->facts.stop_requested;
    return count;
}

bool pod_may_yield(const struct pod *pod, int32_t priority)
{
    return pod->facts.node_id != 0 && !pod_ended(pod) &&
           !pod->facts.stop_requested && !pod_runs_once(pod) &&
           pod->facts.spec->message->priority < priority;
}

bool pod_is_movable(const struct pod *pod)
{
    return !pod_ended(pod) && pod->facts.node_id != 0 &&
           !pod->facts.stop_requested && !pod->departure && !pod_runs_once(pod);
}
