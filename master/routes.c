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

static Kontor__V1__NodeRoute *route_new(const struct cluster *cluster,
                                        const struct node *node)
{
    struct route *route = memory_new(sizeof *route);
    struct error why;

    if (address_parse(text_string(node->address), &route->via, &why) != 0) {
        free(route); /* nobody reaches it */
        return NULL;
    }
    kontor__v1__node_route__init(&route->message);
    route->message.node = node->name->bytes;
    route->message.subnet = pod_network_subnet(
        &cluster->network, node->subnet_number, route->subnet);
    route->message.via = route->via.host;
    return &route->message;
}

void routes_init(struct routes *routes, const struct cluster *cluster,
                 uint64_t node_id)
{
    routes->count = 0;
    routes->pointers =
        memory_array(cluster->nodes.count + 1, sizeof(Kontor__V1__NodeRoute *));
    list_for_each(item, next, &cluster->nodes.all)
    {
        const struct node *node = container_of(item, struct node, all);
        Kontor__V1__NodeRoute *message =
            node->id == node_id ? NULL : route_new(cluster, node);

        if (message)
            routes->pointers[routes->count++] = message;
    }
}

void routes_fini(struct routes *routes)
{
    for (size_t i = 0; i < routes->count; i++)
        free(container_of(routes->pointers[i], struct route, message));
    free(routes->pointers);
}
