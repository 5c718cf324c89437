#include "base/memory.h"
#include "base/quantity.h"
#include "client/json.h"
#include "client/output.h"
#include "client/show.h"
#include "client/top.h"
#include "client/verbs.h"

static const char *const headings[] = {"NAME", "STATUS", "CPU",  "MEM",
                                       "DISK", "NET",    "PODS", NULL};

static void add_row(struct table *table, const struct top_node *node)
{
    static const Kontor__V1__Resources none = KONTOR__V1__RESOURCES__INIT;
    const Kontor__V1__NodeInfo *info = node->info;
    const Kontor__V1__Resources *total =
        info->capacity ? info->capacity : &none;
    struct top_use use = top_sum(node);

    table_cell(table, "%s", info->name);
    table_cell_coloured(table, show_node_colour(info), show_node_status(info));
    top_cell(table, quantity_format_cpu, use.cpu_milli, total->cpu_milli);
    top_cell(table, quantity_format_bytes, use.memory_bytes,
             total->memory_bytes);
    top_cell(table, quantity_format_bytes, use.disk_bytes, total->disk_bytes);
    top_cell(table, quantity_format_net, top_net_bits(&use), total->net_bits);
    table_cell(table, "%u", info->pods);
}

static void print_table(const struct top *top)
{
    struct table *table = table_new(headings);

    for (size_t i = 0; i < top->count; i++)
        if (!top->nodes[i].trouble.code)
            add_row(table, &top->nodes[i]);
    table_print(table, stdout, output_colours(stdout));
    table_free(table);
}

static void print_json(const struct top *top)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < top->count; i++) {
        const struct top_node *node = &top->nodes[i];
        struct top_use use = top_sum(node);

        if (!node->trouble.code)
            json_array_append_new(
                rows, json_pack("{s:s, s:o, s:o}", "name", node->info->name,
                                "used", top_json(&use), "node",
                                json_of_message(&node->info->base)));
    }
    output_json(json_pack("{s:o}", "nodes", rows));
}

static int show(struct top *top, struct contact *contact, bool json,
                struct error *why)
{
    (void)contact;
    (void)why;
    top_complain(top);
    if (json)
        print_json(top);
    else
        print_table(top);
    return 0;
}

static int run(struct words *words)
{
    return top_run(words, show);
}

const struct verb verb_top_nodes = {
    .name = "top nodes",
    .summary = "Show what the pods of each node use of what it offers",
    .example = "kctl top nodes",
    .synopsis = "kctl top nodes [-o json]",
    .run = run,
};
