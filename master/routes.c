#include "master/routes.h"

#include "base/memory.h"
#include "rpc/address.h"

#include <string.h>

/* A message and the strings that it points to. */
struct route {
    Kontor__V1__NodeRoute message;
    char subnet[POD_NETWORK_TEXT_MAX];
    struct address via;
};

/* False: nobody reaches it. */
static bool fill(struct route *route, const struct cluster *cluster,
                 const struct node *node)
{
    struct error why;

    if (address_parse(text_string(node->address), &route->via, &why) != 0)
        return false;
    kontor__v1__node_route__init(&route->message);
    route->message.node = node->name->bytes;
    route->message.subnet = pod_network_subnet(
        &cluster->network, node->subnet_number, route->subnet);
    route->message.via = route->via.host;
    return true;
}

static bool is_wanted(const struct node *node, uint64_t node_id, uint64_t after)
{
    return node->id != node_id && (after == 0 || node->routed_index > after);
}

void routes_init(struct routes *routes, const struct cluster *cluster,
                 uint64_t node_id, uint64_t after)
{
    size_t room = 0;

    list_for_each(item, next, &cluster->nodes.all) room +=
        is_wanted(container_of(item, struct node, all), node_id, after);
    routes->count = 0;
    routes->routes = memory_array(room, sizeof *routes->routes);
    routes->pointers = memory_array(room, sizeof(Kontor__V1__NodeRoute *));
    list_for_each(item, next, &cluster->nodes.all)
    {
        const struct node *node = container_of(item, struct node, all);
        struct route *route = &routes->routes[routes->count];

        if (is_wanted(node, node_id, after) && fill(route, cluster, node))
            routes->pointers[routes->count++] = &route->message;
    }
}

void routes_fini(struct routes *routes)
{
    free(routes->routes);
    free(routes->pointers);
}
