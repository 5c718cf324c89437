#include "base/memory.h"
#include "base/quantity.h"
#include "master/cluster_apply.h"

#include <inttypes.h>
#include <string.h>

static int check_text(const char *what, const char *text, struct error *why)
{
    if (node_text_valid(text))
        return 0;
    return error_set(why, ERROR_INVALID_ARGUMENT,
                     "%s is not UTF-8 of %d bytes at most", what,
                     NODE_TEXT_MAX);
}

static int check(const Kontor__V1__RegisterNode *in, struct error *why)
{
    struct resources capacity = resources_of(in->capacity);

    if (!node_name_valid(in->name))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "node name \"%.80s\": letters, digits and \".-_\" "
                         "inside, %d characters at most",
                         in->name, NODE_NAME_MAX);
    if (in->n_labels > NODE_LABELS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "node %s has %zu labels, %d are allowed", in->name,
                         in->n_labels, NODE_LABELS_MAX);
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        if (capacity.amount[i] > SPEC_AMOUNT_MAX)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "node %s offers more %s than there can be",
                             in->name, resource_name((enum resource_kind)i));
    }
    for (size_t i = 0; i < in->n_labels; i++) {
        if (check_text("a label's key", in->labels[i]->key, why) != 0 ||
            check_text("a label's value", in->labels[i]->value, why) != 0)
            return why->code;
    }
    if (check_text("the node's address", in->address, why) != 0)
        return why->code;
    return check_text("the node's version", in->version, why);
}

/* A node of that name: the one that is known, or a new one. */
static struct node *admit(struct apply *apply,
                          const Kontor__V1__RegisterNode *in, struct error *why)
{
    struct cluster *cluster = apply->cluster;
    struct node *node = nodes_find_name(&cluster->nodes, in->name);
    struct pod_network network = cluster->network;

    if (node)
        return node;
    if (network.prefix == 0 &&
        pod_network_parse(in->pod_network, &network, why) != 0)
        return NULL;
    if (cluster->nodes.count >= NODES_MAX ||
        cluster->nodes.count >= pod_network_subnets(&network)) {
        error_set(why, ERROR_RESOURCE_EXHAUSTED,
                  "node %s: %zu nodes are registered and the pod network has "
                  "no subnet left",
                  in->name, cluster->nodes.count);
        return NULL;
    }
    cluster->network = network;
    node = nodes_add(&cluster->nodes, cluster->next_node_id++, in->name);
    node->subnet_number = (uint32_t)cluster->nodes.count;
    node->registered_at_ms = apply->time_ms;
    return node;
}

void apply_register_node(struct apply *apply,
                         const Kontor__V1__RegisterNode *in)
{
    struct error *why = &apply->result->error;
    char cpu[QUANTITY_TEXT_MAX];
    char memory[QUANTITY_TEXT_MAX];
    struct node *node;

    if (check(in, why) != 0)
        return;
    node = admit(apply, in, why);
    if (!node)
        return;
    apply->result->subject_id = node->id;
    if (text_replace(&node->address, in->address))
        node->routed_index = apply->index;
    text_replace(&node->version, in->version);
    node_set_own_labels(node, in->labels, in->n_labels);
    node->capacity = resources_of(in->capacity);
    nodes_touch(&apply->cluster->nodes, node);
    quantity_format_cpu(cpu, node->capacity.amount[RESOURCE_CPU]);
    quantity_format_bytes(memory, node->capacity.amount[RESOURCE_MEMORY]);
    node_event(apply, node, KONTOR__V1__EVENT_KIND__EVENT_NODE_REGISTERED,
               text_format("registered with %s cpu, %s memory", cpu, memory));
}

struct node *apply_find_node(struct apply *apply, uint64_t id)
{
    struct node *node = nodes_find(&apply->cluster->nodes, id);

    if (node)
        apply->result->subject_id = id;
    else
        error_set(&apply->result->error, ERROR_NOT_FOUND,
                  "no node has the id %" PRIu64, id);
    return node;
}

/* In order of id. What was leaving the node has left the cluster with it. */
static void lose_pods(struct apply *apply, struct node *node)
{
    size_t count;
    struct pod **pods = node_pods_leaving(node, &count);

    for (size_t i = 0; i < count; i++)
        pod_departed(apply, pods[i]);
    free(pods);
    pods = node_pods(node, &count);
    for (size_t i = 0; i < count; i++)
        pod_give_up(apply, pods[i], node, "lost");
    free(pods);
}

void apply_set_node_state(struct apply *apply,
                          const Kontor__V1__SetNodeState *in)
{
    static const char *const texts[] = {
        [KONTOR__V1__NODE_STATE__NODE_READY] = "ready",
        [KONTOR__V1__NODE_STATE__NODE_SUSPECT] = "suspect: no sign of life",
        [KONTOR__V1__NODE_STATE__NODE_LOST] = "lost: its pods are placed anew",
    };
    struct node *node = apply_find_node(apply, in->node_id);
    int32_t state = (int32_t)in->state;

    if (!node)
        return;
    if (state < 0 || (size_t)state >= ARRAY_LEN(texts)) {
        error_set(&apply->result->error, ERROR_INVALID_ARGUMENT,
                  "node state %d is none", state);
        return;
    }
    if (node->state == state)
        return;
    node->state = state;
    nodes_touch(&apply->cluster->nodes, node);
    node_event(apply, node, KONTOR__V1__EVENT_KIND__EVENT_NODE_STATE,
               text_new(texts[state]));
    if (state == KONTOR__V1__NODE_STATE__NODE_LOST)
        lose_pods(apply, node);
}

void node_cordon(struct apply *apply, struct node *node, bool cordoned)
{
    if (node->cordoned == cordoned)
        return;
    node->cordoned = cordoned;
    nodes_touch(&apply->cluster->nodes, node);
    node_event(apply, node, KONTOR__V1__EVENT_KIND__EVENT_NODE_CORDONED,
               text_new(cordoned ? "cordoned" : "open again"));
}

void apply_set_cordon(struct apply *apply, const Kontor__V1__SetCordon *in)
{
    struct node *node = apply_find_node(apply, in->node_id);

    if (node)
        node_cordon(apply, node, in->cordoned);
}
