/* What is asked of one node and answered by it: relayed as it is. */
#include "master/service.h"

#include "kontor/v1/node.pb-c.h"

#include <string.h>

/* All of these requests begin with the node's name. */
static const char *asked_node(const ProtobufCMessage *request)
{
    return ((const Kontor__V1__ListImagesRequest *)request)->node;
}

_Static_assert(offsetof(Kontor__V1__PullImageRequest, node) ==
                       offsetof(Kontor__V1__ListImagesRequest, node) &&
                   offsetof(Kontor__V1__RemoveImagesRequest, node) ==
                       offsetof(Kontor__V1__ListImagesRequest, node),
               "the name is where asked_node() looks");

static void relay(struct master *master, struct call *call,
                  const ProtobufCMessage *request)
{
    static const struct {
        const ProtobufCMessageDescriptor *request;
        const char *path;
    } paths[] = {
        {&kontor__v1__list_images_request__descriptor,
         "/kontor.v1.Node/ListImages"},
        {&kontor__v1__pull_image_request__descriptor,
         "/kontor.v1.Node/PullImage"},
        {&kontor__v1__remove_images_request__descriptor,
         "/kontor.v1.Node/RemoveImages"},
    };
    const char *name = asked_node(request);
    const struct node *node = nodes_find_name(&master->cluster->nodes, name);
    struct error why;
    size_t i = 0;

    if (!node) {
        error_set(&why, ERROR_NOT_FOUND, "no node is called \"%.80s\"", name);
        service_fail(call, &why);
        return;
    }
    while (paths[i].request != request->descriptor)
        i++;
    service_relay(master, call, node, paths[i].path, request);
}

void service_images(struct call *call, const ProtobufCMessage *request)
{
    service_read(call, request, relay);
}
