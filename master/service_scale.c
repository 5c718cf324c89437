/* Scale: so many pods of an app. What the command does follows from the state
 * that it meets; the nodes for those that it may have to make come along. */
#include "master/service.h"

#include "base/memory.h"

static void written(struct write *write, const struct request *request)
{
    const struct cluster *cluster = write->master->cluster;
    Kontor__V1__ScaleRequest *asked =
        kontor__v1__scale_request__unpack(NULL, write->length, write->request);
    const struct app *app = pods_find_app(&cluster->pods, asked->app);
    Kontor__V1__ScaleResponse response = KONTOR__V1__SCALE_RESPONSE__INIT;
    const struct pod *pod;

    response.index = request->index;
    response.term = replica_status(write->master->replica).term;
    if (app) {
        for (uint32_t at = 0; (pod = series_walk(&app->pods, &at));) {
            bool stays = !pod_ended(pod) && !pod->facts.stop_requested;

            response.placed += stays && pod->facts.node_id != 0;
            response.pending += stays && pod->facts.node_id == 0;
        }
    }
    service_reply(write->call, &response.base);
    kontor__v1__scale_request__free_unpacked(asked, NULL);
}

static void propose_scale(struct write *write, Kontor__V1__PodSpec *spec,
                          const char *reason)
{
    Kontor__V1__ScaleRequest *asked =
        kontor__v1__scale_request__unpack(NULL, write->length, write->request);
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__ScaleApp operation = KONTOR__V1__SCALE_APP__INIT;
    CLEANUP(free_pointer) uint64_t *node_ids = service_held_nodes(write);

    (void)spec; /* the command finds it */
    operation.app = asked->app;
    operation.replicas = asked->replicas;
    operation.like_pod_id = write->like_pod_id;
    operation.node_ids = node_ids;
    operation.n_node_ids = write->pods;
    operation.reason = without_const(reason);
    command.format = CLUSTER_FORMAT_1;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_SCALE_APP;
    command.scale_app = &operation;
    service_propose(write, &command);
    kontor__v1__scale_request__free_unpacked(asked, NULL);
}

static void scale(struct write *write, const struct app *app, uint32_t replicas)
{
    size_t staying = app ? app_staying(app) : replicas;

    if (replicas > staying && replicas - staying <= PODS_PER_COMMAND_MAX) {
        const struct pod *newest = app_newest_pod(app);

        write->like_pod_id = newest->facts.id;
        service_place(write, newest->facts.spec->message,
                      (uint32_t)(replicas - staying), propose_scale);
        return;
    }
    write->proposal.changes =
        replicas > staying ? replicas - staying : staying - replicas;
    propose_scale(write, NULL, "");
}

static void scale_now(struct master *master, struct call *call,
                      const ProtobufCMessage *message)
{
    const Kontor__V1__ScaleRequest *request =
        (const Kontor__V1__ScaleRequest *)message;
    const struct cluster *cluster = master->cluster;
    const struct app *app = pods_find_app(&cluster->pods, request->app);
    struct error why;

    if (!app && !requests_find(&cluster->requests,
                               (struct request_id){request->request_id->high,
                                                   request->request_id->low})) {
        error_set(&why, ERROR_NOT_FOUND, "no app is called \"%.80s\"",
                  request->app);
        service_fail(call, &why);
        return;
    }
    scale(service_write(call, &request->base, request->request_id, written),
          app, request->replicas);
}

void service_scale(struct call *call, const ProtobufCMessage *message)
{
    Kontor__V1__ScaleRequest request =
        *(const Kontor__V1__ScaleRequest *)message;
    Kontor__V1__RequestId id;

    service_request_id(request.request_id, &id);
    request.request_id = &id;
    service_read(call, &request.base, scale_now);
}
