/* Schedule: choose first, then one commit, then the answer. */
#include "master/service.h"

#include "base/memory.h"
#include "master/cluster_view.h"
#include "master/placement/ceiling.h"
#include "master/spec_check.h"

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

static void propose_pod(struct write *write, Kontor__V1__PodSpec *spec,
                        const char *reason)
{
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__CreatePod operation = KONTOR__V1__CREATE_POD__INIT;

    operation.spec = spec;
    operation.named = write->named;
    operation.reason = without_const(reason);
    if (write->holds[0])
        operation.node_id = placement_hold_node(write->holds[0]);
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_CREATE_POD;
    command.create_pod = &operation;
    service_propose(write, &command);
}

static void propose_pods(struct write *write, Kontor__V1__PodSpec *spec,
                         const char *reason)
{
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__CreatePods operation = KONTOR__V1__CREATE_PODS__INIT;
    CLEANUP(free_pointer)
    uint64_t *node_ids = service_held_nodes(write);

    operation.spec = spec;
    operation.named = write->named;
    operation.gang = write->gang;
    operation.reason = without_const(reason);
    operation.node_ids = node_ids;
    operation.n_node_ids = write->pods;
    command.format = CLUSTER_FORMAT_1;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_CREATE_PODS;
    command.create_pods = &operation;
    service_propose(write, &command);
}

static void placed(struct write *write, Kontor__V1__PodSpec *spec,
                   const char *reason)
{
    if (write->pods == 1)
        propose_pod(write, spec, reason);
    else
        propose_pods(write, spec, reason);
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
    uint32_t pods = service_pods_asked(&request);
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
        service_check_gang(master, &checked.spec, pods, &why) != 0) {
        service_fail(call, &why); /* what was made is answered again */
        return;
    }
    write = service_write(call, &request.base, &id, written);
    write->gang = request.gang && pods > 1;
    write->named = checked.named;
    service_place(write, &checked.spec, pods, placed);
}
