/* RegisterNode: a node announces itself, at every start again. */
#include "master/service.h"

#include "master/cluster_view.h"
#include "rpc/address.h"

#include <string.h>

static void answer(struct write *write, const struct request *request,
                   Kontor__V1__NodeRoute **routes, size_t count)
{
    const struct cluster *cluster = write->master->cluster;
    const struct node *node = nodes_find(&cluster->nodes, request->subject_id);
    Kontor__V1__RegisterNodeResponse response =
        KONTOR__V1__REGISTER_NODE_RESPONSE__INIT;
    struct node_view view;

    response.index = request->index;
    response.routes = routes;
    response.n_routes = count;
    if (node) {
        node_view_fill(&view, cluster, node);
        response.node = &view.node;
    }
    service_reply(write->call, &response.base);
}

static void written(struct write *write, const struct request *request)
{
    answer(write, request, NULL, 0);
}

/* For a node of an earlier release, which takes this list for its routes. */
static void written_with_routes(struct write *write,
                                const struct request *request)
{
    Kontor__V1__NodeRoute **routes;
    size_t count = routes_list(&write->master->dispatch.routes,
                               request->subject_id, 0, &routes);

    answer(write, request, routes, count);
    free(routes);
}

static int check(const struct call *call,
                 const Kontor__V1__RegisterNodeRequest *request,
                 struct error *why)
{
    const struct rpc_identity *peer = call_peer(call);
    struct resources capacity = resources_of(request->capacity);
    struct address address;

    if (!node_name_valid(request->name))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "name \"%.80s\" cannot be a node's name",
                         request->name);
    if (peer->role != RPC_ROLE_NODE || strcmp(peer->name, request->name) != 0)
        return error_set(why, ERROR_PERMISSION_DENIED,
                         "%s %s may not register as node %s",
                         rpc_role_name(peer->role), peer->name, request->name);
    if (address_parse(request->address, &address, why) != 0)
        return error_wrap(why, "address");
    if (capacity.amount[RESOURCE_CPU] == 0 ||
        capacity.amount[RESOURCE_MEMORY] == 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "capacity of node %s: it offers no cpu or no memory",
                         request->name);
    return 0;
}

void service_register_node(struct call *call, const ProtobufCMessage *message)
{
    struct master *master = service_master(call);
    Kontor__V1__RegisterNodeRequest request =
        *(const Kontor__V1__RegisterNodeRequest *)message;
    Kontor__V1__RegisterNode operation = KONTOR__V1__REGISTER_NODE__INIT;
    Kontor__V1__Command command = KONTOR__V1__COMMAND__INIT;
    Kontor__V1__RequestId id;
    char network[POD_NETWORK_TEXT_MAX];
    struct error why;

    if (check(call, &request, &why) != 0) {
        service_fail(call, &why);
        return;
    }
    service_request_id(request.request_id, &id);
    request.request_id = &id;
    if (!master_leads(master)) {
        forward_call(&master->forwarder, call, &request.base);
        return;
    }
    pod_network_text(&master->config.pod_network, network);
    operation.name = request.name;
    operation.address = request.address;
    operation.capacity = request.capacity;
    operation.labels = request.labels;
    operation.n_labels = request.n_labels;
    operation.version = request.version;
    operation.pod_network = network;
    command.operation_case = KONTOR__V1__COMMAND__OPERATION_REGISTER_NODE;
    command.register_node = &operation;
    service_propose(
        service_write(call, &request.base, &id,
                      request.routes_apart ? written : written_with_routes),
        &command);
}
