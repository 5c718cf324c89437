/* Stop, Cordon, LabelNode: writes about what is there already. What is not
 * found is looked for again once the state is known to be current. */
#include "master/service.h"

#include "master/cluster_view.h"

/* ---- Stop ---- */

static void stop_written(struct write *write, const struct request *request)
{
    const struct cluster *cluster = write->master->cluster;
    const struct pod *pod = pods_find(&cluster->pods, request->subject_id);
    Kontor__V1__StopResponse response = KONTOR__V1__STOP_RESPONSE__INIT;
    struct pod_view view;

    response.index = request->index;
    if (pod) {
        pod_view_fill(&view, cluster, pod);
        response.pod = &view.pod;
    }
    service_reply(write->call, &response.base);
}

/* The pod that is meant: the one of the first time when this is sent again,
 * by then its app may have another, or none. */
static int pod_to_stop(const struct cluster *cluster,
                       const Kontor__V1__StopRequest *request, uint64_t *id,
                       struct error *why)
{
    const struct request *before = requests_find(
        &cluster->requests, (struct request_id){request->request_id->high,
                                                request->request_id->low});
    struct pod *pod;

    if (before) {
        *id = before->subject_id;
        return 0;
    }
    if (cluster_find_pod(cluster, request->pod, &pod, why) != 0)
        return why->code;
    *id = pod->facts.id;
    return 0;
}

static void propose_stop(struct call *call,
                         const Kontor__V1__StopRequest *request,
                         uint64_t pod_id)
{
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__StopPod operation = KONTOR__V1__STOP_POD__INIT;

    operation.pod_id = pod_id;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_STOP_POD;
    command.stop_pod = &operation;
    service_propose(
        service_write(call, &request->base, request->request_id, stop_written),
        &command);
}

static void stop_now(struct master *master, struct call *call,
                     const ProtobufCMessage *message)
{
    const Kontor__V1__StopRequest *request =
        (const Kontor__V1__StopRequest *)message;
    struct error why;
    uint64_t pod_id = 0;

    if (pod_to_stop(master->cluster, request, &pod_id, &why) != 0)
        service_fail(call, &why);
    else
        propose_stop(call, request, pod_id);
}

void service_stop(struct call *call, const ProtobufCMessage *message)
{
    struct master *master = service_master(call);
    Kontor__V1__StopRequest request = *(const Kontor__V1__StopRequest *)message;
    Kontor__V1__RequestId id;
    struct error why;
    uint64_t pod_id = 0;

    service_request_id(request.request_id, &id);
    request.request_id = &id;
    if (!master_leads(master))
        forward_call(&master->forwarder, call, &request.base);
    else if (pod_to_stop(master->cluster, &request, &pod_id, &why) != 0)
        service_read(call, &request.base, stop_now);
    else
        propose_stop(call, &request, pod_id);
}

/* ---- Cordon ---- */

/* As it is now; NULL: it was never there. */
static Kontor__V1__NodeInfo *written_node(const struct write *write,
                                          const struct request *request,
                                          struct node_view *view)
{
    const struct cluster *cluster = write->master->cluster;
    const struct node *node = nodes_find(&cluster->nodes, request->subject_id);

    if (!node)
        return NULL;
    node_view_fill(view, cluster, node);
    return &view->node;
}

static void cordon_written(struct write *write, const struct request *request)
{
    Kontor__V1__CordonResponse response = KONTOR__V1__CORDON_RESPONSE__INIT;
    struct node_view view;

    response.index = request->index;
    response.node = written_node(write, request, &view);
    service_reply(write->call, &response.base);
}

static void cordon_now(struct master *master, struct call *call,
                       const ProtobufCMessage *message)
{
    const Kontor__V1__CordonRequest *request =
        (const Kontor__V1__CordonRequest *)message;
    const struct node *node = service_find_node(master, call, request->node);
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__SetCordon operation = KONTOR__V1__SET_CORDON__INIT;

    if (!node)
        return;
    operation.node_id = node->id;
    operation.cordoned = request->cordoned;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_SET_CORDON;
    command.set_cordon = &operation;
    service_propose(
        service_write(call, message, request->request_id, cordon_written),
        &command);
}

void service_cordon(struct call *call, const ProtobufCMessage *message)
{
    Kontor__V1__CordonRequest request =
        *(const Kontor__V1__CordonRequest *)message;
    Kontor__V1__RequestId id;

    service_request_id(request.request_id, &id);
    request.request_id = &id;
    service_read(call, &request.base, cordon_now);
}

/* ---- LabelNode ---- */

static void label_written(struct write *write, const struct request *request)
{
    Kontor__V1__LabelNodeResponse response =
        KONTOR__V1__LABEL_NODE_RESPONSE__INIT;
    struct node_view view;

    response.index = request->index;
    response.node = written_node(write, request, &view);
    service_reply(write->call, &response.base);
}

static void label_now(struct master *master, struct call *call,
                      const ProtobufCMessage *message)
{
    const Kontor__V1__LabelNodeRequest *request =
        (const Kontor__V1__LabelNodeRequest *)message;
    const struct node *node = service_find_node(master, call, request->node);
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__LabelNode operation = KONTOR__V1__LABEL_NODE__INIT;

    if (!node)
        return;
    operation.node_id = node->id;
    operation.changes = request->changes;
    command.format = CLUSTER_FORMAT_1;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_LABEL_NODE;
    command.label_node = &operation;
    service_propose(
        service_write(call, message, request->request_id, label_written),
        &command);
}

void service_label_node(struct call *call, const ProtobufCMessage *message)
{
    Kontor__V1__LabelNodeRequest request =
        *(const Kontor__V1__LabelNodeRequest *)message;
    Kontor__V1__RequestId id;
    struct error why;

    if (label_changes_check(request.changes, &why) != 0) {
        service_fail(call, &why);
        return;
    }
    service_request_id(request.request_id, &id);
    request.request_id = &id;
    service_read(call, &request.base, label_now);
}
