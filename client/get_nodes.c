#include "base/clock.h"
#include "client/ask.h"
#include "client/show.h"
#include "client/verbs.h"

#include <string.h>

#define HEADINGS \
    "NAME", "STATUS", "CPU", "MEM", "DISK", "NET", "PODS", "ADDRESS", "AGE"

static const char *const headings[] = {HEADINGS, NULL};
static const char *const headings_labelled[] = {HEADINGS, "LABELS", "TAINTS",
                                                NULL};

typedef char *amount_cb(char text[QUANTITY_TEXT_MAX], uint64_t amount);

/* "0.5/4": what is given away of what there is. */
static void add_share(struct table *table, amount_cb *format, uint64_t used,
                      uint64_t total)
{
    char used_text[QUANTITY_TEXT_MAX];
    char total_text[QUANTITY_TEXT_MAX];

    table_cell(table, "%s/%s", format(used_text, used),
               format(total_text, total));
}

static void add_row(struct table *table, const Kontor__V1__NodeInfo *node,
                    uint64_t now_ms, bool labelled)
{
    static const Kontor__V1__Resources none = KONTOR__V1__RESOURCES__INIT;
    const Kontor__V1__Resources *used =
        node->allocated ? node->allocated : &none;
    const Kontor__V1__Resources *total =
        node->capacity ? node->capacity : &none;
    char age[QUANTITY_TEXT_MAX];
    char labels[SHOW_REASON_MAX];

    table_cell(table, "%s", node->name);
    table_cell_coloured(table, show_node_colour(node), show_node_status(node));
    add_share(table, quantity_format_cpu, used->cpu_milli, total->cpu_milli);
    add_share(table, quantity_format_bytes, used->memory_bytes,
              total->memory_bytes);
    add_share(table, quantity_format_bytes, used->disk_bytes,
              total->disk_bytes);
    add_share(table, quantity_format_net, used->net_bits, total->net_bits);
    table_cell(table, "%u", node->pods);
    table_cell(table, "%s", node->address);
    table_cell(table, "%s", show_age(age, now_ms, node->registered_at_ms));
    if (!labelled)
        return;
    table_cell(table, "%s", show_labels(labels, node->labels, node->n_labels));
    table_cell(table, "%s", show_labels(labels, node->taints, node->n_taints));
}

/* n2 before n10. */
static int by_name(const void *a, const void *b)
{
    const Kontor__V1__NodeInfo *const *first = a;
    const Kontor__V1__NodeInfo *const *second = b;

    return strverscmp((*first)->name, (*second)->name);
}

/* Where nobody labels nodes, there is nothing to show of it. */
static bool any_is_labelled(const Kontor__V1__ListNodesResponse *response)
{
    char labels[SHOW_REASON_MAX];

    for (size_t i = 0; i < response->n_nodes; i++) {
        const Kontor__V1__NodeInfo *node = response->nodes[i];

        show_labels(labels, node->labels, node->n_labels);
        if (strcmp(labels, "-") != 0 || node->n_taints > 0)
            return true;
    }
    return false;
}

static void show(const ProtobufCMessage *message,
                 const ProtobufCMessage *request)
{
    const Kontor__V1__ListNodesResponse *response =
        (const Kontor__V1__ListNodesResponse *)message;
    bool labelled = any_is_labelled(response);
    struct table *table = table_new(labelled ? headings_labelled : headings);
    uint64_t now_ms = clock_wall_ms();

    (void)request;
    if (response->n_nodes > 0)
        qsort(response->nodes, response->n_nodes, sizeof(void *), by_name);
    for (size_t i = 0; i < response->n_nodes; i++)
        add_row(table, response->nodes[i], now_ms, labelled);
    if (response->n_nodes > 0)
        table_print(table, stdout, output_colours(stdout));
    else
        fprintf(stderr, "no nodes have registered yet\n");
    table_free(table);
}

static int run(struct words *words)
{
    Kontor__V1__ListNodesRequest request = KONTOR__V1__LIST_NODES_REQUEST__INIT;
    const struct ask what = {"ListNodes", &request.base, {NULL}, show, NULL};

    return ask(words, &what);
}

const struct verb verb_get_nodes = {
    .name = "get nodes",
    .summary = "List the nodes and what is given away of each",
    .example = "kctl get nodes",
    .synopsis = "kctl get nodes [-o json]",
    .run = run,
};
