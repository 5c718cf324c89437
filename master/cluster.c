#include "master/cluster.h"

#include "base/memory.h"
#include "master/cluster_apply.h"

#include <inttypes.h>

struct cluster *cluster_new(void)
{
    struct cluster *cluster = memory_new(sizeof *cluster);

    cluster->known = cluster_format_known();
    cluster->next_pod_id = 1;
    cluster->next_node_id = 1;
    specs_init(&cluster->specs);
    pods_init(&cluster->pods);
    nodes_init(&cluster->nodes);
    requests_init(&cluster->requests);
    events_init(&cluster->events);
    return cluster;
}

void cluster_free(struct cluster *cluster)
{
    if (!cluster)
        return;
    events_fini(&cluster->events, &cluster->specs);
    requests_fini(&cluster->requests);
    pods_fini(&cluster->pods, &cluster->specs);
    nodes_fini(&cluster->nodes);
    specs_fini(&cluster->specs);
    free(cluster);
}

static void operate(struct apply *apply, const Kontor__V1__Command *command)
{
    switch (command->operation_case) {
    case KONTOR__V1__COMMAND__OPERATION_CREATE_POD:
        apply_create_pod(apply, command->create_pod);
        return;
    case KONTOR__V1__COMMAND__OPERATION_STOP_POD:
        apply_stop_pod(apply, command->stop_pod);
        return;
    case KONTOR__V1__COMMAND__OPERATION_PLACE_PODS:
        apply_place_pods(apply, command->place_pods);
        return;
    case KONTOR__V1__COMMAND__OPERATION_REPORT_PODS:
        apply_report_pods(apply, command->report_pods);
        return;
    case KONTOR__V1__COMMAND__OPERATION_REGISTER_NODE:
        apply_register_node(apply, command->register_node);
        return;
    case KONTOR__V1__COMMAND__OPERATION_SET_NODE_STATE:
        apply_set_node_state(apply, command->set_node_state);
        return;
    case KONTOR__V1__COMMAND__OPERATION_SET_CORDON:
        apply_set_cordon(apply, command->set_cordon);
        return;
    case KONTOR__V1__COMMAND__OPERATION_LABEL_NODE:
        apply_label_node(apply, command->label_node);
        return;
    case KONTOR__V1__COMMAND__OPERATION_CREATE_PODS:
        apply_create_pods(apply, command->create_pods);
        return;
    case KONTOR__V1__COMMAND__OPERATION_SCALE_APP:
        apply_scale_app(apply, command->scale_app);
        return;
    case KONTOR__V1__COMMAND__OPERATION_PREEMPT_PODS:
        apply_preempt_pods(apply, command->preempt_pods);
        return;
    case KONTOR__V1__COMMAND__OPERATION_MOVE_PODS:
        apply_move_pods(apply, command->move_pods);
        return;
    case KONTOR__V1__COMMAND__OPERATION__NOT_SET:
    case _KONTOR__V1__COMMAND__OPERATION__CASE_IS_INT_SIZE:
        break;
    }
    error_set(&apply->result->error, ERROR_INVALID_ARGUMENT,
              "command holds no operation that is known here");
}

/* Give the first answer again. */
static void replay(const struct request *request, uint32_t operation,
                   struct cluster_result *result)
{
    result->replayed = true;
    result->index = request->index;
    result->subject_id = request->subject_id;
    if (request->operation != operation)
        error_set(&result->error, ERROR_INVALID_ARGUMENT,
                  "request id was used for another operation");
    else if (request->code != 0)
        error_set(&result->error, (enum error_code)request->code, "%s",
                  text_string(request->message));
}

static void remember(struct cluster *cluster, struct request_id id,
                     uint32_t operation, const struct cluster_result *result)
{
    requests_add(&cluster->requests,
                 &(struct request){
                     .id = id,
                     .index = result->index,
                     .subject_id = result->subject_id,
                     .operation = operation,
                     .code = result->error.code,
                     .message = text_new(result->error.message),
                 });
}

static void apply_command(struct cluster *cluster, uint64_t index,
                          const Kontor__V1__Command *command,
                          struct cluster_result *result)
{
    struct apply apply = {cluster, index, command->time_ms, result};
    uint32_t operation = (uint32_t)command->operation_case;
    const struct request *before;
    struct request_id id = {0, 0};

    if (command->request_id)
        id = (struct request_id){command->request_id->high,
                                 command->request_id->low};
    if (!request_id_given(id)) {
        operate(&apply, command);
        return;
    }
    before = requests_find(&cluster->requests, id);
    if (before) {
        replay(before, operation, result);
        return;
    }
    operate(&apply, command);
    remember(cluster, id, operation, result);
}

/* True: that is all there is to the command. */
static bool raise_format(struct cluster *cluster,
                         const Kontor__V1__Command *command)
{
    if (command->format <= cluster->format)
        return false;
    cluster->format = command->format;
    return command->operation_case == KONTOR__V1__COMMAND__OPERATION__NOT_SET;
}

void cluster_apply_command(struct cluster *cluster, uint64_t index,
                           const Kontor__V1__Command *command,
                           struct cluster_result *result)
{
    *result = (struct cluster_result){.index = index};
    if (command && command->format > cluster->known) {
        result->beyond = true;
        error_set(&result->error, ERROR_UNIMPLEMENTED,
                  "entry %" PRIu64 " has format %u, this program knows %u: it "
                  "must be upgraded",
                  index, command->format, cluster->known);
        return;
    }
    cluster->index = index;
    if (!command) {
        error_set(&result->error, ERROR_INVALID_ARGUMENT,
                  "a command of entry %" PRIu64 " is not readable", index);
        return;
    }
    if (!raise_format(cluster, command))
        apply_command(cluster, index, command, result);
}

int cluster_find_pod(const struct cluster *cluster, const char *name,
                     struct pod **out, struct error *why)
{
    struct pod *pod = pods_find_name(&cluster->pods, name);
    const struct app *app;

    if (pod) {
        *out = pod;
        return 0;
    }
    app = pods_find_app(&cluster->pods, name);
    if (!app)
        return error_set(why, ERROR_NOT_FOUND,
                         "no pod and no app is called \"%.80s\"", name);
    if (app->living == 0)
        return error_set(why, ERROR_NOT_FOUND, "no pod of app %s lives",
                         app->name);
    if (app->living > 1)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "app %s has %u pods that live: name one of them",
                         app->name, app->living);
    *out = app_living_pod(app);
    return 0;
}
