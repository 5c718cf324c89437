#include "master/watchers.h"

#include "base/memory.h"
#include "master/cluster_view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct watcher {
    struct list link;
    struct watchers *watchers;
    struct call *call;
    uint64_t cursor;            /* sequence of the next event to look at */
    uint64_t until;             /* end there; UINT64_MAX: never */
    uint64_t pod_id;            /* 0: all */
    char app[APP_NAME_MAX + 1]; /* empty: all */
    uint64_t index;             /* everything up to here was sent */
};

void watchers_init(struct watchers *watchers, struct cluster *cluster)
{
    list_init(&watchers->all);
    watchers->count = 0;
    watchers->cluster = cluster;
}

void watchers_reset(struct watchers *watchers, struct cluster *cluster)
{
    watchers_end(watchers);
    watchers->cluster = cluster;
}

static bool wants(const struct watcher *watcher, const struct pod_facts *pod)
{
    if (watcher->pod_id != 0 && watcher->pod_id != pod->id)
        return false;
    return watcher->app[0] == '\0' ||
           (pod->spec && strcmp(pod->spec->message->app, watcher->app) == 0);
}

/* The call has been or is being ended; nothing of it may be touched. */
static void forget(struct watcher *watcher)
{
    list_remove(&watcher->link);
    watcher->watchers->count--;
    free(watcher);
}

static void on_ended(struct call *call, const struct error *why)
{
    (void)why;
    forget(call_data(call));
}

static void on_writable(struct call *call);

static const struct call_events watching = {
    .writable = on_writable,
    .ended = on_ended,
};

/* Send until the call has enough, or nothing is left. */
static void pump(struct watcher *watcher)
{
    const struct cluster *cluster = watcher->watchers->cluster;
    const struct events *events = &cluster->events;

    if (watcher->cursor < events->first) {
        call_fail(watcher->call, ERROR_RESOURCE_EXHAUSTED,
                  "events come faster than they are read; go on after index "
                  "%" PRIu64,
                  watcher->index);
        watcher->cursor = UINT64_MAX;
        return;
    }
    while (watcher->cursor < events->next && watcher->cursor < watcher->until &&
           call_queued_bytes(watcher->call) < CALL_QUEUE_HIGH_BYTES) {
        const struct event *event = events_at(events, watcher->cursor);
        struct event_view view;
        struct error why;

        watcher->cursor++;
        /* An index is done with when a greater one comes. */
        watcher->index = event->index - 1;
        if (!wants(watcher, &event->pod))
            continue;
        event_view_fill(&view, cluster, event);
        call_send(watcher->call, &view.event.base, &why);
    }
    if (watcher->cursor == events->next)
        watcher->index = cluster->index;
    if (watcher->cursor == watcher->until) {
        call_finish(watcher->call, &(struct error){0});
        watcher->cursor = UINT64_MAX;
    }
}

static void on_writable(struct call *call)
{
    struct watcher *watcher = call_data(call);

    if (watcher->cursor != UINT64_MAX)
        pump(watcher);
}

/* Where to begin, as the request says. */
static int seek(const struct watchers *watchers, struct watcher *watcher,
                const Kontor__V1__WatchRequest *request, struct error *why)
{
    const struct cluster *cluster = watchers->cluster;
    const struct pod *pod;

    if (watchers->count >= WATCHERS_MAX)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "%d calls watch already", WATCHERS_MAX);
    if (request->pod[0]) {
        pod = pods_find_name(&cluster->pods, request->pod);
        if (!pod)
            return error_set(why, ERROR_NOT_FOUND, "no pod is called \"%.80s\"",
                             request->pod);
        watcher->pod_id = pod->facts.id;
    }
    if (request->app[0] && !app_name_valid(request->app))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "\"%.80s\" cannot be an app's name", request->app);
    snprintf(watcher->app, sizeof watcher->app, "%s", request->app);
    watcher->until = request->until_now ? cluster->events.next : UINT64_MAX;
    watcher->cursor = cluster->events.next;
    watcher->index = request->from_now ? cluster->index : request->after_index;
    if (request->from_now)
        return 0;
    return events_seek(&cluster->events, request->after_index, &watcher->cursor,
                       why);
}

void watchers_add(struct watchers *watchers, struct call *call,
                  const Kontor__V1__WatchRequest *request)
{
    struct watcher *watcher = memory_new(sizeof *watcher);
    struct error why;

    if (seek(watchers, watcher, request, &why) != 0) {
        free(watcher);
        call_finish(call, &why);
        return;
    }
    watcher->watchers = watchers;
    watcher->call = call;
    list_append(&watchers->all, &watcher->link);
    watchers->count++;
    call_listen(call, &watching, watcher);
    pump(watcher);
}

void watchers_step(struct watchers *watchers)
{
    list_for_each(link, next, &watchers->all)
    {
        struct watcher *watcher = container_of(link, struct watcher, link);

        if (watcher->cursor < watchers->cluster->events.next &&
            call_queued_bytes(watcher->call) < CALL_QUEUE_HIGH_BYTES)
            pump(watcher);
    }
}

void watchers_progress(struct watchers *watchers, const struct pod *pod,
                       const Kontor__V1__PodStatus *status)
{
    Kontor__V1__Event event = KONTOR__V1__EVENT__INIT;
    struct pod_view view;
    char message[] = "pulling";

    pod_view_fill(&view, watchers->cluster, pod);
    view.status.phase = KONTOR__V1__POD_PHASE__POD_PULLING;
    view.status.pulled_bytes = status->pulled_bytes;
    view.status.pull_total_bytes = status->pull_total_bytes;
    event.kind = KONTOR__V1__EVENT_KIND__EVENT_POD_PROGRESS;
    event.subject = view.pod.name;
    event.message = message;
    event.pod = &view.pod;
    list_for_each(link, next, &watchers->all)
    {
        struct watcher *watcher = container_of(link, struct watcher, link);
        bool is_abreast =
            watcher->cursor == watchers->cluster->events.next &&
            call_queued_bytes(watcher->call) < CALL_QUEUE_HIGH_BYTES;
        struct error why;

        if (is_abreast && wants(watcher, &pod->facts))
            call_send(watcher->call, &event.base, &why);
    }
}

void watchers_end(struct watchers *watchers)
{
    list_for_each(link, next, &watchers->all)
    {
        struct watcher *watcher = container_of(link, struct watcher, link);

        if (watcher->cursor == UINT64_MAX)
            continue;
        call_fail(watcher->call, ERROR_UNAVAILABLE,
                  "the leader changed; go on after index %" PRIu64,
                  watcher->index);
        watcher->cursor = UINT64_MAX;
    }
}
