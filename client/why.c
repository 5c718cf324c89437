#include "client/ask.h"
#include "client/show.h"
#include "client/verbs.h"

#include <string.h>

static const char *const headings[] = {"NODE", "VERDICT", "WOULD FIT", NULL};

static bool is_short(const Kontor__V1__Resources *missing)
{
    return missing && (missing->cpu_milli || missing->memory_bytes ||
                       missing->disk_bytes || missing->net_bits);
}

/* "fits", "short of memory 412Mi", "cordoned" or both. */
static void add_row(struct table *table, const Kontor__V1__NodeVerdict *verdict)
{
    char missing[SHOW_REASON_MAX];
    bool short_of = is_short(verdict->short_);
    bool barred = verdict->constraint[0] != '\0';

    table_cell(table, "%s", verdict->node);
    if (!short_of && !barred) {
        table_cell_coloured(table, COLOUR_GOOD, "fits");
        table_cell(table, "%s", "");
        return;
    }
    table_cell(table, "%s%s%s%s", barred ? verdict->constraint : "",
               barred && short_of ? "; " : "", short_of ? "short of " : "",
               short_of ? show_resources(missing, verdict->short_) : "");
    table_cell(table, "%s", verdict->would_fit);
}

static void show_pod(const Kontor__V1__Pod *pod)
{
    char asked[SHOW_REASON_MAX];

    output_line(stdout, "%s  %s%s%s", pod->name,
                show_phase(show_pod_phase(pod)), pod->node[0] ? " on " : "",
                pod->node);
    output_line(stdout, "asks for %s",
                show_resources(asked, pod->spec ? pod->spec->resources : NULL));
}

static void show(const ProtobufCMessage *message,
                 const ProtobufCMessage *request)
{
    const Kontor__V1__WhyResponse *response =
        (const Kontor__V1__WhyResponse *)message;
    struct table *table = table_new(headings);

    (void)request;
    if (response->pod)
        show_pod(response->pod);
    if (response->summary[0])
        output_line(stdout, "%s", response->summary);
    for (size_t i = 0; i < response->n_verdicts; i++)
        add_row(table, response->verdicts[i]);
    if (response->n_verdicts > 0) {
        putchar('\n');
        table_print(table, stdout, output_colours(stdout));
    }
    if (response->more_nodes > 0)
        output_line(stdout, "... and %u nodes more that are no closer",
                    response->more_nodes);
    table_free(table);
}

static int run(struct words *words)
{
    Kontor__V1__WhyRequest request = KONTOR__V1__WHY_REQUEST__INIT;
    const struct ask what = {"Why", &request.base, {&request.pod}, show, NULL};

    return ask(words, &what);
}

const struct verb verb_why = {
    .name = "why",
    .summary = "Say why a pod is where it is, or is nowhere",
    .example = "kctl why web-2",
    .synopsis = "kctl why POD [-o json]",
    .details =
        "For each node, the closest first: that the pod fits, what the node "
        "is short of, or what keeps the pod off; and what would make it fit, "
        "where that is one thing.",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
