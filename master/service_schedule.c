/* Schedule: choose first, then one commit, then the answer. What arrives in one
 * loop turn is placed together, the largest first; nothing waits for more. */
#include "master/service.h"

#include "base/memory.h"
#include "master/cluster_view.h"
#include "master/spec_check.h"

#include <assert.h>

/* Placed at once; more make another batch. */
enum { ARRIVALS_MAX = 512 };

static void written(struct write *write, const struct request *request)
{
    struct master *master = write->master;
    const struct pod *pod =
        pods_find(&master->cluster->pods, request->subject_id);
    Kontor__V1__ScheduleResponse response = KONTOR__V1__SCHEDULE_RESPONSE__INIT;
    struct pod_view view;

    response.index = request->index;
    response.term = replica_status(master->replica).term;
    if (pod) {
        pod_view_fill(&view, master->cluster, &pod->facts);
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
};

static void arrival_init(struct arrival *arrival, struct write *write)
{
    struct error why;
    int code;

    list_remove(&write->arrived);
    arrival->write = write;
    arrival->message = kontor__v1__schedule_request__unpack(NULL, write->length,
                                                            write->request);
    assert(arrival->message); /* we packed it, and checked what is in it */
    code = spec_check(arrival->message->spec, &arrival->checked, &why);
    assert(code == 0);
    (void)code;
}

/* Propose a pod, which frees the write in the end. */
static void arrival_propose(struct arrival *arrival,
                            const struct placement_request *wanted,
                            struct placement_hold *hold)
{
    struct write *write = arrival->write;
    const struct placer *placer = &write->master->placer;
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__CreatePod operation = KONTOR__V1__CREATE_POD__INIT;
    char reason[PLACEMENT_SUMMARY_MAX];

    operation.spec = &arrival->checked.spec;
    operation.named = arrival->checked.named;
    write->hold = hold;
    if (hold)
        operation.node_id = placement_hold_node(hold);
    else
        operation.reason = placement_summarise(placer->view, wanted, reason);
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_CREATE_POD;
    command.create_pod = &operation;
    service_propose(write, &command);
}

static size_t count_arrivals(const struct master *master)
{
    size_t count = 0;

    list_for_each(link, next, &master->arrivals) count += count < ARRIVALS_MAX;
    return count;
}

static void place_some(struct master *master)
{
    size_t count = count_arrivals(master);
    CLEANUP(free_pointer)
    struct arrival *arrivals = memory_array(count, sizeof *arrivals);
    struct placement_request wanted[ARRIVALS_MAX];
    struct placement_hold *holds[ARRIVALS_MAX];
    size_t at = 0;

    list_for_each(link, next, &master->arrivals)
    {
        if (at == count)
            break;
        arrival_init(&arrivals[at], container_of(link, struct write, arrived));
        wanted[at] = placer_request(&arrivals[at].checked.spec);
        at++;
    }
    placement_place_all(master->placer.view, wanted, count, holds);
    for (size_t i = 0; i < count; i++) {
        arrival_propose(&arrivals[i], &wanted[i], holds[i]);
        kontor__v1__schedule_request__free_unpacked(arrivals[i].message, NULL);
    }
}

void service_schedule_step(struct master *master)
{
    while (!list_empty(&master->arrivals))
        place_some(master);
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

    if (spec_check(request.spec, &checked, &why) != 0) {
        service_fail(call, &why);
        return;
    }
    service_request_id(request.request_id, &id);
    request.request_id = &id;
    if (!master_leads(master)) {
        forward_call(&master->forwarder, call, &request.base);
        return;
    }
    write = service_write(call, &request.base, &id, written);
    list_append(&master->arrivals, &write->arrived);
}
