#include "master/link.h"

#include "base/clock.h"
#include "base/memory.h"
#include "master/pipe.h"

#include <string.h>

enum {
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 2000,
    LIST_TIMEOUT_MS = 2000,
    COMPARE_EVERY_MS = 60000,
};

static void on_listed(struct call *call, const ProtobufCMessage *message);
static void on_list_ended(struct call *call, const struct error *why);
static void on_report(struct call *call, const ProtobufCMessage *message);
static void on_watch_ended(struct call *call, const struct error *why);

static const struct call_events listing = {
    .message = on_listed,
    .ended = on_list_ended,
};
static const struct call_events watching = {
    .message = on_report,
    .ended = on_watch_ended,
};

struct link *link_new(struct dispatch *dispatch, const struct node *node)
{
    struct link *link = memory_new(sizeof *link);

    link->dispatch = dispatch;
    link->node_id = node->id;
    link->heard_at_ms = clock_monotonic_ms();
    list_init(&link->all);
    list_init(&link->busy);
    list_init(&link->due);
    list_init(&link->queued);
    list_init(&link->flying);
    map_init(&link->reports);
    return link;
}

void link_touch(struct link *link)
{
    if (link->dispatch->term != 0 && list_empty(&link->busy))
        list_append(&link->dispatch->busy, &link->busy);
}

/* ---- the channel ---- */

static void on_channel_changed(void *data, bool connected,
                               const struct error *why)
{
    struct link *link = data;

    (void)why;
    if (connected && link->state == LINK_WAITING)
        dispatch_due(link->dispatch, link);
}

/* Asking one that is not would keep those that are from being asked. */
static bool is_connected(const struct link *link)
{
    return link->channel && channel_connected(link->channel);
}

static void on_channel_closed(void *data)
{
    (void)data;
}

static void disconnect(struct link *link)
{
    if (link->channel)
        channel_close(link->channel, on_channel_closed, NULL);
    link->channel = NULL;
    free(link->address);
    link->address = NULL;
}

void link_connect(struct link *link, const char *address)
{
    struct channel_config config = {
        .address = address,
        .context = link->dispatch->config.tls,
        .role = RPC_ROLE_NODE,
        .changed = on_channel_changed,
        .data = link,
    };
    struct error why;

    if (link->address && strcmp(link->address, address) == 0) {
        channel_kick(link->channel); /* it has just registered: it is there */
        return;
    }
    error_set(&why, ERROR_UNAVAILABLE, "the node has moved to %s", address);
    link_fail(link, &why);
    disconnect(link);
    link->address = memory_string(address);
    link->channel = channel_open(link->dispatch->config.loop, &config);
}

/* ---- the session ---- */

static void enter(struct link *link, enum link_state state)
{
    link->dispatch->listing -= link->state == LINK_LISTING;
    link->dispatch->listing += state == LINK_LISTING;
    link->state = state;
}

static void open_session(struct link *link)
{
    Kontor__V1__NodeWatchRequest watch = KONTOR__V1__NODE_WATCH_REQUEST__INIT;
    Kontor__V1__NodeListPodsRequest list =
        KONTOR__V1__NODE_LIST_PODS_REQUEST__INIT;

    if (!link->asked)
        link->heard_at_ms = clock_monotonic_ms();
    link->asked = true;
    watch.term = link->dispatch->term;
    list.term = link->dispatch->term;
    list.session = link->session = ++link->dispatch->sessions;
    enter(link, LINK_LISTING);
    link->watch =
        channel_call_unary(link->channel,
                           &(struct call_request){
                               .path = "/kontor.v1.Node/Watch",
                               .response = &kontor__v1__node_report__descriptor,
                               .events = &watching,
                               .data = link,
                           },
                           &watch.base);
    call_pause(link->watch);
    link->list = channel_call_unary(
        link->channel,
        &(struct call_request){
            .path = "/kontor.v1.Node/ListPods",
            .response = &kontor__v1__node_list_pods_response__descriptor,
            .timeout_ms = LIST_TIMEOUT_MS,
            .events = &listing,
            .data = link,
        },
        &list.base);
}

static void close_session(struct link *link)
{
    pipe_drop(&link->watch);
    pipe_drop(&link->list);
    pipe_drop(&link->rpc);
    link->rpc_kind = LINK_RPC_NONE;
    link_forget_orders(link);
    link_forget_reports(link);
}

void link_start(struct link *link, uint64_t now_ms)
{
    link->heard_at_ms = now_ms;
    link->asked = false;
    link->backoff_ms = BACKOFF_MIN_MS;
    enter(link, LINK_WAITING);
    link->retry_at_ms = 0;
    dispatch_due(link->dispatch, link);
}

void link_stop(struct link *link)
{
    close_session(link);
    link_forget_holds(link);
    list_remove(&link->busy);
    list_remove(&link->due);
    enter(link, LINK_IDLE);
    if (link->state_proposal)
        link->state_proposal->link = NULL;
    link->state_proposal = NULL;
}

void link_fail(struct link *link, const struct error *why)
{
    (void)why;
    if (link->state == LINK_IDLE)
        return;
    close_session(link);
    enter(link, LINK_WAITING);
    link->retry_at_ms = clock_monotonic_ms() + link->backoff_ms;
    link->backoff_ms *= 2;
    if (link->backoff_ms > BACKOFF_MAX_MS)
        link->backoff_ms = BACKOFF_MAX_MS;
}

/* Ask for the list again, on a session that works: heals what nobody
 * noticed, and removes from the node what the state has forgotten. */
static void compare_again(struct link *link)
{
    struct error why;

    error_clear(&why);
    link_fail(link, &why);
    link->backoff_ms = BACKOFF_MIN_MS;
    open_session(link);
}

void link_hurry(struct link *link)
{
    struct list *due = &link->dispatch->due;

    if (list_empty(&link->due))
        return;
    list_remove(&link->due);
    list_append(due->next, &link->due); /* before the first */
}

void link_open(struct link *link)
{
    if (link->state == LINK_WAITING && is_connected(link))
        open_session(link);
    else if (link->state == LINK_SYNCED && !link->rpc)
        compare_again(link);
}

void link_tick(struct link *link, uint64_t now_ms)
{
    if ((link->state == LINK_WAITING && now_ms >= link->retry_at_ms &&
         is_connected(link)) ||
        (link->state == LINK_SYNCED &&
         (link->listed_at_ms == 0 || /* soon, the machine may just be up */
          now_ms >= link->listed_at_ms + COMPARE_EVERY_MS)))
        dispatch_due(link->dispatch, link);
    link_judge(link, now_ms);
    if (link_orders_due(link, now_ms) || !list_empty(&link->queued))
        link_touch(link);
}

static void on_listed(struct call *call, const ProtobufCMessage *message)
{
    const Kontor__V1__NodeListPodsResponse *list =
        (const Kontor__V1__NodeListPodsResponse *)message;
    struct link *link = call_data(call);

    link->heard_at_ms = clock_monotonic_ms();
    link->listed_at_ms = link->heard_at_ms;
    enter(link, LINK_SYNCED);
    link->backoff_ms = BACKOFF_MIN_MS;
    link->batch_max = SIZE_MAX;
    link->routes_had = list->routes_version;
    if (link->routes_had > link->dispatch->routes.version)
        link->routes_had = 0; /* of a history that was given up */
    link->routes_told = link->routes_had;
    link_compare(link, list);
    call_resume(link->watch);
    link_touch(link);
}

static void on_list_ended(struct call *call, const struct error *why)
{
    struct link *link = call_data(call);

    link->list = NULL;
    if (link->state != LINK_SYNCED)
        link_fail(link, why);
}

static void on_report(struct call *call, const ProtobufCMessage *message)
{
    struct link *link = call_data(call);
    const Kontor__V1__NodeReport *report =
        (const Kontor__V1__NodeReport *)message;

    link->heard_at_ms = clock_monotonic_ms();
    for (size_t i = 0; i < report->n_pods; i++)
        link_report(link, report->pods[i]);
}

static void on_watch_ended(struct call *call, const struct error *why)
{
    struct link *link = call_data(call);

    link->watch = NULL;
    link_fail(link, why);
}

void link_free(struct link *link)
{
    link_stop(link);
    disconnect(link);
    map_fini(&link->reports);
    free(link->creates.orders);
    free(link->deletes.orders);
    free(link->sent.orders);
    free(link);
}
