/* Schedule: choose first, then one commit, then the answer. What has arrived is
 * placed together, the largest first; nothing waits for more. */
#include "master/service.h"

#include "base/clock.h"
#include "base/memory.h"
#include "master/cluster_view.h"
#include "master/placement/ceiling.h"
#include "master/spec_check.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Calls, and pods, that are placed at once; more make another batch, also of
 * one call. What is left after so long waits until the loop comes by again: the
 * others must hear of us meanwhile. */
enum { ARRIVALS_MAX = 512, ARRIVED_PODS_MAX = 1024, PLACE_NS = 8000000 };

/* Those that have a node now, of so many from `first` on. */
static uint32_t count_placed(const struct cluster *cluster, uint64_t first,
                             uint32_t pods)
{
    uint32_t placed = 0;

    for (uint32_t i = 0; i < pods; i++) {
        const struct pod *pod = pods_find(&cluster->pods, first + i);

        placed += pod && pod->facts.node_id != 0;
    }
    return placed;
}

static void written(struct write *write, const struct request *request)
{
    struct master *master = write->master;
    const struct cluster *cluster = master->cluster;
    const struct pod *pod = pods_find(&cluster->pods, request->subject_id);
    const struct pod *last =
        pods_find(&cluster->pods, request->subject_id + write->pods - 1);
    Kontor__V1__ScheduleResponse response = KONTOR__V1__SCHEDULE_RESPONSE__INIT;
    struct pod_view view;

    response.index = request->index;
    response.term = replica_status(master->replica).term;
    response.placed = count_placed(cluster, request->subject_id, write->pods);
    if (last)
        response.last_pod = without_const(last->name);
    if (pod) {
        pod_view_fill(&view, cluster, pod);
        response.pod = &view.pod;
    }
    service_reply(write->call, &response.base);
}

/* One that arrived, read again from what would be brought to another leader:
 * the call's own message is gone by the end of the turn. */
struct arrival {
    struct write *write;
    Kontor__V1__ScheduleRequest *message;
    struct checked_spec checked;
    uint32_t pods; /* of it, that are placed now */
};

/* How many pods of a write are placed beside `pods` of others. A gang is placed
 * whole and by itself: its room is given back when it does not fit. */
static uint32_t share_of(const struct write *write, size_t pods)
{
    uint32_t left = write->pods - write->tried;

    if (write->gang)
        return pods == 0 ? left : 0;
    return left < ARRIVED_PODS_MAX - pods ? left
                                          : (uint32_t)(ARRIVED_PODS_MAX - pods);
}

static void arrival_init(struct arrival *arrival, struct write *write,
                         size_t pods_before)
{
    struct error why;
    int code;

    arrival->write = write;
    arrival->pods = share_of(write, pods_before);
    arrival->message = kontor__v1__schedule_request__unpack(NULL, write->length,
                                                            write->request);
    assert(arrival->message); /* we packed it, and checked what is in it */
    code = spec_check(arrival->message->spec, &arrival->checked, &why);
    assert(code == 0);
    (void)code;
}

static void propose_pod(struct arrival *arrival, const char *reason)
{
    struct write *write = arrival->write;
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__CreatePod operation = KONTOR__V1__CREATE_POD__INIT;
    CLEANUP(free_pointer) char *text = memory_string(reason);

    operation.spec = &arrival->checked.spec;
    operation.named = arrival->checked.named;
    operation.reason = text;
    if (write->holds[0])
        operation.node_id = placement_hold_node(write->holds[0]);
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_CREATE_POD;
    command.create_pod = &operation;
    service_propose(write, &command);
}

static void propose_pods(struct arrival *arrival, const char *reason)
{
    struct write *write = arrival->write;
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__CreatePods operation = KONTOR__V1__CREATE_PODS__INIT;
    CLEANUP(free_pointer) char *text = memory_string(reason);
    CLEANUP(free_pointer)
    uint64_t *node_ids = service_held_nodes(write);

    operation.spec = &arrival->checked.spec;
    operation.named = arrival->checked.named;
    operation.gang = write->gang;
    operation.reason = text;
    operation.node_ids = node_ids;
    operation.n_node_ids = write->pods;
    command.format = CLUSTER_FORMAT_1;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_CREATE_PODS;
    command.create_pods = &operation;
    service_propose(write, &command);
}

/* Propose what was placed, which frees the write in the end. */
static void arrival_propose(struct arrival *arrival, size_t gang_fit)
{
    struct write *write = arrival->write;
    struct placement_request wanted = placer_request(&arrival->checked.spec);
    char reason[PLACEMENT_SUMMARY_MAX] = "";

    if (write->gang && gang_fit < write->pods)
        snprintf(reason, sizeof reason, PLACER_GANG_WAITS, write->pods,
                 gang_fit);
    else if (!write->holds[write->pods - 1]) /* equals: the last to be placed */
        placer_reason(&write->master->placer, &wanted, reason);
    if (write->pods == 1)
        propose_pod(arrival, reason);
    else
        propose_pods(arrival, reason);
}

/* How many of the first that arrived are placed at once, of the last perhaps a
 * part; *pods of them. */
static size_t count_arrivals(const struct master *master, size_t *pods)
{
    size_t count = 0;

    *pods = 0;
    list_for_each(link, next, &master->arrivals)
    {
        const struct write *write = container_of(link, struct write, arrived);
        uint32_t share = share_of(write, *pods);

        if (count == ARRIVALS_MAX || share == 0)
            break;
        count++;
        *pods += share;
        if (write->gang)
            break;
    }
    return count;
}

/* Keep what was found for it. With all of its pods tried, it is proposed. */
static void arrival_keep(struct arrival *arrival,
                         struct placement_hold *const *holds, size_t gang_fit)
{
    struct write *write = arrival->write;

    if (!write->holds)
        write->holds = memory_array(write->pods, sizeof *holds);
    memcpy(&write->holds[write->tried], holds, arrival->pods * sizeof *holds);
    write->tried += arrival->pods;
    if (write->tried < write->pods)
        return;
    list_remove(&write->arrived);
    arrival_propose(arrival, gang_fit);
}

static void place_some(struct master *master)
{
    size_t pods, at = 0, taken = 0;
    size_t count = count_arrivals(master, &pods);
    size_t fit = pods;
    CLEANUP(free_pointer)
    struct arrival *arrivals = memory_array(count, sizeof *arrivals);
    CLEANUP(free_pointer)
    struct placement_request *wanted = memory_array(pods, sizeof *wanted);
    CLEANUP(free_pointer)
    struct placement_hold **holds =
        memory_array(pods, sizeof(struct placement_hold *));

    list_for_each(link, next, &master->arrivals)
    {
        struct arrival *arrival = &arrivals[taken];

        if (taken++ == count)
            break;
        arrival_init(arrival, container_of(link, struct write, arrived), at);
        for (uint32_t k = 0; k < arrival->pods; k++)
            wanted[at++] = placer_request(&arrival->checked.spec);
    }
    if (arrivals[0].write->gang) /* where equals stop to fit: so many do */
        placement_place_gang(master->placer.view, wanted, pods, holds, &fit);
    else
        placement_place_all(master->placer.view, wanted, pods, holds);
    at = 0;
    for (size_t i = 0; i < count; i++) {
        arrival_keep(&arrivals[i], &holds[at], fit);
        at += arrivals[i].pods;
        kontor__v1__schedule_request__free_unpacked(arrivals[i].message, NULL);
    }
}

bool service_schedule_step(struct master *master)
{
    uint64_t until_ns = clock_monotonic_ns() + PLACE_NS;

    while (!list_empty(&master->arrivals) && clock_monotonic_ns() < until_ns)
        place_some(master);
    return !list_empty(&master->arrivals);
}

/* ---- what is asked ---- */

uint32_t service_pods_asked(const Kontor__V1__ScheduleRequest *request)
{
    return request->replicas ? request->replicas : 1;
}

int service_check_replicas(const Kontor__V1__ScheduleRequest *request,
                           struct error *why)
{
    if (request->replicas <= PODS_PER_COMMAND_MAX)
        return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "replicas is %u: 1 to %d pods can be made at one time",
                     request->replicas, PODS_PER_COMMAND_MAX);
}

int service_check_gang(const struct master *master,
                       const Kontor__V1__PodSpec *spec, uint32_t pods,
                       struct error *why)
{
    static const char *const companies[] = {
        [PLACEMENT_ANYHOW] = "",
        [PLACEMENT_APART] = ", one on a node, as they keep off each other",
        [PLACEMENT_TOGETHER] = ", on one node, as they want to be together",
    };
    const struct placement *view = master->placer.view;
    struct placement_request wanted = placer_request(spec);
    size_t room = placement_ceiling(view, &wanted, pods);

    if (room >= pods)
        return 0;
    return error_set(why, ERROR_FAILED_PRECONDITION,
                     "a gang of %u pods is larger than the cluster: with "
                     "nothing else on its nodes %zu of them would fit%s",
                     pods, room, companies[placement_company(view, spec)]);
}

void service_schedule(struct call *call, const ProtobufCMessage *message)
{
    struct master *master = service_master(call);
    Kontor__V1__ScheduleRequest request =
        *(const Kontor__V1__ScheduleRequest *)message;
    Kontor__V1__RequestId id;
    struct checked_spec checked;
    struct write *write;
    struct error why;

    if (spec_check(request.spec, &checked, &why) != 0 ||
        service_check_replicas(&request, &why) != 0) {
        service_fail(call, &why);
        return;
    }
    service_request_id(request.request_id, &id);
    request.request_id = &id;
    if (!master_leads(master)) {
        forward_call(&master->forwarder, call, &request.base);
        return;
    }
    if (request.gang &&
        !requests_find(&master->cluster->requests,
                       (struct request_id){id.high, id.low}) &&
        service_check_gang(master, &checked.spec, service_pods_asked(&request),
                           &why) != 0) {
        service_fail(call, &why); /* what was made is answered again */
        return;
    }
    write = service_write(call, &request.base, &id, written);
    write->pods = service_pods_asked(&request);
    write->proposal.changes = write->pods;
    write->gang = request.gang && write->pods > 1;
    list_append(&master->arrivals, &write->arrived);
}
