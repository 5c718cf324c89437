/* Orders to one node: what is ready at the same time travels together. */
#include "master/link_orders.h"

#include "base/clock.h"
#include "base/compare.h"
#include "base/log.h"
#include "base/memory.h"
#include "master/link.h"
#include "master/pipe.h"

#include <stdio.h>
#include <string.h>

enum {
    ORDERS_PER_RPC_MAX = 256,
    ORDER_BYTES_MAX = 1 << 20,
    ORDER_TIMEOUT_MS = 10000,
    ROUTES_EVERY_MS = 1000, /* when many nodes register one after another */
};

static void on_answer(struct call *call, const ProtobufCMessage *message);
static void on_rpc_ended(struct call *call, const struct error *why);

static const struct call_events ordering = {
    .message = on_answer,
    .ended = on_rpc_ended,
};

/* ---- what is to be ordered ---- */

static size_t waiting(const struct link_orders *orders)
{
    return orders->count - orders->first;
}

static void clear(struct link_orders *orders)
{
    free(orders->orders);
    *orders = (struct link_orders){0};
}

static void push(struct link_orders *orders, struct link_order order)
{
    if (orders->count == orders->capacity) {
        orders->capacity = orders->capacity ? orders->capacity * 2 : 16;
        orders->orders = memory_resize(
            orders->orders, orders->capacity * sizeof *orders->orders);
    }
    orders->orders[orders->count++] = order;
}

/* The first that waits; one does. */
static struct link_order take(struct link_orders *orders)
{
    struct link_order order = orders->orders[orders->first++];

    if (waiting(orders) == 0)
        clear(orders);
    return order;
}

void link_order_create(struct link *link, uint64_t pod_id)
{
    if (link->state != LINK_SYNCED) {
        link_hurry(link); /* the comparison will find it */
        return;
    }
    push(&link->creates, (struct link_order){.pod_id = pod_id});
    link_touch(link);
}

void link_order_delete(struct link *link, uint64_t pod_id, uint32_t generation)
{
    if (link->state != LINK_SYNCED)
        return;
    push(&link->deletes,
         (struct link_order){.pod_id = pod_id, .generation = generation});
    link_touch(link);
}

void link_forget_orders(struct link *link)
{
    clear(&link->creates);
    clear(&link->deletes);
    clear(&link->sent);
}

void link_forget_holds(struct link *link)
{
    for (size_t i = 0; i < LINK_RPC_KINDS; i++)
        link_hold_release(&link->holds[i]);
}

/* ---- comparing ---- */

/* What the node has and what the state says of it. False: it is not there, in
 * the present generation or in the one that it leaves. */
static bool compare_one(struct link *link, const Kontor__V1__PodStatus *status)
{
    const struct cluster *cluster = link->dispatch->cluster;
    const struct pod *pod = pods_find(&cluster->pods, status->pod_id);
    bool gone = pod_phase_ended((int32_t)status->phase);

    if (departure_is(pod, link->node_id, status->generation)) {
        if (status->phase != KONTOR__V1__POD_PHASE__POD_STOPPING)
            link_order_delete(link, status->pod_id, status->generation);
        link_report(link, status);
        return true;
    }
    if (!pod_is_placed(pod, link->node_id, status->generation)) {
        link_order_delete(link, status->pod_id, status->generation);
        return false;
    }
    if (pod_ended(pod)) {
        /* One that ended by itself keeps its output until it is forgotten. */
        if (!gone || pod->facts.stop_requested)
            link_order_delete(link, status->pod_id, status->generation);
        return true;
    }
    if (pod->facts.stop_requested)
        link_order_delete(link, status->pod_id, status->generation);
    link_report(link, status);
    return true;
}

/* A pod that should be on the node and is not. */
static void compare_missing(struct link *link, const struct pod *pod)
{
    const char *refusal = link->holds[LINK_RPC_CREATE].reason;
    char reason[TEXT_MAX_BYTES];

    if (pod->departure)
        return; /* its turn comes when that has ended */
    if (pod->facts.stop_requested) {
        link_report_own(link, pod, KONTOR__V1__POD_PHASE__POD_STOPPED, "");
        return;
    }
    link_order_create(link, pod->facts.id);
    if (!refusal)
        return;
    snprintf(reason, sizeof reason, "the node did not take it: %.400s",
             refusal);
    link_report_own(link, pod, KONTOR__V1__POD_PHASE__POD_PLACED, reason);
}

/* What was to leave the node and is not there. Nor will it be: what an earlier
 * session sent comes too late, and this one has sent nothing yet. */
static void compare_leaving(struct link *link, const struct node *node,
                            const uint64_t *there, size_t count)
{
    list_for_each(item, next, &node->leaving.list)
    {
        const struct departure *departure =
            container_of(item, struct departure, link);
        const struct pod *pod = departure->pod;

        if (!bsearch(&pod->facts.id, there, count, sizeof *there, compare_u64))
            link_report_departed(link, departure);
    }
}

void link_compare(struct link *link,
                  const Kontor__V1__NodeListPodsResponse *list)
{
    const struct node *node =
        nodes_find(&link->dispatch->cluster->nodes, link->node_id);
    uint64_t *there = memory_array(list->n_pods + 1, sizeof *there);
    size_t count = 0;

    for (size_t i = 0; i < list->n_pods; i++)
        if (compare_one(link, list->pods[i]))
            there[count++] = list->pods[i]->pod_id;
    qsort(there, count, sizeof *there, compare_u64);
    list_for_each(item, next, &node->pods)
    {
        const struct pod *pod = container_of(item, struct pod, queue);

        if (!bsearch(&pod->facts.id, there, count, sizeof *there, compare_u64))
            compare_missing(link, pod);
    }
    compare_leaving(link, node, there, count);
    free(there);
}

/* ---- sending ---- */

static const struct {
    const char *path;
    const ProtobufCMessageDescriptor *response;
} rpcs[] = {
    [LINK_RPC_CREATE] = {"/kontor.v1.Node/CreatePods",
                         &kontor__v1__create_pods_response__descriptor},
    [LINK_RPC_DELETE] = {"/kontor.v1.Node/DeletePods",
                         &kontor__v1__delete_pods_response__descriptor},
    [LINK_RPC_ROUTES] = {"/kontor.v1.Node/SetRoutes",
                         &kontor__v1__set_routes_response__descriptor},
};

static void call_node(struct link *link, enum link_rpc kind,
                      const ProtobufCMessage *message)
{
    link->rpc_kind = kind;
    link->rpc = channel_call_unary(link->channel,
                                   &(struct call_request){
                                       .path = rpcs[kind].path,
                                       .response = rpcs[kind].response,
                                       .timeout_ms = ORDER_TIMEOUT_MS,
                                       .events = &ordering,
                                       .data = link,
                                   },
                                   message);
}

static bool is_held(const struct link *link, enum link_rpc kind,
                    uint64_t now_ms)
{
    return now_ms < link->holds[kind].until_ms;
}

/* There are routes to be told, the last were not told just now, nor too many
 * to others. */
static bool routes_due(const struct link *link, uint64_t now_ms)
{
    return link->routes_told < link->dispatch->routes.version &&
           link->dispatch->routes_left > 0 &&
           (link->routes_told == 0 ||
            now_ms >= link->routes_told_at_ms + ROUTES_EVERY_MS) &&
           !is_held(link, LINK_RPC_ROUTES, now_ms);
}

static bool deletes_due(const struct link *link, uint64_t now_ms)
{
    return waiting(&link->deletes) > 0 &&
           !is_held(link, LINK_RPC_DELETE, now_ms);
}

static bool creates_due(const struct link *link, uint64_t now_ms)
{
    return waiting(&link->creates) > 0 &&
           !is_held(link, LINK_RPC_CREATE, now_ms);
}

bool link_orders_due(const struct link *link, uint64_t now_ms)
{
    return link->state == LINK_SYNCED && !link->rpc &&
           (routes_due(link, now_ms) || deletes_due(link, now_ms) ||
            creates_due(link, now_ms));
}

static void send_routes(struct link *link, uint64_t now_ms)
{
    struct dispatch *dispatch = link->dispatch;
    Kontor__V1__SetRoutesRequest request = KONTOR__V1__SET_ROUTES_REQUEST__INIT;

    link->routes_told = dispatch->routes.version;
    link->routes_told_at_ms = now_ms;
    request.term = dispatch->term;
    request.after_version = link->routes_had;
    request.version = link->routes_told;
    request.n_routes = routes_list(&dispatch->routes, link->node_id,
                                   link->routes_had, &request.routes);
    call_node(link, LINK_RPC_ROUTES, &request.base);
    free(request.routes);
    dispatch->routes_left -= request.n_routes < dispatch->routes_left
                                 ? request.n_routes
                                 : dispatch->routes_left;
}

static void send_deletes(struct link *link)
{
    Kontor__V1__DeletePodsRequest request =
        KONTOR__V1__DELETE_PODS_REQUEST__INIT;
    Kontor__V1__PodOrder orders[ORDERS_PER_RPC_MAX];
    Kontor__V1__PodOrder *pointers[ORDERS_PER_RPC_MAX];

    while (waiting(&link->deletes) > 0 && request.n_pods < ORDERS_PER_RPC_MAX) {
        struct link_order order = take(&link->deletes);
        Kontor__V1__PodOrder *message = &orders[request.n_pods];

        kontor__v1__pod_order__init(message);
        message->pod_id = order.pod_id;
        message->generation = order.generation;
        pointers[request.n_pods++] = message;
    }
    request.term = link->dispatch->term;
    request.pods = pointers;
    call_node(link, LINK_RPC_DELETE, &request.base);
}

/* Is the pod still to be created there? One that was asked to stop before the
 * node heard of it has stopped; whether it did, a comparison tells. */
static struct pod *still_wanted(struct link *link,
                                const struct link_order *order)
{
    struct pod *pod = pods_find(&link->dispatch->cluster->pods, order->pod_id);

    if (!pod || pod_ended(pod) || pod->facts.node_id != link->node_id ||
        pod->departure)
        return NULL;
    if (!pod->facts.stop_requested)
        return pod;
    if (order->sent)
        link->listed_at_ms = 0; /* compare soon */
    else
        link_report_own(link, pod, KONTOR__V1__POD_PHASE__POD_STOPPED, "");
    return NULL;
}

static void send_creates(struct link *link)
{
    Kontor__V1__CreatePodsRequest request =
        KONTOR__V1__CREATE_PODS_REQUEST__INIT;
    Kontor__V1__PodOrder orders[ORDERS_PER_RPC_MAX];
    Kontor__V1__PodOrder *pointers[ORDERS_PER_RPC_MAX];
    size_t bytes = 0;

    clear(&link->sent);
    while (waiting(&link->creates) > 0 && request.n_pods < ORDERS_PER_RPC_MAX &&
           request.n_pods < link->batch_max && bytes < ORDER_BYTES_MAX) {
        struct link_order order = take(&link->creates);
        struct pod *pod = still_wanted(link, &order);
        Kontor__V1__PodOrder *message = &orders[request.n_pods];

        if (!pod)
            continue;
        kontor__v1__pod_order__init(message);
        message->pod_id = pod->facts.id;
        message->generation = pod->facts.generation;
        message->name = pod->name;
        message->spec = pod->facts.spec->message;
        pointers[request.n_pods++] = message;
        bytes += pod->facts.spec->length;
        push(&link->sent, order);
    }
    request.term = link->dispatch->term;
    request.session = link->session;
    request.pods = pointers;
    if (request.n_pods > 0)
        call_node(link, LINK_RPC_CREATE, &request.base);
}

/* Room that the state gave away already may still be in use by what leaves;
 * that waits for nothing, and what it reports brings us here again. */
static bool has_room(const struct link *link)
{
    return !node_crowded(
        nodes_find(&link->dispatch->cluster->nodes, link->node_id));
}

void link_flush(struct link *link)
{
    uint64_t now_ms;

    if (link->state != LINK_SYNCED || link->rpc)
        return;
    now_ms = clock_monotonic_ms();
    if (routes_due(link, now_ms))
        send_routes(link, now_ms);
    else if (deletes_due(link, now_ms))
        send_deletes(link);
    else if (creates_due(link, now_ms) && has_room(link))
        send_creates(link);
}

/* The node refused what was sent. Of several it is not known which one, and the
 * others are there: they are sent again one by one; a single one has failed. */
static void creates_refused(struct link *link, const struct error *why)
{
    char reason[TEXT_MAX_BYTES];
    struct link_order order;
    struct pod *pod;

    if (waiting(&link->sent) > 1) {
        link->batch_max = 1;
        while (waiting(&link->sent) > 0) {
            order = take(&link->sent);
            order.sent = true;
            push(&link->creates, order);
        }
        return;
    }
    order = take(&link->sent);
    pod = still_wanted(link, &order);
    snprintf(reason, sizeof reason, "the node refused it: %.400s",
             why->message);
    if (pod)
        link_report_own(link, pod, KONTOR__V1__POD_PHASE__POD_FAILED, reason);
}

/* A refusal that says something about what was asked, not about the session. */
static bool is_refusal(enum error_code code)
{
    return code == ERROR_INVALID_ARGUMENT || code == ERROR_OUT_OF_RANGE ||
           code == ERROR_UNIMPLEMENTED || code == ERROR_RESOURCE_EXHAUSTED;
}

/* An order was not taken. The session is begun anew, all is compared, and
 * other kinds of orders go on; this one waits. */
static void not_taken(struct link *link, enum link_rpc kind,
                      const struct error *why)
{
    const struct node *node =
        nodes_find(&link->dispatch->cluster->nodes, link->node_id);

    if (link_hold_back(&link->holds[kind], why, clock_monotonic_ms()))
        log_warn("node %s did not take %s, tried again from time to time: %s",
                 node ? text_string(node->name) : "-", rpcs[kind].path,
                 why->message);
    link_fail(link, why);
}

static void on_answer(struct call *call, const ProtobufCMessage *message)
{
    struct link *link = call_data(call);

    if (link->rpc_kind == LINK_RPC_ROUTES)
        link->routes_had =
            ((const Kontor__V1__SetRoutesResponse *)message)->version;
}

/* What was to leave may never have been there: its node reports nothing. */
static void look_for_leaving(struct link *link)
{
    const struct node *node =
        nodes_find(&link->dispatch->cluster->nodes, link->node_id);

    if (node->leaving.count > 0)
        link->listed_at_ms = 0; /* compare soon */
}

static void on_rpc_ended(struct call *call, const struct error *why)
{
    struct link *link = call_data(call);
    enum link_rpc kind = link->rpc_kind;

    link->rpc = NULL;
    link->rpc_kind = LINK_RPC_NONE;
    if (why->code != 0 && !(kind == LINK_RPC_CREATE && is_refusal(why->code))) {
        not_taken(link, kind, why);
        return;
    }
    if (why->code != 0)
        creates_refused(link, why);
    if (kind == LINK_RPC_DELETE)
        look_for_leaving(link);
    link_hold_release(&link->holds[kind]);
    clear(&link->sent);
    link_touch(link);
}
