#include "client/drill_pods.h"

#include "base/clock.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

enum { NODES_READY_MS = 10000, LOOK_MS = 50 };
enum { STOPS_UNDER_WAY = 32, STOP_MS = 5000, STOP_ROUNDS = 5 };

/* ---- listing --------------------------------------------------------------
 */

static struct drill_pod pod_of(const Kontor__V1__Pod *in)
{
    int phase = in->status ? (int)in->status->phase : 0;
    struct drill_pod pod = {
        .id = in->id,
        .value = drill_value_of(in),
        .generation = in->status ? in->status->generation : 0,
        .restarts = in->status ? in->status->restarts : 0,
        .ended = phase >= KONTOR__V1__POD_PHASE__POD_SUCCEEDED,
        .running = phase == KONTOR__V1__POD_PHASE__POD_RUNNING,
    };

    snprintf(pod.name, sizeof pod.name, "%s", in->name);
    return pod;
}

int drill_pods_list(struct drill_pods *out, struct contact *contact,
                    struct error *why)
{
    Kontor__V1__ListPodsRequest request = KONTOR__V1__LIST_PODS_REQUEST__INIT;
    struct drill_pods list = {0};

    request.all = 1;
    do {
        ProtobufCMessage *message;
        const Kontor__V1__ListPodsResponse *response;

        if (contact_call(contact, "ListPods", &request.base, &message, why) !=
            0) {
            drill_pods_fini(&list);
            return (int)why->code;
        }
        response = (const Kontor__V1__ListPodsResponse *)message;
        list.pods = memory_resize(list.pods, (list.count + response->n_pods) *
                                                 sizeof *list.pods);
        for (size_t i = 0; i < response->n_pods; i++)
            list.pods[list.count++] = pod_of(response->pods[i]);
        request.page_token = response->next_page_token;
        message_free(message);
    } while (request.page_token != 0);
    *out = list;
    return 0;
}

void drill_pods_fini(struct drill_pods *pods)
{
    free(pods->pods);
    *pods = (struct drill_pods){0};
}

/* ---- stopping -------------------------------------------------------------
 */

struct stopping {
    unsigned under_way;
    struct error trouble; /* the last one */
};

static void on_stop_ended(struct call *call, const struct error *why)
{
    struct stopping *stopping = call_data(call);

    stopping->under_way--;
    if (why->code != 0)
        stopping->trouble = *why;
}

static const struct call_events stop_events = {.ended = on_stop_ended};

static int stop_one(struct stopping *stopping, struct contact *contact,
                    struct drill_pod *pod, struct error *why)
{
    Kontor__V1__StopRequest request = KONTOR__V1__STOP_REQUEST__INIT;
    Kontor__V1__RequestId id = contact_request_id();
    const struct call_request how = {
        .path = "/kontor.v1.Cluster/Stop",
        .response = &kontor__v1__stop_response__descriptor,
        .timeout_ms = STOP_MS,
        .events = &stop_events,
        .data = stopping,
    };
    struct channel *channel;

    if (contact_channel(contact, contact_deadline(contact), &channel, why) != 0)
        return (int)why->code;
    request.request_id = &id;
    request.pod = pod->name;
    channel_call_unary(channel, &how, &request.base);
    stopping->under_way++;
    return 0;
}

/* Ask each of ours to stop once. What went wrong shows in the next list. */
static int stop_all(struct drill_pods *pods, struct contact *contact,
                    unsigned *left, struct error *why)
{
    struct stopping stopping = {0};
    int code = 0;

    *left = 0;
    for (size_t i = 0; i < pods->count && code == 0; i++) {
        if (pods->pods[i].value == 0 || pods->pods[i].ended)
            continue;
        ++*left;
        while (code == 0 && stopping.under_way >= STOPS_UNDER_WAY)
            code = contact_wait(contact, UINT64_MAX, why);
        if (code == 0)
            code = stop_one(&stopping, contact, &pods->pods[i], why);
    }
    while (stopping.under_way > 0)
        contact_turn(contact);
    if (code == 0)
        *why = stopping.trouble;
    return code;
}

int drill_pods_stop(struct contact *contact, struct error *why)
{
    for (unsigned round = 0; round < STOP_ROUNDS; round++) {
        struct drill_pods pods = {0};
        unsigned left;
        int code;

        if (drill_pods_list(&pods, contact, why) != 0)
            return (int)why->code;
        code = stop_all(&pods, contact, &left, why);
        drill_pods_fini(&pods);
        if (code != 0 || left == 0)
            return code;
    }
    return why->code ? error_wrap(why, "pods of drills are left")
                     : error_set(why, ERROR_INTERNAL, "pods do not stop");
}

/* ---- counting -------------------------------------------------------------
 */

static int compare_values(const void *left, const void *right)
{
    const struct drill_pod *a = left;
    const struct drill_pod *b = right;

    return (a->value > b->value) - (a->value < b->value);
}

/* How many pods carry a value, and whether the one that was named does. */
static unsigned find_value(const struct drill_pods *sorted,
                           const struct drill_operation *write, bool *named)
{
    size_t low = 0;
    size_t high = sorted->count;
    unsigned found = 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (sorted->pods[middle].value < write->value)
            low = middle + 1;
        else
            high = middle;
    }
    *named = false;
    for (; low < sorted->count && sorted->pods[low].value == write->value;
         low++) {
        found++;
        *named = *named || strcmp(sorted->pods[low].name, write->pod) == 0;
    }
    return found;
}

static void count_write(struct drill_counts *counts,
                        const struct drill_operation *write,
                        const struct drill_pods *sorted)
{
    bool named;
    unsigned found = find_value(sorted, write, &named);

    counts->acknowledged += write->result == DRILL_OK;
    counts->refused += write->result == DRILL_FAIL;
    counts->unknown += write->result == DRILL_UNKNOWN;
    counts->lost += write->result == DRILL_OK && !named;
    counts->duplicated += found > 1 ? found - 1 : 0;
}

void drill_count_writes(struct drill_counts *counts,
                        const struct drill_history *history,
                        const struct drill_pods *after)
{
    struct drill_pods sorted = {
        memory_copy(after->pods, after->count * sizeof *after->pods),
        after->count};

    if (sorted.count > 0)
        qsort(sorted.pods, sorted.count, sizeof *sorted.pods, compare_values);
    for (size_t i = 0; i < history->count; i++) {
        const struct drill_operation *at = &history->operations[i];

        if (at->is_read)
            counts->reads += at->result == DRILL_OK;
        else
            count_write(counts, at, &sorted);
    }
    drill_pods_fini(&sorted);
}

/* Both lists are in order of id. */
void drill_count_pods(struct drill_counts *counts,
                      const struct drill_pods *before,
                      const struct drill_pods *after)
{
    size_t at = 0;

    for (size_t i = 0; i < before->count; i++) {
        const struct drill_pod *old = &before->pods[i];
        const struct drill_pod *now;

        if (!old->running)
            continue;
        counts->pods++;
        while (at < after->count && after->pods[at].id < old->id)
            at++;
        now = at < after->count ? &after->pods[at] : NULL;
        counts->restarted += !now || now->id != old->id || !now->running ||
                             now->generation != old->generation ||
                             now->restarts != old->restarts;
    }
}

static int look_at_nodes(struct drill_counts *counts, struct contact *contact,
                         struct error *why)
{
    Kontor__V1__ListNodesRequest request = KONTOR__V1__LIST_NODES_REQUEST__INIT;
    ProtobufCMessage *message;
    const Kontor__V1__ListNodesResponse *response;

    if (contact_call(contact, "ListNodes", &request.base, &message, why) != 0)
        return (int)why->code;
    response = (const Kontor__V1__ListNodesResponse *)message;
    counts->nodes = (unsigned)response->n_nodes;
    counts->nodes_ready = 0;
    for (size_t i = 0; i < response->n_nodes; i++)
        counts->nodes_ready +=
            response->nodes[i]->state == KONTOR__V1__NODE_STATE__NODE_READY;
    message_free(message);
    return 0;
}

int drill_count_nodes(struct drill_counts *counts, struct contact *contact,
                      struct error *why)
{
    uint64_t deadline_ms = clock_monotonic_ms() + NODES_READY_MS;

    do {
        if (look_at_nodes(counts, contact, why) != 0)
            return (int)why->code;
        if (counts->nodes_ready == counts->nodes)
            return 0;
        if (contact_wait(contact, clock_monotonic_ms() + LOOK_MS, why) ==
            ERROR_CANCELLED)
            return (int)why->code;
    } while (!contact_expired(deadline_ms));
    return 0;
}
