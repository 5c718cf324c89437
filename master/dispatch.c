#include "master/dispatch.h"

#include "base/clock.h"
#include "master/link.h"

enum {
    TICK_MS = 100,
    OPENED_TOGETHER_MAX = 32, /* in a turn */
    LISTING_MAX = 64,         /* asked for their lists at the same time */
    OPEN_EVERY_MS = 1,
    OPEN_PATIENCE_MS = 10,    /* with those that do not answer */
    ROUTES_TICK_MAX = 100000, /* told to all nodes, some 20 ms of our time */
};

/* Who stood still has heard nobody; what was said meanwhile is yet to be read.
 * So that time does not count as the nodes' silence. */
static void forgive_pause(struct dispatch *dispatch, uint64_t now_ms)
{
    uint64_t pause_ms = now_ms - dispatch->ticked_at_ms;

    dispatch->ticked_at_ms = now_ms;
    if (pause_ms <= 2 * TICK_MS)
        return;
    list_for_each(item, next, &dispatch->all)
    {
        struct link *link = container_of(item, struct link, all);

        link->heard_at_ms += pause_ms - TICK_MS;
        if (link->heard_at_ms > now_ms)
            link->heard_at_ms = now_ms; /* it was heard in the meantime */
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct dispatch *dispatch = timer->data;
    uint64_t now_ms = clock_monotonic_ms();

    forgive_pause(dispatch, now_ms);
    dispatch->routes_left = ROUTES_TICK_MAX;
    if (dispatch->term == 0)
        return;
    dispatch->silent = 0;
    list_for_each(item, next, &dispatch->all) dispatch->silent +=
        link_is_silent(container_of(item, struct link, all), now_ms);
    list_for_each(item, next, &dispatch->all)
        link_tick(container_of(item, struct link, all), now_ms);
}

static void on_open(uv_timer_t *timer)
{
    struct dispatch *dispatch = timer->data;
    uint64_t now_ms = clock_monotonic_ms();
    bool impatient = now_ms >= dispatch->opened_at_ms + OPEN_PATIENCE_MS;

    for (int i = 0; i < OPENED_TOGETHER_MAX && !list_empty(&dispatch->due) &&
                    (impatient || dispatch->listing < LISTING_MAX);
         i++) {
        struct link *link = list_first(&dispatch->due, struct link, due);

        list_remove(&link->due);
        link_open(link);
        dispatch->opened_at_ms = now_ms;
    }
    if (list_empty(&dispatch->due))
        uv_timer_stop(timer);
}

void dispatch_due(struct dispatch *dispatch, struct link *link)
{
    if (!list_empty(&link->due))
        return;
    if (list_empty(&dispatch->due))
        uv_timer_start(&dispatch->opener, on_open, 0, OPEN_EVERY_MS);
    list_append(&dispatch->due, &link->due);
}

void dispatch_init(struct dispatch *dispatch,
                   const struct dispatch_config *config,
                   struct cluster *cluster)
{
    *dispatch = (struct dispatch){.config = *config, .cluster = cluster};
    map_init(&dispatch->links);
    list_init(&dispatch->all);
    list_init(&dispatch->busy);
    list_init(&dispatch->due);
    uv_timer_init(config->loop, &dispatch->tick);
    uv_timer_init(config->loop, &dispatch->opener);
    dispatch->tick.data = dispatch;
    dispatch->opener.data = dispatch;
}

void dispatch_start(struct dispatch *dispatch, struct replica *replica)
{
    dispatch->replica = replica;
    dispatch_reset(dispatch, dispatch->cluster);
    dispatch->ticked_at_ms = clock_monotonic_ms();
    uv_timer_start(&dispatch->tick, on_tick, TICK_MS, TICK_MS);
}

static struct link *find(const struct dispatch *dispatch, uint64_t node_id)
{
    uint64_t hash = map_hash_id(node_id);
    struct map_link *at = map_chain(&dispatch->links, hash);

    while (at && at->hash != hash) /* distinct ids, distinct hashes */
        at = at->next;
    return at ? container_of(at, struct link, by_id) : NULL;
}

struct channel *dispatch_channel(const struct dispatch *dispatch,
                                 uint64_t node_id)
{
    const struct link *link = find(dispatch, node_id);

    return link ? link->channel : NULL;
}

/* A node registered, perhaps again with another address. */
static void meet(struct dispatch *dispatch, const struct node *node)
{
    struct link *link = find(dispatch, node->id);
    bool is_new = !link;

    if (is_new) {
        link = link_new(dispatch, node);
        list_append(&dispatch->all, &link->all);
        map_insert(&dispatch->links, &link->by_id, map_hash_id(node->id));
    }
    link->route =
        routes_note(&dispatch->routes, link->route, dispatch->cluster, node);
    link_connect(link, text_string(node->address));
    if (is_new && dispatch->term != 0)
        link_start(link, clock_monotonic_ms());
}

static void meet_all(struct dispatch *dispatch)
{
    list_for_each(item, next, &dispatch->cluster->nodes.all)
        meet(dispatch, container_of(item, struct node, all));
}

void dispatch_reset(struct dispatch *dispatch, struct cluster *cluster)
{
    dispatch->cluster = cluster;
    dispatch->cursor = cluster->events.next;
    meet_all(dispatch);
}

/* More was applied in one turn than there are events kept. */
static void catch_up(struct dispatch *dispatch)
{
    dispatch->cursor = dispatch->cluster->events.first;
    meet_all(dispatch);
    list_for_each(item, next, &dispatch->all)
        container_of(item, struct link, all)
            ->listed_at_ms = 0; /* compare soon */
}

void dispatch_lead(struct dispatch *dispatch, uint64_t term)
{
    dispatch_follow(dispatch);
    dispatch->term = term;
    list_for_each(item, next, &dispatch->all)
        link_start(container_of(item, struct link, all), clock_monotonic_ms());
}

void dispatch_follow(struct dispatch *dispatch)
{
    dispatch->term = 0;
    list_for_each(item, next, &dispatch->all)
        link_stop(container_of(item, struct link, all));
}

/* A lost node's pods are not its own any more. Its connection may have lived
 * through the silence; what it runs is compared before it is trusted again. */
static void node_changed(struct dispatch *dispatch, const struct event *event)
{
    const struct node *node =
        nodes_find_name(&dispatch->cluster->nodes, text_string(event->subject));
    struct link *link;
    struct error why;

    if (!node || node->state != KONTOR__V1__NODE_STATE__NODE_LOST)
        return;
    link = find(dispatch, node->id);
    error_set(&why, ERROR_UNAVAILABLE, "the node was silent for too long");
    if (link)
        link_fail(link, &why);
}

/* A pod has to end where it was before; when it has, that is an event, and it
 * is created where it is now. False: it leaves nowhere. */
static bool order_to_leave(struct dispatch *dispatch, uint64_t pod_id)
{
    const struct pod *pod = pods_find(&dispatch->cluster->pods, pod_id);
    const struct departure *departure = pod ? pod->departure : NULL;
    struct link *link = departure ? find(dispatch, departure->node_id) : NULL;

    if (link)
        link_order_delete(link, pod_id, departure->generation);
    return departure;
}

/* What one event means for the nodes. */
static void act_on(struct dispatch *dispatch, const struct event *event)
{
    struct link *link = find(dispatch, event->pod.node_id);
    const struct node *node;

    switch ((Kontor__V1__EventKind)event->kind) {
    case KONTOR__V1__EVENT_KIND__EVENT_POD_PLACED:
        if (!order_to_leave(dispatch, event->pod.id) && link)
            link_order_create(link, event->pod.id);
        return;
    case KONTOR__V1__EVENT_KIND__EVENT_POD_UNPLACED:
    case KONTOR__V1__EVENT_KIND__EVENT_POD_ENDED:
        order_to_leave(dispatch, event->pod.id);
        return;
    case KONTOR__V1__EVENT_KIND__EVENT_POD_STOP_REQUESTED:
        if (link)
            link_order_delete(link, event->pod.id, event->pod.generation);
        return;
    case KONTOR__V1__EVENT_KIND__EVENT_NODE_REGISTERED:
        node = nodes_find_name(&dispatch->cluster->nodes,
                               text_string(event->subject));
        if (node)
            meet(dispatch, node);
        return;
    case KONTOR__V1__EVENT_KIND__EVENT_NODE_STATE:
        node_changed(dispatch, event);
        return;
    case KONTOR__V1__EVENT_KIND__EVENT_POD_CREATED:
    case KONTOR__V1__EVENT_KIND__EVENT_POD_STATUS:
    case KONTOR__V1__EVENT_KIND__EVENT_NODE_CORDONED:
    case KONTOR__V1__EVENT_KIND__EVENT_NODE_LABELED:
    case KONTOR__V1__EVENT_KIND__EVENT_POD_PROGRESS:
    case _KONTOR__V1__EVENT_KIND_IS_INT_SIZE:
        return;
    }
}

void dispatch_step(struct dispatch *dispatch)
{
    const struct events *events = &dispatch->cluster->events;

    if (dispatch->cursor < events->first)
        catch_up(dispatch);
    while (dispatch->cursor < events->next)
        act_on(dispatch, events_at(events, dispatch->cursor++));
    while (!list_empty(&dispatch->busy)) {
        struct link *link = list_first(&dispatch->busy, struct link, busy);

        list_remove(&link->busy);
        link_propose_reports(link);
        link_flush(link);
    }
}

void dispatch_close(struct dispatch *dispatch)
{
    dispatch_follow(dispatch);
    uv_timer_stop(&dispatch->tick);
    uv_timer_stop(&dispatch->opener);
    uv_close((uv_handle_t *)&dispatch->tick, NULL);
    uv_close((uv_handle_t *)&dispatch->opener, NULL);
    list_for_each(item, next, &dispatch->all)
        link_free(container_of(item, struct link, all));
    routes_fini(&dispatch->routes);
    map_fini(&dispatch->links);
}
