#include "base/memory.h"
#include "base/quantity.h"
#include "master/placement/index.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool placement_fits(const struct placement_verdict *verdict)
{
    return verdict->distance == 0 && !verdict->elsewhere &&
           verdict->node->closed == PLACEMENT_OPEN;
}

struct placement_verdict placement_judge(const struct placement_entry *entry,
                                         const struct placement_request *asked)
{
    struct placement_verdict verdict = {.node = &entry->node};

    verdict.free = resources_less(&entry->node.free, &entry->reserved);
    verdict.lacking = resources_less(&asked->want, &verdict.free);
    verdict.elsewhere =
        asked->node[0] != '\0' && strcmp(asked->node, entry->node.name) != 0;
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint64_t lacking = verdict.lacking.amount[i];
        uint32_t share = resource_share(lacking, asked->want.amount[i]);

        if (lacking > 0 && share == 0)
            share = 1; /* short is short, however little */
        if (share > verdict.distance) {
            verdict.distance = share;
            verdict.worst = (enum resource_kind)i;
        }
    }
    return verdict;
}

/* Fits, short, closed, elsewhere. */
static int class_of(const struct placement_verdict *verdict)
{
    if (verdict->elsewhere)
        return 3;
    if (verdict->node->closed != PLACEMENT_OPEN)
        return 2;
    return verdict->distance > 0 ? 1 : 0;
}

static int compare(const void *left, const void *right)
{
    const struct placement_verdict *a = left;
    const struct placement_verdict *b = right;
    int by_class = class_of(a) - class_of(b);

    if (by_class != 0)
        return by_class;
    if (a->distance != b->distance)
        return a->distance < b->distance ? -1 : 1;
    return a->node->id < b->node->id ? -1 : a->node->id > b->node->id;
}

struct placement_verdict *
placement_explain(const struct placement *placement,
                  const struct placement_request *request, size_t *count)
{
    struct placement_verdict *verdicts =
        memory_array(placement->count + 1, sizeof *verdicts);

    for (size_t i = 0; i < placement->count; i++)
        verdicts[i] = placement_judge(placement->nodes[i], request);
    qsort(verdicts, placement->count, sizeof *verdicts, compare);
    *count = placement->count;
    return verdicts;
}

/* ---- the summary ---- */

/* All verdicts counted. A node that is short counts once, where it is worst
 * off. */
struct tally {
    unsigned short_nodes[RESOURCE_COUNT];
    struct placement_verdict best[RESOURCE_COUNT]; /* of those, the closest */
    unsigned closed[PLACEMENT_LOST + 1];
    struct placement_verdict fit; /* .node NULL: none fits */
    struct resources largest;     /* in each dimension by itself */
    unsigned considered;          /* nodes that are not elsewhere */
    bool holdable;                /* some node would hold it, were it empty */
};

static void count_one(struct tally *tally,
                      const struct placement_request *asked,
                      const struct placement_verdict *verdict)
{
    const struct placement_node *node = verdict->node;

    if (verdict->elsewhere)
        return;
    tally->considered++;
    if (resources_fit(&node->capacity, &asked->want))
        tally->holdable = true;
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        if (node->capacity.amount[i] > tally->largest.amount[i])
            tally->largest.amount[i] = node->capacity.amount[i];
    }
    if (node->closed != PLACEMENT_OPEN) {
        tally->closed[node->closed]++;
    } else if (verdict->distance == 0) {
        if (!tally->fit.node)
            tally->fit = *verdict;
    } else {
        unsigned *seen = &tally->short_nodes[verdict->worst];
        struct placement_verdict *best = &tally->best[verdict->worst];

        if (*seen == 0 || verdict->distance < best->distance)
            *best = *verdict;
        ++*seen;
    }
}

static char *amount_text(char text[QUANTITY_TEXT_MAX], enum resource_kind kind,
                         uint64_t amount)
{
    switch (kind) {
    case RESOURCE_CPU:
        return quantity_format_cpu(text, amount);
    case RESOURCE_NET:
        return quantity_format_net(text, amount);
    case RESOURCE_MEMORY:
    case RESOURCE_DISK:
    case RESOURCE_COUNT:
        break;
    }
    return quantity_format_bytes(text, amount);
}

/* Append to a summary that is cut at its size. */
static void say(char text[PLACEMENT_SUMMARY_MAX], const char *format, ...)
    PRINTF_LIKE(2, 3);

static void say(char text[PLACEMENT_SUMMARY_MAX], const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + used, PLACEMENT_SUMMARY_MAX - used, format, arguments);
    va_end(arguments);
}

/* No node could hold it even when empty. */
static void say_never(char text[PLACEMENT_SUMMARY_MAX],
                      const struct placement_request *asked,
                      const struct tally *tally)
{
    const char *join = "asks ";

    say(text, "no node could ever hold it: ");
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        enum resource_kind kind = (enum resource_kind)i;
        char wanted[QUANTITY_TEXT_MAX];
        char largest[QUANTITY_TEXT_MAX];

        if (asked->want.amount[i] <= tally->largest.amount[i])
            continue;
        say(text, "%s%s %s, %s has %s", join,
            amount_text(wanted, kind, asked->want.amount[i]),
            resource_name(kind),
            asked->node[0] ? asked->node : "the largest node",
            amount_text(largest, kind, tally->largest.amount[i]));
        join = "; ";
    }
    if (strcmp(join, "asks ") == 0)
        say(text, "none has all that it asks for together");
}

static void say_short(char text[PLACEMENT_SUMMARY_MAX],
                      const struct tally *tally)
{
    static const char *const closed[PLACEMENT_LOST + 1] = {
        [PLACEMENT_CORDONED] = "cordoned",
        [PLACEMENT_SUSPECT] = "suspect",
        [PLACEMENT_LOST] = "lost",
    };
    const char *join = "";

    for (int i = 0; i < RESOURCE_COUNT; i++) {
        enum resource_kind kind = (enum resource_kind)i;
        const struct placement_verdict *best = &tally->best[i];
        unsigned nodes = tally->short_nodes[i];
        char left[QUANTITY_TEXT_MAX];

        if (nodes == 0)
            continue;
        say(text, "%s%s short on %u node%s (best %s, %s)", join,
            resource_name(kind), nodes, nodes == 1 ? "" : "s", best->node->name,
            amount_text(left, kind, best->free.amount[i]));
        join = ", ";
    }
    for (int i = PLACEMENT_CORDONED; i <= PLACEMENT_LOST; i++) {
        if (tally->closed[i] == 0)
            continue;
        say(text, "%s%u %s", join, tally->closed[i], closed[i]);
        join = ", ";
    }
}

char *placement_summarise(const struct placement *placement,
                          const struct placement_request *request,
                          char text[PLACEMENT_SUMMARY_MAX])
{
    struct tally tally = {0};

    for (size_t i = 0; i < placement->count; i++) {
        struct placement_verdict verdict =
            placement_judge(placement->nodes[i], request);

        count_one(&tally, request, &verdict);
    }
    text[0] = '\0';
    if (tally.fit.node) {
        say(text, "fits on %s", tally.fit.node->name);
    } else if (placement->count == 0) {
        say(text, "no node is registered");
    } else if (tally.considered == 0) {
        say(text, "asks for node %s, which is not registered", request->node);
    } else if (!tally.holdable) {
        say_never(text, request, &tally);
    } else {
        if (request->node[0])
            say(text, "asks for node %s: ", request->node);
        say_short(text, &tally);
    }
    return text;
}
