#include "client/top.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/quantity.h"
#include "client/exit.h"
#include "client/output.h"

#include <string.h>

enum { BETWEEN_MS = 1000 };

#define NS_PER_MILLI_CPU 1000000 /* of a second in which one core is busy */
#define NS_PER_S UINT64_C(1000000000)

/* ---- asking -------------------------------------------------------------- */

/* One node's counts. A node that does not answer keeps none of the others
 * from being shown. */
static int ask_node(struct contact *contact, struct top_node *node,
                    ProtobufCMessage **out, struct error *why)
{
    Kontor__V1__UsageRequest request = KONTOR__V1__USAGE_REQUEST__INIT;

    if (node->trouble.code || node->info->pods == 0)
        return 0;
    request.node = node->info->name;
    if (contact_call(contact, "Usage", &request.base, out, &node->trouble) !=
            0 &&
        node->trouble.code == ERROR_CANCELLED) {
        *why = node->trouble;
        return (int)why->code;
    }
    return 0;
}

static int list_nodes(struct top *top, struct contact *contact,
                      struct error *why)
{
    Kontor__V1__ListNodesRequest request = KONTOR__V1__LIST_NODES_REQUEST__INIT;
    Kontor__V1__ListNodesResponse *list;

    if (contact_call(contact, "ListNodes", &request.base, &top->listing, why) !=
        0)
        return (int)why->code;
    list = (Kontor__V1__ListNodesResponse *)top->listing;
    top->count = list->n_nodes;
    top->nodes = memory_array(top->count + 1, sizeof *top->nodes);
    for (size_t i = 0; i < top->count; i++)
        top->nodes[i].info = list->nodes[i];
    return 0;
}

static int wait_until(struct contact *contact, uint64_t until_ms,
                      struct error *why)
{
    int code;

    do
        code = contact_wait(contact, until_ms, why);
    while (code == 0);
    return code == ERROR_DEADLINE_EXCEEDED ? 0 : code;
}

static int measure(struct top *top, struct contact *contact, struct error *why)
{
    uint64_t until_ms;

    *top = (struct top){0};
    if (list_nodes(top, contact, why) != 0)
        return (int)why->code;
    until_ms = clock_monotonic_ms() + BETWEEN_MS;
    for (size_t i = 0; i < top->count; i++)
        if (ask_node(contact, &top->nodes[i], &top->nodes[i].before, why) != 0)
            return (int)why->code;
    if (wait_until(contact, until_ms, why) != 0)
        return (int)why->code;
    for (size_t i = 0; i < top->count; i++)
        if (ask_node(contact, &top->nodes[i], &top->nodes[i].after, why) != 0)
            return (int)why->code;
    return 0;
}

static void top_fini(struct top *top)
{
    for (size_t i = 0; i < top->count; i++) {
        message_free(top->nodes[i].before);
        message_free(top->nodes[i].after);
    }
    free(top->nodes);
    message_free(top->listing);
    *top = (struct top){0};
}

/* ---- two counts make a rate ---------------------------------------------- */

static const Kontor__V1__PodUsage *find(const ProtobufCMessage *message,
                                        uint64_t pod_id)
{
    const Kontor__V1__UsageResponse *usage =
        (const Kontor__V1__UsageResponse *)message;

    for (size_t i = 0; usage && i < usage->n_pods; i++)
        if (usage->pods[i]->pod_id == pod_id)
            return usage->pods[i];
    return NULL;
}

/* What was added per second, in `units` of a count. Counts that fell began
 * anew. */
static uint64_t rate(uint64_t before, uint64_t after, uint64_t passed_ns,
                     double units)
{
    uint64_t added = after >= before ? after - before : after;

    if (passed_ns == 0)
        return 0;
    return (uint64_t)((double)added * units * (double)NS_PER_S /
                          (double)passed_ns +
                      0.5);
}

static struct top_use use_of(const struct top_node *node,
                             const Kontor__V1__PodUsage *now)
{
    const Kontor__V1__UsageResponse *before =
        (const Kontor__V1__UsageResponse *)node->before;
    const Kontor__V1__UsageResponse *after =
        (const Kontor__V1__UsageResponse *)node->after;
    const Kontor__V1__PodUsage *then = find(node->before, now->pod_id);
    struct top_use use = {.pod_id = now->pod_id,
                          .memory_bytes = now->memory_bytes,
                          .disk_bytes = now->disk_bytes};
    uint64_t passed_ns;

    if (!then || after->measured_ns <= before->measured_ns)
        return use; /* it has only just come */
    passed_ns = after->measured_ns - before->measured_ns;
    use.cpu_milli =
        rate(then->cpu_ns, now->cpu_ns, passed_ns, 1.0 / NS_PER_MILLI_CPU);
    use.net_in_bits = rate(then->net_in_bytes, now->net_in_bytes, passed_ns, 8);
    use.net_out_bits =
        rate(then->net_out_bytes, now->net_out_bytes, passed_ns, 8);
    return use;
}

bool top_find(const struct top *top, const char *node, uint64_t pod_id,
              struct top_use *out)
{
    for (size_t i = 0; i < top->count; i++) {
        const Kontor__V1__PodUsage *now;

        if (strcmp(top->nodes[i].info->name, node) != 0)
            continue;
        now = find(top->nodes[i].after, pod_id);
        if (now)
            *out = use_of(&top->nodes[i], now);
        return now != NULL;
    }
    return false;
}

struct top_use top_sum(const struct top_node *node)
{
    const Kontor__V1__UsageResponse *after =
        (const Kontor__V1__UsageResponse *)node->after;
    struct top_use sum = {0};

    for (size_t i = 0; after && i < after->n_pods; i++) {
        struct top_use use = use_of(node, after->pods[i]);

        sum.cpu_milli += use.cpu_milli;
        sum.memory_bytes += use.memory_bytes;
        sum.disk_bytes += use.disk_bytes;
        sum.net_in_bits += use.net_in_bits;
        sum.net_out_bits += use.net_out_bits;
    }
    return sum;
}

/* ---- telling ------------------------------------------------------------- */

json_t *top_json(const struct top_use *use)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "cpu_milli",
                     (json_int_t)use->cpu_milli, "memory_bytes",
                     (json_int_t)use->memory_bytes, "disk_bytes",
                     (json_int_t)use->disk_bytes, "net_in_bits",
                     (json_int_t)use->net_in_bits, "net_out_bits",
                     (json_int_t)use->net_out_bits);
}

void top_complain(const struct top *top)
{
    for (size_t i = 0; i < top->count; i++)
        if (top->nodes[i].trouble.code)
            output_line(stderr, "%s is not measured: %s",
                        top->nodes[i].info->name,
                        top->nodes[i].trouble.message);
}

void top_cell(struct table *table, top_amount_cb *format, uint64_t used,
              uint64_t asked)
{
    char used_text[QUANTITY_TEXT_MAX];
    char asked_text[QUANTITY_TEXT_MAX];

    table_cell(table, "%s/%s", format(used_text, used),
               asked ? format(asked_text, asked) : "-");
}

uint64_t top_net_bits(const struct top_use *use)
{
    return use->net_in_bits > use->net_out_bits ? use->net_in_bits
                                                : use->net_out_bits;
}

int top_run(struct words *words, top_show_cb *show)
{
    struct contact_options to = {.timeout_ms = CONTACT_TIMEOUT_MS};
    const char *format = NULL;
    const struct option options[] = {
        OUTPUT_OPTION(&format), CONTACT_OPTIONS(&to), {0}};
    struct contact *contact;
    struct error why;
    struct top top;
    bool json;
    int code;

    if (!verb_parse(words, options) || !output_is_json(words, format, &json))
        return words->exit_code;
    if (contact_open(&contact, &to, &why) != 0)
        return exit_report(&why);
    code = measure(&top, contact, &why);
    if (code == 0)
        code = show(&top, contact, json, &why);
    top_fini(&top);
    contact_close(contact);
    return code == 0 ? EXIT_CODE_DONE : exit_report(&why);
}
