#include "base/clock.h"
#include "client/ask.h"
#include "client/describe.h"
#include "client/show.h"
#include "client/taint.h"
#include "client/verbs.h"

#include <string.h>

static const char *const headings[] = {"POD",     "STATUS", "CPU",    "MEM",
                                       "ADDRESS", "AGE",    "REASON", NULL};

/* By an operator: it can be removed. */
static bool was_set(const Kontor__V1__NodeInfo *node,
                    const Kontor__V1__Label *label)
{
    for (size_t i = 0; i < node->n_set_labels; i++)
        if (strcmp(node->set_labels[i]->key, label->key) == 0)
            return true;
    return false;
}

static void print_node(const Kontor__V1__NodeInfo *node)
{
    char text[SHOW_REASON_MAX];
    bool colours = output_colours(stdout);

    describe_line("name", "%s", node->name);
    printf("%-12s %s%s%s\n", "status",
           colour_start(show_node_colour(node), colours),
           show_node_status(node), colour_end(show_node_colour(node), colours));
    describe_line("address", "%s", node->address);
    describe_line("pod subnet", "%s", node->subnet);
    describe_line("offers", "%s", show_resources(text, node->capacity));
    describe_line("gave away", "%s", show_resources(text, node->allocated));
    for (size_t i = 0; i < node->n_labels; i++)
        describe_line("label", "%s=%s%s", node->labels[i]->key,
                      node->labels[i]->value,
                      was_set(node, node->labels[i]) ? " (set)" : "");
    for (size_t i = 0; i < node->n_taints; i++)
        describe_line("taint", "%s:" TAINT_EFFECT,
                      show_labels(text, &node->taints[i], 1));
    describe_line("version", "%s", node->version);
    describe_line("registered", "%s", show_time(text, node->registered_at_ms));
}

static void print_pods(const Kontor__V1__GetNodeResponse *response)
{
    struct table *table = table_new(headings);
    uint64_t now_ms = clock_wall_ms();

    for (size_t i = 0; i < response->n_pods; i++) {
        const Kontor__V1__Pod *pod = response->pods[i];
        const Kontor__V1__Resources *asked =
            pod->spec ? pod->spec->resources : NULL;
        Kontor__V1__PodPhase phase = show_pod_phase(pod);
        char text[SHOW_REASON_MAX];

        table_cell(table, "%s", pod->name);
        table_cell_coloured(table, show_phase_colour(phase), show_phase(phase));
        table_cell(table, "%s",
                   quantity_format_cpu(text, asked ? asked->cpu_milli : 0));
        table_cell(
            table, "%s",
            quantity_format_bytes(text, asked ? asked->memory_bytes : 0));
        table_cell(table, "%s",
                   pod->status && pod->status->address[0] ? pod->status->address
                                                          : "-");
        table_cell(table, "%s", show_age(text, now_ms, pod->created_at_ms));
        table_cell(table, "%s", show_pod_reason(text, pod));
    }
    if (response->n_pods > 0) {
        putchar('\n');
        table_print(table, stdout, output_colours(stdout));
    }
    table_free(table);
}

static void show(const ProtobufCMessage *message,
                 const ProtobufCMessage *request)
{
    const Kontor__V1__GetNodeResponse *response =
        (const Kontor__V1__GetNodeResponse *)message;

    (void)request;
    if (response->node)
        print_node(response->node);
    print_pods(response);
}

static int run(struct words *words)
{
    Kontor__V1__GetNodeRequest request = KONTOR__V1__GET_NODE_REQUEST__INIT;
    const struct ask what = {
        "GetNode", &request.base, {&request.node}, show, NULL};

    return ask(words, &what);
}

const struct verb verb_describe_node = {
    .name = "describe node",
    .summary = "Show all that is known of a node, and its pods",
    .example = "kctl describe node n1",
    .synopsis = "kctl describe node NODE [-o json]",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
