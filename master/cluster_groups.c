#include "master/cluster_groups.h"

static bool in_gang(const struct pods *pods, struct list *link,
                    const struct pod *of)
{
    const struct pod *pod = container_of(link, struct pod, queue);

    return link != &pods->fresh && pod->app == of->app && pod->gang == of->gang;
}

bool pod_leads_gang(const struct pods *pods, const struct pod *pod)
{
    return !in_gang(pods, pod->queue.prev, pod);
}

struct pod *pod_gang_next(const struct pods *pods, const struct pod *pod)
{
    struct list *link = pod->queue.next;

    return in_gang(pods, link, pod) ? container_of(link, struct pod, queue)
                                    : NULL;
}

size_t app_staying(const struct app *app)
{
    size_t count = 0;

    list_for_each(link, next, &app->pods)
    {
        const struct pod *pod = container_of(link, struct pod, of_app);

        count += !pod_ended(pod) && !pod->facts.stop_requested;
    }
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
