#include "base/memory.h"
#include "base/quantity.h"
#include "master/placement/preempt.h"
#include "master/placement/rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool placement_fits(const struct placement_verdict *verdict)
{
    return verdict->distance == 0 && verdict->breach == PLACEMENT_KEEPS_RULES &&
           verdict->node->closed == PLACEMENT_OPEN;
}

static struct placement_verdict judge(const struct placement_entry *entry,
                                      const struct placement_request *asked,
                                      const struct rules *rules)
{
    struct placement_verdict verdict = {.node = &entry->node};

    verdict.free = placement_room(entry);
    verdict.lacking = resources_less(&asked->want, &verdict.free);
    verdict.breach = rules_breach(rules, entry, &verdict.which);
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
    verdict.obstacles = rules_obstacles(rules, entry) + (verdict.distance > 0) +
                        (entry->node.closed != PLACEMENT_OPEN);
    return verdict;
}

enum closeness { FITS, SHORT, BREAKS_RULES, CLOSED, ELSEWHERE };

static enum closeness closeness_of(const struct placement_verdict *verdict)
{
    if (verdict->breach == PLACEMENT_ELSEWHERE)
        return ELSEWHERE;
    if (verdict->node->closed != PLACEMENT_OPEN)
        return CLOSED;
    if (verdict->breach != PLACEMENT_KEEPS_RULES)
        return BREAKS_RULES;
    return verdict->distance > 0 ? SHORT : FITS;
}

static int compare(const void *left, const void *right)
{
    const struct placement_verdict *a = left;
    const struct placement_verdict *b = right;
    enum closeness of_a = closeness_of(a), of_b = closeness_of(b);

    if ((of_a == ELSEWHERE) != (of_b == ELSEWHERE))
        return of_b == ELSEWHERE ? -1 : 1;
    if (a->obstacles != b->obstacles)
        return a->obstacles < b->obstacles ? -1 : 1;
    if (of_a != of_b)
        return of_a < of_b ? -1 : 1;
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
    struct rules rules;

    rules_init(&rules, placement, request);
    for (size_t i = 0; i < placement->count; i++)
        verdicts[i] = judge(placement->nodes[i], request, &rules);
    rules_fini(&rules);
    qsort(verdicts, placement->count, sizeof *verdicts, compare);
    *count = placement->count;
    return verdicts;
}

/* ---- what is not about room ---- */

/* Append to a text that is cut at its size. */
static void say(char *text, size_t size, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void say(char *text, size_t size, const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text + used, size - used, format, arguments);
    va_end(arguments);
}

static void say_constraint(char text[PLACEMENT_RULE_MAX],
                           const Kontor__V1__Constraint *constraint)
{
    bool single = constraint->n_values == 1;

    say(text, PLACEMENT_RULE_MAX, "%s%s", constraint->key,
        single ? (constraint->none_of ? "!=" : "=")
               : (constraint->none_of ? " not in (" : " in ("));
    for (size_t i = 0; i < constraint->n_values; i++)
        say(text, PLACEMENT_RULE_MAX, "%s%s", i > 0 ? "," : "",
            constraint->values[i]);
    if (!single)
        say(text, PLACEMENT_RULE_MAX, ")");
}

static void say_taint(char text[PLACEMENT_RULE_MAX],
                      const struct kind_pair *taint)
{
    say(text, PLACEMENT_RULE_MAX, "%s%s%s", taint->key,
        taint->value[0] ? "=" : "", taint->value);
}

static void say_breach(char text[PLACEMENT_RULE_MAX],
                       enum placement_breach breach, const void *which)
{
    switch (breach) {
    case PLACEMENT_UNABLE:
        say(text, PLACEMENT_RULE_MAX, "its knode has no %s",
            (const char *)which);
        return;
    case PLACEMENT_CONSTRAINT:
        say(text, PLACEMENT_RULE_MAX, "does not meet ");
        say_constraint(text, which);
        return;
    case PLACEMENT_TAINT:
        say(text, PLACEMENT_RULE_MAX, "taint ");
        say_taint(text, which);
        say(text, PLACEMENT_RULE_MAX, " is not tolerated");
        return;
    case PLACEMENT_NO_LABEL:
        say(text, PLACEMENT_RULE_MAX, "has no label %s to spread over",
            (const char *)which);
        return;
    case PLACEMENT_ANTI:
        say(text, PLACEMENT_RULE_MAX, "runs a pod of %s", (const char *)which);
        return;
    case PLACEMENT_AVERSE:
        say(text, PLACEMENT_RULE_MAX, "runs a pod that keeps off %s",
            (const char *)which);
        return;
    case PLACEMENT_WITHOUT:
        say(text, PLACEMENT_RULE_MAX, "runs no pod of %s", (const char *)which);
        return;
    case PLACEMENT_KEEPS_RULES:
    case PLACEMENT_ELSEWHERE:
        return;
    }
}

static const char *closed_text(enum placement_closed closed)
{
    static const char *const texts[PLACEMENT_LOST + 1] = {
        [PLACEMENT_OPEN] = "",
        [PLACEMENT_CORDONED] = "cordoned",
        [PLACEMENT_SUSPECT] = "suspect",
        [PLACEMENT_KEPT] = "kept for one that has waited long",
        [PLACEMENT_LOST] = "lost",
    };

    return texts[closed];
}

char *placement_rule_text(const struct placement_request *request,
                          const struct placement_verdict *verdict,
                          char text[PLACEMENT_RULE_MAX])
{
    text[0] = '\0';
    if (verdict->breach == PLACEMENT_ELSEWHERE) {
        say(text, PLACEMENT_RULE_MAX, "pod asks for node %s", request->node);
    } else if (verdict->node->closed != PLACEMENT_OPEN) {
        say(text, PLACEMENT_RULE_MAX, "%s", closed_text(verdict->node->closed));
    } else {
        say_breach(text, verdict->breach, verdict->which);
    }
    return text;
}

/* ---- what would help ---- */

/* The rule being the only thing that is in the way. */
static void say_without(char text[PLACEMENT_RULE_MAX],
                        enum placement_breach breach, const void *which)
{
    switch (breach) {
    case PLACEMENT_CONSTRAINT:
        say(text, PLACEMENT_RULE_MAX, "if it did not ask for ");
        say_constraint(text, which);
        return;
    case PLACEMENT_TAINT:
        say(text, PLACEMENT_RULE_MAX, "if it tolerated ");
        say_taint(text, which);
        return;
    case PLACEMENT_NO_LABEL:
        say(text, PLACEMENT_RULE_MAX, "if the node had a label %s",
            (const char *)which);
        return;
    case PLACEMENT_ANTI:
        say(text, PLACEMENT_RULE_MAX, "if it did not keep off %s",
            (const char *)which);
        return;
    case PLACEMENT_AVERSE:
        say(text, PLACEMENT_RULE_MAX, "if that pod went");
        return;
    case PLACEMENT_WITHOUT:
        say(text, PLACEMENT_RULE_MAX, "if a pod of %s were there",
            (const char *)which);
        return;
    case PLACEMENT_ELSEWHERE:
        say(text, PLACEMENT_RULE_MAX, "if it asked for no node");
        return;
    case PLACEMENT_UNABLE: /* the rule says it */
    case PLACEMENT_KEEPS_RULES:
        return;
    }
}

static const char *opened_text(enum placement_closed closed)
{
    static const char *const texts[PLACEMENT_LOST + 1] = {
        [PLACEMENT_OPEN] = "",
        [PLACEMENT_CORDONED] = "if the node were uncordoned",
        [PLACEMENT_SUSPECT] = "if the node were heard",
        [PLACEMENT_KEPT] = "if nothing were kept",
        [PLACEMENT_LOST] = "if the node came back",
    };

    return texts[closed];
}

char *placement_remedy_text(const struct placement *placement,
                            const struct placement_request *request,
                            const struct placement_verdict *verdict,
                            char text[PLACEMENT_RULE_MAX])
{
    const struct placement_node *node = verdict->node;

    text[0] = '\0';
    if (verdict->obstacles != 1)
        return text;
    if (verdict->breach != PLACEMENT_KEEPS_RULES) {
        say_without(text, verdict->breach, verdict->which);
    } else if (node->closed != PLACEMENT_OPEN) {
        say(text, PLACEMENT_RULE_MAX, "%s", opened_text(node->closed));
    } else {
        size_t pods = placement_yielding(placement, node->id, request);

        if (pods > 0)
            say(text, PLACEMENT_RULE_MAX, "if %zu pod%s of lower priority went",
                pods, pods == 1 ? "" : "s");
    }
    return text;
}

/* ---- the summary ---- */

/* All verdicts counted. A node that is short counts once, where it is worst
 * off. */
struct tally {
    unsigned short_nodes[RESOURCE_COUNT];
    struct placement_verdict best[RESOURCE_COUNT]; /* of those, the closest */
    unsigned closed[PLACEMENT_LOST + 1];
    unsigned breaches[PLACEMENT_WITHOUT + 1];
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

    if (verdict->breach == PLACEMENT_ELSEWHERE)
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
    } else if (verdict->breach != PLACEMENT_KEEPS_RULES) {
        tally->breaches[verdict->breach]++;
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

/* No node could hold it even when empty. */
static void say_never(char text[PLACEMENT_SUMMARY_MAX],
                      const struct placement_request *asked,
                      const struct tally *tally)
{
    const char *join = "asks ";

    say(text, PLACEMENT_SUMMARY_MAX, "no node could ever hold it: ");
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        enum resource_kind kind = (enum resource_kind)i;
        char wanted[QUANTITY_TEXT_MAX];
        char largest[QUANTITY_TEXT_MAX];

        if (asked->want.amount[i] <= tally->largest.amount[i])
            continue;
        say(text, PLACEMENT_SUMMARY_MAX, "%s%s %s, ", join,
            amount_text(wanted, kind, asked->want.amount[i]),
            resource_name(kind));
        join = "; ";
        if (tally->largest.amount[i] == 0) /* a card that does not say */
            say(text, PLACEMENT_SUMMARY_MAX, "%s offers %s (knode --%s)",
                asked->node[0] ? asked->node : "no node",
                asked->node[0] ? "none" : "any",
                kind == RESOURCE_MEMORY ? "mem" : resource_name(kind));
        else
            say(text, PLACEMENT_SUMMARY_MAX, "%s has %s",
                asked->node[0] ? asked->node : "the largest node",
                amount_text(largest, kind, tally->largest.amount[i]));
    }
    if (strcmp(join, "asks ") == 0)
        say(text, PLACEMENT_SUMMARY_MAX,
            "none has all that it asks for together");
}

static const char *breach_text(enum placement_breach breach)
{
    static const char *const texts[PLACEMENT_WITHOUT + 1] = {
        [PLACEMENT_UNABLE] = "whose knode is too old or unable",
        [PLACEMENT_CONSTRAINT] = "with other labels",
        [PLACEMENT_TAINT] = "tainted",
        [PLACEMENT_NO_LABEL] = "without the label to spread over",
        [PLACEMENT_ANTI] = "run what it keeps off",
        [PLACEMENT_AVERSE] = "run what keeps off it",
        [PLACEMENT_WITHOUT] = "without what it wants by it",
    };

    return texts[breach];
}

static void say_short(char text[PLACEMENT_SUMMARY_MAX],
                      const struct tally *tally)
{
    const char *join = "";

    for (int i = 0; i < RESOURCE_COUNT; i++) {
        enum resource_kind kind = (enum resource_kind)i;
        const struct placement_verdict *best = &tally->best[i];
        unsigned nodes = tally->short_nodes[i];
        char left[QUANTITY_TEXT_MAX];

        if (nodes == 0)
            continue;
        say(text, PLACEMENT_SUMMARY_MAX,
            "%s%s short on %u node%s (best %s, %s)", join, resource_name(kind),
            nodes, nodes == 1 ? "" : "s", best->node->name,
            amount_text(left, kind, best->free.amount[i]));
        join = ", ";
    }
    for (int i = PLACEMENT_UNABLE; i <= PLACEMENT_WITHOUT; i++) {
        if (tally->breaches[i] == 0)
            continue;
        say(text, PLACEMENT_SUMMARY_MAX, "%s%u %s", join, tally->breaches[i],
            breach_text((enum placement_breach)i));
        join = ", ";
    }
    for (int i = PLACEMENT_CORDONED; i <= PLACEMENT_LOST; i++) {
        if (tally->closed[i] == 0)
            continue;
        say(text, PLACEMENT_SUMMARY_MAX, "%s%u %s", join, tally->closed[i],
            closed_text((enum placement_closed)i));
        join = ", ";
    }
}

char *placement_summarise(const struct placement *placement,
                          const struct placement_request *request,
                          char text[PLACEMENT_SUMMARY_MAX])
{
    struct tally tally = {0};
    struct rules rules;

    rules_init(&rules, placement, request);
    for (size_t i = 0; i < placement->count; i++) {
        struct placement_verdict verdict =
            judge(placement->nodes[i], request, &rules);

        count_one(&tally, request, &verdict);
    }
    rules_fini(&rules);
    text[0] = '\0';
    if (tally.fit.node) {
        say(text, PLACEMENT_SUMMARY_MAX, "fits on %s", tally.fit.node->name);
    } else if (placement->count == 0) {
        say(text, PLACEMENT_SUMMARY_MAX, "no node is registered");
    } else if (tally.considered == 0) {
        say(text, PLACEMENT_SUMMARY_MAX,
            "asks for node %s, which is not registered", request->node);
    } else if (!tally.holdable) {
        say_never(text, request, &tally);
    } else {
        if (request->node[0])
            say(text, PLACEMENT_SUMMARY_MAX,
                "asks for node %s: ", request->node);
        say_short(text, &tally);
    }
    return text;
}
