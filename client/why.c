#include "client/ask.h"
#include "client/show.h"
#include "client/verbs.h"

#include <string.h>

static const char *const headings[] = {"NODE", "VERDICT", NULL};

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
        return;
    }
    table_cell(table, "%s%s%s%s", barred ? verdict->constraint : "",
               barred && short_of ? "; " : "", short_of ? "short of " : "",
               short_of ? show_resources(missing, verdict->short_) : "");
}

static void show_pod(const Kontor__V1__Pod *pod)
{
    char reason[SHOW_REASON_MAX];

    printf("%s  %s", pod->name, show_phase(show_pod_phase(pod)));
    if (pod->node[0])
        printf(" on %s", pod->node);
    printf("\nasks for %s\n",
           show_resources(reason, pod->spec ? pod->spec->resources : NULL));
}

static void show(const ProtobufCMessage *message, void *data)
{
    const Kontor__V1__WhyResponse *response =
        (const Kontor__V1__WhyResponse *)message;
    struct table *table = table_new(headings);

    (void)data;
    if (response->pod)
        show_pod(response->pod);
    if (response->summary[0])
        printf("%s\n", terminal_clean(response->summary));
    for (size_t i = 0; i < response->n_verdicts; i++)
        add_row(table, response->verdicts[i]);
    if (response->n_verdicts > 0) {
        putchar('\n');
        table_print(table, stdout, output_colours(stdout));
    }
    table_free(table);
}

static int run(struct words *words)
{
    Kontor__V1__WhyRequest request = KONTOR__V1__WHY_REQUEST__INIT;
    struct contact_options to = {.timeout_ms = CONTACT_TIMEOUT_MS};
    struct ask what = {.method = "Why", .request = &request.base, .show = show};
    const char *format = NULL;
    const struct option options[] = {
        OUTPUT_OPTION(&format), CONTACT_OPTIONS(&to), {0}};

    if (!verb_parse(words, options) ||
        !output_is_json(words, format, &what.json))
        return words->exit_code;
    request.pod = words->operands.values[0];
    return ask(&to, &what);
}

const struct verb verb_why = {
    .name = "why",
    .summary = "Say why a pod is where it is, or is nowhere",
    .example = "kctl why web-2",
    .synopsis = "kctl why POD [-o json]",
    .details = "For each node: that the pod fits, what the node is short of, "
               "or what keeps the pod off.",
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
