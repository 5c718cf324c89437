#include "node/network.h"

#include "base/fd.h"
#include "base/memory.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REGISTERED_FILE "registered.pb"

enum {
    ROUTES_MAX = 65536,
    REGISTERED_MAX_BYTES = 16 << 20,
};

void node_network_init(struct node_network *network, const struct home *home,
                       const struct home_names *names,
                       struct pod_engine *engine)
{
    *network = (struct node_network){
        .home = home,
        .names = names,
        .engine = engine,
    };
}

static int open_net(struct node_network *network, const char *subnet,
                    struct error *why)
{
    struct net_config config = {
        .bridge = network->names->bridge,
        .subnet = subnet,
        .table = network->names->table,
    };

    if (network->net)
        return 0;
    if (net_open(&network->net, &config, why) != 0)
        return error_wrap(why, "open the pods' network");
    net_set_overlay(network->net, network->overlay);
    pod_engine_set_net(network->engine, network->net);
    return 0;
}

static int apply_routes(struct node_network *network,
                        Kontor__V1__NodeRoute **routes, size_t count,
                        struct error *why)
{
    CLEANUP(free_pointer) struct net_route *table = NULL;

    if (count > ROUTES_MAX)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "%zu routes: at most %d", count, ROUTES_MAX);
    table = memory_array(count + 1, sizeof *table);
    for (size_t i = 0; i < count; i++) {
        struct net_route *route = &table[i];

        if (strlen(routes[i]->subnet) >= sizeof route->subnet ||
            strlen(routes[i]->via) >= sizeof route->via)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "route to %.32s via %.64s: too long",
                             routes[i]->subnet, routes[i]->via);
        snprintf(route->subnet, sizeof route->subnet, "%s", routes[i]->subnet);
        snprintf(route->via, sizeof route->via, "%s", routes[i]->via);
    }
    return net_set_routes(network->net, table, count, why);
}

/* ---- kept ---------------------------------------------------------------- */

static int keep(struct node_network *network,
                const Kontor__V1__RegisterNodeResponse *answer,
                struct error *why)
{
    size_t length = kontor__v1__register_node_response__get_packed_size(answer);
    CLEANUP(free_pointer) uint8_t *bytes = memory_new(length + 1);
    Kontor__V1__RegisterNodeResponse *copy;

    kontor__v1__register_node_response__pack(answer, bytes);
    if (file_exchange(network->home->folder, REGISTERED_FILE, bytes, length,
                      0600, why) != 0)
        return error_wrap(why, "keep what the masters said");
    copy = kontor__v1__register_node_response__unpack(NULL, length, bytes);
    if (network->known)
        kontor__v1__register_node_response__free_unpacked(network->known, NULL);
    network->known = copy;
    return 0;
}

int node_network_recall(struct node_network *network, struct error *why)
{
    struct buffer content;

    buffer_init(&content, REGISTERED_MAX_BYTES);
    error_clear(why);
    if (file_read(network->home->folder, REGISTERED_FILE, &content, why) == 0) {
        network->known = kontor__v1__register_node_response__unpack(
            NULL, buffer_length(&content), buffer_data(&content));
        if (!network->known || !network->known->node)
            error_set(why, ERROR_DATA_LOSS, "%s/%s: not what knode wrote",
                      network->home->path, REGISTERED_FILE);
    }
    buffer_fini(&content);
    if (why->code != ERROR_OK)
        return (int)why->code;
    assert(network->known && network->known->node);
    if (open_net(network, network->known->node->subnet, why) != 0)
        return (int)why->code;
    return apply_routes(network, network->known->routes,
                        network->known->n_routes, why);
}

/* ---- given --------------------------------------------------------------- */

int node_network_registered(struct node_network *network,
                            const Kontor__V1__RegisterNodeResponse *answer,
                            struct error *why)
{
    const Kontor__V1__RegisterNodeResponse *known = network->known;
    const Kontor__V1__NodeInfo *before = known ? known->node : NULL;
    Kontor__V1__RegisterNodeResponse kept = *answer;

    if (!answer->node || !answer->node->subnet[0])
        return error_set(why, ERROR_INTERNAL,
                         "the masters gave this node no subnet");
    if (network->net && before &&
        strcmp(before->subnet, answer->node->subnet) != 0)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "the masters gave this node the subnet %s, but its "
                         "pods are in %s: stop them and run `knode remove`",
                         answer->node->subnet, before->subnet);
    kept.routes = known ? known->routes : NULL;
    kept.n_routes = known ? known->n_routes : 0;
    if (keep(network, &kept, why) != 0)
        return (int)why->code;
    return open_net(network, answer->node->subnet, why);
}

static bool has_subnet(Kontor__V1__NodeRoute **routes, size_t count,
                       const char *subnet)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(routes[i]->subnet, subnet) == 0)
            return true;
    return false;
}

int node_network_set_routes(struct node_network *network,
                            Kontor__V1__NodeRoute **routes, size_t count,
                            bool merge, struct error *why)
{
    Kontor__V1__RegisterNodeResponse answer =
        KONTOR__V1__REGISTER_NODE_RESPONSE__INIT;
    CLEANUP(free_pointer) Kontor__V1__NodeRoute **all = NULL;
    const Kontor__V1__RegisterNodeResponse *known = network->known;

    if (!network->net)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "this node is not yet registered");
    all = memory_array(count + known->n_routes, sizeof *all);
    for (size_t i = 0; merge && i < known->n_routes; i++)
        if (!has_subnet(routes, count, known->routes[i]->subnet))
            all[answer.n_routes++] = known->routes[i];
    for (size_t i = 0; i < count; i++)
        all[answer.n_routes++] = routes[i];
    if (apply_routes(network, all, answer.n_routes, why) != 0)
        return (int)why->code;
    answer.node = known->node;
    answer.routes = all;
    return keep(network, &answer, why);
}

void node_network_fini(struct node_network *network)
{
    if (network->known)
        kontor__v1__register_node_response__free_unpacked(network->known, NULL);
    net_free(network->net);
    network->known = NULL;
    network->net = NULL;
}

int node_network_remove(const struct home *home, const struct home_names *names,
                        struct error *why)
{
    /* Kept before anything was made, whatever became of its content. */
    if (faccessat(home->folder, REGISTERED_FILE, F_OK, 0) != 0)
        return errno == ENOENT ? 0
                               : error_errno(why, "look for %s/%s", home->path,
                                             REGISTERED_FILE);
    return net_remove(names->bridge, names->table, why);
}
