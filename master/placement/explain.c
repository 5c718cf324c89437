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

/* All but how many obstacles there are. */
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
    for (size_t i = 0; i < placement->count; i++) {
        const struct placement_entry *entry = placement->nodes[i];
        struct placement_verdict *verdict = &verdicts[i];

        *verdict = judge(entry, request, &rules);
        verdict->obstacles = rules_obstacles(&rules, entry) +
                             (verdict->distance > 0) +
                             (entry->node.closed != PLACEMENT_OPEN);
    }
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

/* What is said of a rule: what broke it stands between the two, or nothing does
 * where the second is missing. */
struct phrase {
    const char *before;
    const char *after;
};

static const struct {
    struct phrase rule;   /* of a node that breaks it */
    struct phrase remedy; /* where it is the only thing that is in the way */
    const char *many;     /* of so many nodes */
} breaches[] = {
    [PLACEMENT_KEEPS_RULES] = {{"", NULL}, {"", NULL}, ""},
    [PLACEMENT_ELSEWHERE] = {{"pod asks for node ", ""},
                             {"if it asked for no node", NULL},
                             ""},
    [PLACEMENT_UNABLE] = {{"its knode has no ", ""},
                          {"", NULL}, /* the rule says it */
                          "whose knode is too old or unable"},
    [PLACEMENT_CONSTRAINT] = {{"does not meet ", ""},
                              {"if it did not ask for ", ""},
                              "with other labels"},
    [PLACEMENT_TAINT] = {{"taint ", " is not tolerated"},
                         {"if it tolerated ", ""},
                         "tainted"},
    [PLACEMENT_NO_LABEL] = {{"has no label ", " to spread over"},
                            {"if the node had a label ", ""},
                            "without the label to spread over"},
    [PLACEMENT_ANTI] = {{"runs a pod of ", ""},
                        {"if it did not keep off ", ""},
                        "run what it keeps off"},
    [PLACEMENT_AVERSE] = {{"runs a pod that keeps off ", ""},
                          {"if that pod went", NULL},
                          "run what keeps off it"},
    [PLACEMENT_WITHOUT] = {{"runs no pod of ", ""},
                           {"if a pod of ", " were there"},
                           "without what it wants by it"},
};

static const struct {
    const char *rule; /* of one node, and of so many */
    const char *remedy;
} closings[] = {
    [PLACEMENT_OPEN] = {"", ""},
    [PLACEMENT_CORDONED] = {"cordoned", "if the node were uncordoned"},
    [PLACEMENT_SUSPECT] = {"suspect", "if the node were heard"},
    [PLACEMENT_KEPT] = {"kept for one that has waited long",
                        "if nothing were kept"},
    [PLACEMENT_LOST] = {"lost", "if the node came back"},
};

static void say_phrase(char text[PLACEMENT_RULE_MAX],
                       const struct phrase *phrase,
                       const struct placement_request *request,
                       const struct placement_verdict *verdict)
{
    say(text, PLACEMENT_RULE_MAX, "%s", phrase->before);
    if (!phrase->after)
        return;
    if (verdict->breach == PLACEMENT_CONSTRAINT)
        say_constraint(text, verdict->which);
    else if (verdict->breach == PLACEMENT_TAINT)
        say_taint(text, verdict->which);
    else
        say(text, PLACEMENT_RULE_MAX, "%s",
            verdict->breach == PLACEMENT_ELSEWHERE
                ? request->node
                : (const char *)verdict->which);
    say(text, PLACEMENT_RULE_MAX, "%s", phrase->after);
}

char *placement_rule_text(const struct placement_request *request,
                          const struct placement_verdict *verdict,
                          char text[PLACEMENT_RULE_MAX])
{
    text[0] = '\0';
    if (verdict->node->closed != PLACEMENT_OPEN &&
        verdict->breach != PLACEMENT_ELSEWHERE)
        say(text, PLACEMENT_RULE_MAX, "%s",
            closings[verdict->node->closed].rule);
    else
        say_phrase(text, &breaches[verdict->breach].rule, request, verdict);
    return text;
}

/* ---- what would help ---- */

char *placement_remedy_text(const struct placement *placement,
                            const struct placement_request *request,
                            const struct placement_verdict *verdict,
                            uint64_t *looks_left, char text[PLACEMENT_RULE_MAX])
{
    const struct placement_node *node = verdict->node;
    size_t pods;

    text[0] = '\0';
    if (verdict->obstacles != 1)
        return text;
    say_phrase(text, &breaches[verdict->breach].remedy, request, verdict);
    say(text, PLACEMENT_RULE_MAX, "%s", closings[node->closed].remedy);
    if (verdict->distance == 0)
        return text;
    pods = placement_yielding(placement, node->id, request, looks_left);
    if (pods > 0)
        say(text, PLACEMENT_RULE_MAX, "if %zu pod%s of lower priority went",
            pods, pods == 1 ? "" : "s");
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
            breaches[i].many);
        join = ", ";
    }
    for (int i = PLACEMENT_CORDONED; i <= PLACEMENT_LOST; i++) {
        if (tally->closed[i] == 0)
            continue;
        say(text, PLACEMENT_SUMMARY_MAX, "%s%u %s", join, tally->closed[i],
            closings[i].rule);
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
