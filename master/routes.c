#include "master/routes.h"

#include "base/memory.h"
#include "rpc/address.h"

#include <stdio.h>
#include <string.h>

/* A snapshot of an earlier release does not say when addresses changed. */
enum { VERSION_MIN = 1 };

/* A message and the strings that it points to. */
struct route {
    uint64_t changed_index;
    uint64_t node_id;
    Kontor__V1__NodeRoute message;
    char name[NODE_NAME_MAX + 1];
    char subnet[POD_NETWORK_TEXT_MAX];
    char via[]; /* the host of its address; "": that is none */
};

static uint64_t changed_index(const struct node *node)
{
    return node->routed_index > VERSION_MIN ? node->routed_index : VERSION_MIN;
}

static struct route *route_new(const struct cluster *cluster,
                               const struct node *node)
{
    struct address address = {0};
    struct error why;
    struct route *route;
    size_t size;

    if (address_parse(text_string(node->address), &address, &why) != 0)
        address.host[0] = '\0';
    size = strlen(address.host) + 1;
    route = memory_new(sizeof *route + size);
    route->changed_index = changed_index(node);
    route->node_id = node->id;
    snprintf(route->name, sizeof route->name, "%s", text_string(node->name));
    memcpy(route->via, address.host, size);
    kontor__v1__node_route__init(&route->message);
    route->message.node = route->name;
    route->message.subnet = pod_network_subnet(
        &cluster->network, node->subnet_number, route->subnet);
    route->message.via = route->via;
    return route;
}

/* Where what changed at `index` begins. */
static size_t first_from(const struct routes *routes, uint64_t index)
{
    size_t at = routes->count;

    while (at > 0 && routes->all[at - 1]->changed_index >= index)
        at--;
    return at;
}

static void take_out(struct routes *routes, struct route *route)
{
    size_t at = first_from(routes, route->changed_index);

    while (routes->all[at] != route)
        at++;
    routes->count--;
    memmove(routes->all + at, routes->all + at + 1,
            (routes->count - at) * sizeof(struct route *));
    free(route);
}

static void put_in(struct routes *routes, struct route *route)
{
    size_t at = first_from(routes, route->changed_index);

    if (routes->count == routes->capacity) {
        routes->capacity = routes->capacity ? routes->capacity * 2 : 16;
        routes->all = memory_resize(routes->all,
                                    routes->capacity * sizeof(struct route *));
    }
    memmove(routes->all + at + 1, routes->all + at,
            (routes->count - at) * sizeof(struct route *));
    routes->all[at] = route;
    routes->count++;
}

struct route *routes_note(struct routes *routes, struct route *had,
                          const struct cluster *cluster,
                          const struct node *node)
{
    struct route *route;

    if (had && had->changed_index == changed_index(node))
        return had;
    if (had)
        take_out(routes, had);
    route = route_new(cluster, node);
    put_in(routes, route);
    routes->version = routes->all[routes->count - 1]->changed_index;
    return route;
}

size_t routes_list(const struct routes *routes, uint64_t node_id,
                   uint64_t after, Kontor__V1__NodeRoute ***out)
{
    size_t first = first_from(routes, after + 1);
    size_t count = 0;

    *out = memory_array(routes->count - first, sizeof(Kontor__V1__NodeRoute *));
    for (size_t i = first; i < routes->count; i++) {
        struct route *route = routes->all[i];

        if (route->via[0] && route->node_id != node_id)
            (*out)[count++] = &route->message;
    }
    return count;
}

void routes_fini(struct routes *routes)
{
    while (routes->count > 0)
        free(routes->all[--routes->count]);
    free(routes->all);
}
