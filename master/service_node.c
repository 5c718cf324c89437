/* What is asked of one node and answered by it: relayed as it is. */
#include "master/service.h"

#include "kontor/v1/node.pb-c.h"

#include <string.h>

/* All of these requests have the node's name. */
static const char *asked_node(const ProtobufCMessage *request)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(request->descriptor,
                                                        "node");
    const char *name;

    memcpy(&name, (const uint8_t *)request + field->offset, sizeof(char *));
    return name;
}

/* A node that is not there is no reason for the caller to try others: the
 * same would be said again. */
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
        {&kontor__v1__usage_request__descriptor, "/kontor.v1.Node/Usage"},
    };
    const struct node *node =
        service_find_node(master, call, asked_node(request));
    struct node_question question = {.request = request,
                                     .unreachable = ERROR_FAILED_PRECONDITION};
    size_t i = 0;

    if (!node)
        return;
    while (paths[i].request != request->descriptor)
        i++;
    question.path = paths[i].path;
    service_relay(master, call, node, &question);
}

void service_ask_node(struct call *call, const ProtobufCMessage *request)
{
    service_read(call, request, relay);
}
