/* Schedule: choose first, then one commit, then the answer. */
#include "master/service.h"

#include "master/cluster_view.h"
#include "master/spec_check.h"

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

static void propose_pod(struct write *write, struct checked_spec *checked)
{
    struct placer *placer = &write->master->placer;
    struct placement_request wanted = placer_request(&checked->spec);
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__CreatePod operation = KONTOR__V1__CREATE_POD__INIT;
    char reason[PLACEMENT_SUMMARY_MAX];

    operation.spec = &checked->spec;
    operation.named = checked->named;
    operation.node_id = placement_choose(placer->view, &wanted);
    if (operation.node_id != 0) {
        placement_reserve(placer->view, operation.node_id, &wanted.want);
        write->node_id = operation.node_id;
        write->want = wanted.want;
    } else {
        operation.reason = placement_summarise(placer->view, &wanted, reason);
    }
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_CREATE_POD;
    command.create_pod = &operation;
    service_propose(write, &command);
}

void service_schedule(struct call *call, const ProtobufCMessage *message)
{
    struct master *master = service_master(call);
    Kontor__V1__ScheduleRequest request =
        *(const Kontor__V1__ScheduleRequest *)message;
    Kontor__V1__RequestId id;
    struct checked_spec checked;
    struct error why;

    if (spec_check(request.spec, &checked, &why) != 0) {
        service_fail(call, &why);
        return;
    }
    service_request_id(request.request_id, &id);
    request.request_id = &id;
    if (master_leads(master))
        propose_pod(service_write(call, &request.base, &id, written), &checked);
    else
        forward_call(&master->forwarder, call, &request.base);
}
