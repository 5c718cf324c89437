/* Scale: so many pods of an app. What the command does follows from the state
 * that it meets; the nodes for those that it may have to make come along. */
#include "master/service.h"

#include "base/memory.h"

#include <stdio.h>

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

/* Hold room for `count` more of a pod's spec; in `reason` why not. */
static void place_more(struct write *write, const struct pod *like,
                       size_t count, char reason[PLACEMENT_SUMMARY_MAX])
{
    struct placer *placer = &write->master->placer;
    struct placement_request request =
        placer_request(like->facts.spec->message);
    struct placement_request *wanted = memory_array(count, sizeof *wanted);

    for (size_t i = 0; i < count; i++)
        wanted[i] = request;
    write->pods = (uint32_t)count;
    write->holds = memory_array(count, sizeof(struct placement_hold *));
    placement_place_all(placer->view, wanted, count, write->holds);
    if (!write->holds[count - 1]) /* equals: the last to be placed */
        placer_reason(placer, &request, reason);
    free(wanted);
}

static void propose_scale(struct call *call,
                          const Kontor__V1__ScaleRequest *request,
                          const struct app *app)
{
    struct write *write =
        service_write(call, &request->base, request->request_id, written);
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__ScaleApp operation = KONTOR__V1__SCALE_APP__INIT;
    char reason[PLACEMENT_SUMMARY_MAX] = "";
    size_t staying = app ? app_staying(app) : request->replicas;
    CLEANUP(free_pointer) uint64_t *node_ids = NULL;

    if (request->replicas > staying &&
        request->replicas - staying <= PODS_PER_COMMAND_MAX) {
        const struct pod *newest = app_newest_pod(app);

        place_more(write, newest, request->replicas - staying, reason);
        operation.like_pod_id = newest->facts.id;
    }
    write->proposal.changes = request->replicas > staying
                                  ? request->replicas - staying
                                  : staying - request->replicas;
    node_ids = service_held_nodes(write);
    operation.app = request->app;
    operation.replicas = request->replicas;
    operation.node_ids = node_ids;
    operation.n_node_ids = write->pods;
    operation.reason = reason;
    command.format = CLUSTER_FORMAT_1;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_SCALE_APP;
    command.scale_app = &operation;
    service_propose(write, &command);
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
    propose_scale(call, request, app);
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
