#include "master/service.h"

#include "base/memory.h"
#include "base/random.h"
#include "master/pipe.h"
#include "master/propose.h"

#include <assert.h>
#include <string.h>

/* ---- the table ---- */

/* Masters forward on behalf of others, whose role counts then; as themselves
 * they may call everything. */
#define WRITERS (RPC_ROLE_ADMIN | RPC_ROLE_MASTER)
#define READERS (WRITERS | RPC_ROLE_VIEWER)
#define NODES (RPC_ROLE_NODE | RPC_ROLE_MASTER)

#define MESSAGES(request_name, response_name)             \
    .request = &kontor__v1__##request_name##__descriptor, \
    .response = &kontor__v1__##response_name##__descriptor

static const struct method methods[] = {
    {.name = "Schedule",
     MESSAGES(schedule_request, schedule_response),
     .roles = WRITERS,
     .handle = service_schedule},
    {.name = "Scale",
     MESSAGES(scale_request, scale_response),
     .roles = WRITERS,
     .handle = service_scale},
    {.name = "Stop",
     MESSAGES(stop_request, stop_response),
     .roles = WRITERS,
     .handle = service_stop},
    {.name = "Cordon",
     MESSAGES(cordon_request, cordon_response),
     .roles = WRITERS,
     .handle = service_cordon},
    {.name = "LabelNode",
     MESSAGES(label_node_request, label_node_response),
     .roles = WRITERS,
     .handle = service_label_node},
    {.name = "GetPod",
     MESSAGES(get_pod_request, get_pod_response),
     .roles = READERS,
     .handle = service_get_pod},
    {.name = "ListPods",
     MESSAGES(list_pods_request, list_pods_response),
     .roles = READERS,
     .handle = service_list_pods},
    {.name = "GetNode",
     MESSAGES(get_node_request, get_node_response),
     .roles = READERS,
     .handle = service_get_node},
    {.name = "ListNodes",
     MESSAGES(list_nodes_request, list_nodes_response),
     .roles = READERS,
     .handle = service_list_nodes},
    {.name = "Why",
     MESSAGES(why_request, why_response),
     .roles = READERS,
     .handle = service_why},
    {.name = "Plan",
     MESSAGES(plan_request, plan_response),
     .roles = READERS,
     .handle = service_plan},
    {.name = "Drain",
     MESSAGES(drain_request, drain_response),
     .roles = WRITERS,
     .handle = service_drain},
    {.name = "Rebalance",
     MESSAGES(rebalance_request, rebalance_response),
     .roles = WRITERS,
     .handle = service_rebalance},
    {.name = "Watch",
     MESSAGES(watch_request, event),
     .roles = READERS,
     .server_streams = true,
     .handle = service_watch},
    {.name = "Logs",
     MESSAGES(logs_request, logs_chunk),
     .roles = READERS,
     .server_streams = true,
     .handle = service_logs},
    {.name = "ListImages",
     MESSAGES(list_images_request, list_images_response),
     .roles = READERS,
     .handle = service_ask_node},
    {.name = "PullImage",
     MESSAGES(pull_image_request, pull_image_progress),
     .roles = WRITERS,
     .server_streams = true,
     .handle = service_ask_node},
    {.name = "RemoveImages",
     MESSAGES(remove_images_request, remove_images_response),
     .roles = WRITERS,
     .handle = service_ask_node},
    {.name = "Exec",
     MESSAGES(exec_request, exec_response),
     .roles = WRITERS,
     .client_streams = true,
     .server_streams = true,
     .open = service_exec},
    {.name = "Usage",
     MESSAGES(usage_request, usage_response),
     .roles = READERS,
     .handle = service_ask_node},
    {.name = "Masters",
     MESSAGES(masters_request, masters_response),
     .roles = READERS,
     .handle = service_masters},
    {.name = "AddMaster",
     MESSAGES(add_master_request, add_master_response),
     .roles = WRITERS,
     .handle = service_add_master},
    {.name = "RemoveMaster",
     MESSAGES(remove_master_request, remove_master_response),
     .roles = WRITERS,
     .handle = service_remove_master},
    {.name = "TransferLeadership",
     MESSAGES(transfer_leadership_request, transfer_leadership_response),
     .roles = WRITERS,
     .handle = service_transfer_leadership},
    {.name = "Backup",
     MESSAGES(backup_request, backup_chunk),
     .roles = WRITERS,
     .server_streams = true,
     .handle = service_backup},
    {.name = "RegisterNode",
     MESSAGES(register_node_request, register_node_response),
     .roles = NODES,
     .handle = service_register_node},
};

const struct service cluster_service = {
    .name = "kontor.v1.Cluster",
    .methods = methods,
    .method_count = ARRAY_LEN(methods),
};

const struct method *service_method(const struct call *call)
{
    const char *name = strrchr(call_path(call), '/') + 1;
    size_t i = 0;

    while (strcmp(methods[i].name, name) != 0) {
        i++;
        assert(i < ARRAY_LEN(methods));
    }
    return &methods[i];
}

void service_reply(struct call *call, const ProtobufCMessage *message)
{
    call_listen(call, &pipe_deaf, NULL);
    call_reply(call, message);
}

void service_fail(struct call *call, const struct error *why)
{
    call_listen(call, &pipe_deaf, NULL);
    call_finish(call, why);
}

const struct node *service_find_node(const struct master *master,
                                     struct call *call, const char *name)
{
    const struct node *node = nodes_find_name(&master->cluster->nodes, name);
    struct error why;

    if (!node) {
        error_set(&why, ERROR_NOT_FOUND, "no node is called \"%.80s\"", name);
        service_fail(call, &why);
    }
    return node;
}

/* ---- reads ---- */

struct read {
    struct replica_read base;
    struct master *master;
    struct call *call; /* NULL: the caller has gone */
    service_answer_cb *answer;
    size_t length;
    uint8_t request[]; /* serialised */
};

static void on_reader_gone(struct call *call, const struct error *why)
{
    struct read *read = call_data(call);

    (void)why;
    read->call = NULL;
}

static const struct call_events reading = {.ended = on_reader_gone};

static void on_current(struct replica_read *base, const struct error *why)
{
    struct read *read = container_of(base, struct read, base);
    struct master *master = read->master;
    struct call *call = read->call;

    if (call && why->code != 0) {
        forward_bytes(&master->forwarder, call, read->request, read->length);
    } else if (call) {
        ProtobufCMessage *request = protobuf_c_message_unpack(
            service_method(call)->request, NULL, read->length, read->request);

        call_listen(call, &pipe_deaf, NULL);
        read->answer(master, call, request);
        protobuf_c_message_free_unpacked(request, NULL);
    }
    free(read);
}

void service_read(struct call *call, const ProtobufCMessage *request,
                  service_answer_cb *answer)
{
    struct master *master = service_master(call);
    struct read *read;
    size_t length;

    if (!master_leads(master)) {
        forward_call(&master->forwarder, call, request);
        return;
    }
    length = protobuf_c_message_get_packed_size(request);
    read = memory_new(sizeof *read + length);
    protobuf_c_message_pack(request, read->request);
    read->length = length;
    read->master = master;
    read->call = call;
    read->answer = answer;
    read->base.done = on_current;
    call_listen(call, &reading, read);
    replica_read(master->replica, &read->base);
}

/* ---- writes ---- */

/* That is kept for a write; its first pod may be there now. */
static void return_room(const struct write *write, uint64_t first)
{
    for (uint32_t i = 0; write->holds && i < write->pods; i++) {
        if (write->holds[i])
            placer_return(&write->master->placer, write->holds[i],
                          first ? first + i : 0);
    }
}

static void write_free(struct write *write)
{
    if (write->spec)
        kontor__v1__pod_spec__free_unpacked(write->spec, NULL);
    free(write->holds);
    free(write);
}

static void on_writer_gone(struct call *call, const struct error *why)
{
    struct write *write = call_data(call);

    (void)why;
    write->call = NULL;
    if (list_empty(&write->arrived))
        return;
    list_remove(&write->arrived); /* too late to be placed */
    return_room(write, 0);
    write_free(write);
}

static const struct call_events writing = {.ended = on_writer_gone};

void service_request_id(const Kontor__V1__RequestId *given,
                        Kontor__V1__RequestId *id)
{
    kontor__v1__request_id__init(id);
    if (given) {
        id->high = given->high;
        id->low = given->low;
    }
    if (id->high == 0 && id->low == 0) {
        random_bytes(&id->high, sizeof id->high);
        random_bytes(&id->low, sizeof id->low);
    }
}

struct write *service_write(struct call *call, const ProtobufCMessage *request,
                            const Kontor__V1__RequestId *id,
                            service_written_cb *written)
{
    size_t length = protobuf_c_message_get_packed_size(request);
    struct write *write = memory_new(sizeof *write + length);

    list_init(&write->arrived);
    protobuf_c_message_pack(request, write->request);
    write->length = length;
    write->proposal.kept_bytes = length;
    write->master = service_master(call);
    write->call = call;
    write->written = written;
    write->id = (struct request_id){id->high, id->low};
    call_listen(call, &writing, write);
    return write;
}

/* Committed: answer with what the state remembers. */
static void answer_write(struct write *write)
{
    const struct request *request =
        requests_find(&write->master->cluster->requests, write->id);
    struct error why;

    if (!request) {
        error_set(&why, ERROR_ABORTED,
                  "the write was done, its answer is no longer remembered");
    } else if (request->operation != write->operation) {
        error_set(&why, ERROR_INVALID_ARGUMENT,
                  "request id was used for another operation");
    } else if (request->code != 0) {
        error_set(&why, (enum error_code)request->code, "%s",
                  text_string(request->message));
    } else {
        write->written(write, request);
        return;
    }
    service_fail(write->call, &why);
}

/* The first pod that the command at `index` made; 0 for none, as when it was
 * refused or had been done before. */
static uint64_t made_by(const struct write *write, uint64_t index)
{
    const struct request *request =
        requests_find(&write->master->cluster->requests, write->id);

    /* Of an entry with a write that was done before, who knows which it was:
     * their room is given back as if nothing were there. */
    return request && index != write->master->replayed_index
               ? request->subject_id
               : 0;
}

static void on_committed(struct replica_proposal *proposal, uint64_t index,
                         const struct error *why)
{
    struct write *write = container_of(proposal, struct write, proposal);
    struct master *master = write->master;

    return_room(write, why->code == 0 ? made_by(write, index) : 0);
    if (!write->call)
        ; /* nobody waits for the answer */
    else if (why->code == 0)
        answer_write(write);
    else if (why->code == ERROR_ABORTED || why->code == ERROR_UNAVAILABLE)
        forward_bytes(&master->forwarder, write->call, write->request,
                      write->length);
    else
        service_fail(write->call, why);
    write_free(write);
}

uint64_t *service_held_nodes(const struct write *write)
{
    uint64_t *node_ids = memory_array(write->pods + 1, sizeof *node_ids);

    for (uint32_t i = 0; write->holds && i < write->pods; i++)
        if (write->holds[i])
            node_ids[i] = placement_hold_node(write->holds[i]);
    return node_ids;
}

void service_give_up(struct write *write, const struct error *why)
{
    on_committed(&write->proposal, 0, why);
}

/* The state that it is too early for was the newest. */
static void on_refused(struct replica_read *current, const struct error *why)
{
    struct write *write = container_of(current, struct write, current);
    struct error refusal = *why;

    if (why->code == 0 &&
        format_check(write->master, write->format, &refusal) == 0)
        error_set(&refusal, ERROR_UNAVAILABLE,
                  "the cluster has reached format %u just now", write->format);
    service_give_up(write, &refusal);
}

void service_propose(struct write *write, Kontor__V1__Command *command)
{
    Kontor__V1__RequestId id = KONTOR__V1__REQUEST_ID__INIT;
    struct error why;

    id.high = write->id.high;
    id.low = write->id.low;
    command->request_id = &id;
    write->operation = (uint32_t)command->operation_case;
    write->format = command->format;
    if (format_check(write->master, command->format, &why) != 0) {
        write->current.done = on_refused; /* it may lead no longer */
        replica_read(write->master->replica, &write->current);
        return;
    }
    write->proposal.done = on_committed;
    propose(write->master->replica, &write->proposal, command);
}
