#include "master/placement/rules.h"

#include "base/feature.h"
#include "base/memory.h"

#include <string.h>

/* Beyond as many kinds several share a bit, and each node is looked at. */
enum { KINDS_TOLD_APART = 64 };

static const char *const spread_host = "host";

static bool labels_matter(const struct rules *rules)
{
    const Kontor__V1__PodSpec *spec = rules->spec;

    return rules->all_kinds->tainted > 0 || rules->features != 0 ||
           (spec && (spec->n_constraints > 0 || spec->spread[0] != '\0'));
}

static bool can_spread(const struct rules *rules, const struct kind *kind)
{
    const Kontor__V1__PodSpec *spec = rules->spec;

    return !spec || spec->spread[0] == '\0' || rules->spread_hosts ||
           kind_label(kind, spec->spread);
}

/* What of its rules a node breaks by its kind. */
static enum placement_breach kind_breach(const struct rules *rules,
                                         const struct kind *kind,
                                         const void **which)
{
    const Kontor__V1__PodSpec *spec = rules->spec;
    uint32_t unable = rules->features & kind->lacking;

    if (unable != 0) {
        *which = feature_label((enum feature)__builtin_ctz(unable));
        return PLACEMENT_UNABLE;
    }
    *which = kind_breaks(kind, spec);
    if (*which)
        return PLACEMENT_CONSTRAINT;
    *which = kind_repels(kind, spec);
    if (*which)
        return PLACEMENT_TAINT;
    if (can_spread(rules, kind))
        return PLACEMENT_KEEPS_RULES;
    *which = spec->spread;
    return PLACEMENT_NO_LABEL;
}

static void find_kinds(struct rules *rules)
{
    const struct kinds *kinds = rules->all_kinds;

    rules->kinds = UINT64_MAX;
    if (!labels_matter(rules) || kinds->count > KINDS_TOLD_APART)
        return;
    rules->kinds = 0;
    for (uint32_t i = 0; i < kinds->count; i++) {
        const struct kind *kind = kinds->all[i];
        const void *which;

        if (kind && kind_breach(rules, kind, &which) == PLACEMENT_KEEPS_RULES)
            rules->kinds |= kind_bit(kind);
    }
}

static void find_apps(struct rules *rules, const struct presences *presences)
{
    const Kontor__V1__PodSpec *spec = rules->spec;

    for (size_t i = 0; i < spec->n_anti && i < PLACEMENT_APPS_MAX; i++)
        rules->anti[i] =
            presences_find(presences, PRESENCE_PODS, spec->anti[i]);
    for (size_t i = 0; i < spec->n_with && i < PLACEMENT_APPS_MAX; i++)
        rules->with[i] =
            presences_find(presences, PRESENCE_PODS, spec->with[i]);
    if (presences->averse > 0)
        rules->averse = presences_find(presences, PRESENCE_AVERSE, spec->app);
    rules->apps = spec->n_anti > 0 || spec->n_with > 0 || rules->averse;
}

/* Pods of the app by the value of a label. */
static void count_around(struct rules *rules, const struct placement *placement)
{
    rules->groups = kinds_group(rules->all_kinds, rules->spec->spread);
    rules->around =
        memory_array(rules->groups->count + 1, sizeof *rules->around);
    for (uint32_t i = 0; rules->own && i < rules->own->slot_count; i++) {
        const struct presence_slot *slot = &rules->own->slots[i];

        if (slot->count > 0)
            rules->around[rules->groups
                              ->of[placement->kind_numbers[slot->node - 1]]] +=
                slot->count;
    }
}

/* All that a node itself is asked for, whoever is on it. */
static struct rules label_rules(const struct placement *placement,
                                const Kontor__V1__PodSpec *spec,
                                const char *node)
{
    return (struct rules){.all_kinds = &placement->kinds,
                          .spec = spec,
                          .node = node,
                          .features = features_asked(spec),
                          .spread_hosts =
                              spec && strcmp(spec->spread, spread_host) == 0};
}

void rules_init(struct rules *rules, const struct placement *placement,
                const struct placement_request *request)
{
    const Kontor__V1__PodSpec *spec = request->spec;

    *rules = label_rules(placement, spec, request->node);
    if (spec) {
        find_apps(rules, &placement->presences);
        if (spec->spread[0] != '\0')
            rules->own =
                presences_find(&placement->presences, PRESENCE_PODS, spec->app);
        if (spec->spread[0] != '\0' && !rules->spread_hosts)
            count_around(rules, placement);
    }
    find_kinds(rules);
}

void rules_fini(struct rules *rules)
{
    free(rules->around);
}

/* No pod of an app it wants to be with is there; of its own app it may be the
 * first. */
static bool lacks_company(const struct rules *rules, size_t i, uint32_t node)
{
    const Kontor__V1__PodSpec *spec = rules->spec;

    if (!rules->with[i] && strcmp(spec->with[i], spec->app) == 0)
        return false;
    return presence_on(rules->with[i], node) == 0;
}

/* The other pods there. */
static enum placement_breach apps_breach(const struct rules *rules,
                                         uint32_t node, const void **which)
{
    const Kontor__V1__PodSpec *spec = rules->spec;

    for (size_t i = 0; i < spec->n_anti; i++) {
        *which = spec->anti[i];
        if (presence_on(rules->anti[i], node) > 0)
            return PLACEMENT_ANTI;
    }
    for (size_t i = 0; i < spec->n_with; i++) {
        *which = spec->with[i];
        if (lacks_company(rules, i, node))
            return PLACEMENT_WITHOUT;
    }
    *which = spec->app;
    return presence_on(rules->averse, node) > 0 ? PLACEMENT_AVERSE
                                                : PLACEMENT_KEEPS_RULES;
}

enum placement_breach rules_breach(const struct rules *rules,
                                   const struct placement_entry *entry,
                                   const void **which)
{
    *which = NULL;
    if (rules->node[0] != '\0' && strcmp(rules->node, entry->node.name) != 0)
        return PLACEMENT_ELSEWHERE;
    if (labels_matter(rules)) {
        enum placement_breach breach = kind_breach(rules, entry->kind, which);

        if (breach != PLACEMENT_KEEPS_RULES)
            return breach;
    }
    return rules->apps ? apps_breach(rules, entry->number, which)
                       : PLACEMENT_KEEPS_RULES;
}

uint32_t rules_obstacles(const struct rules *rules,
                         const struct placement_entry *entry)
{
    const Kontor__V1__PodSpec *spec = rules->spec;
    const struct kind *kind = entry->kind;
    uint32_t count = kind_obstacles(kind, spec) + !can_spread(rules, kind) +
                     ((rules->features & kind->lacking) != 0);

    if (rules->node[0] != '\0' && strcmp(rules->node, entry->node.name) != 0)
        count++;
    if (!rules->apps)
        return count;
    for (size_t i = 0; i < spec->n_anti; i++)
        count += presence_on(rules->anti[i], entry->number) > 0;
    for (size_t i = 0; i < spec->n_with; i++)
        count += lacks_company(rules, i, entry->number);
    return count + (presence_on(rules->averse, entry->number) > 0);
}

bool rules_allow(const struct rules *rules, const struct placement_entry *entry)
{
    const void *which;

    if (rules->all_kinds->count > KINDS_TOLD_APART || rules->node[0] != '\0')
        return rules_breach(rules, entry, &which) == PLACEMENT_KEEPS_RULES;
    return (rules->kinds & kind_bit(entry->kind)) != 0 &&
           (!rules->apps ||
            apps_breach(rules, entry->number, &which) == PLACEMENT_KEEPS_RULES);
}

bool rules_allow_labels(const struct placement *placement,
                        const struct placement_entry *entry,
                        const Kontor__V1__PodSpec *spec)
{
    struct rules rules = label_rules(placement, spec, spec->node);
    const void *which;

    return rules_breach(&rules, entry, &which) == PLACEMENT_KEEPS_RULES;
}

bool rules_allow_apps(const struct placement *placement,
                      const struct placement_entry *entry,
                      const Kontor__V1__PodSpec *spec)
{
    struct rules rules = {.spec = spec};
    const void *which;

    find_apps(&rules, &placement->presences);
    return !rules.apps ||
           apps_breach(&rules, entry->number, &which) == PLACEMENT_KEEPS_RULES;
}

uint32_t rules_crowd(const struct rules *rules,
                     const struct placement_entry *entry)
{
    if (rules->spread_hosts)
        return presence_on(rules->own, entry->number);
    return rules->around ? rules->around[rules->groups->of[entry->kind->number]]
                         : 0;
}

uint64_t rules_kinds(const struct rules *rules, uint32_t crowd)
{
    const struct kinds *kinds = rules->all_kinds;
    uint64_t bits = 0;

    if (!rules->around)
        return rules->kinds;
    for (uint32_t i = 0; i < kinds->count; i++) {
        if (kinds->all[i] && rules->around[rules->groups->of[i]] == crowd)
            bits |= kind_bit(kinds->all[i]);
    }
    return bits & rules->kinds;
}

bool rules_told_by_kinds(const struct rules *rules)
{
    return rules->all_kinds->count <= KINDS_TOLD_APART && !rules->apps &&
           !rules->spread_hosts;
}

bool rules_next_crowd(const struct rules *rules, uint32_t *crowd)
{
    uint32_t next = UINT32_MAX;

    for (uint32_t i = 1; rules->around && i <= rules->groups->count; i++) {
        if (rules->around[i] > *crowd && rules->around[i] < next)
            next = rules->around[i];
    }
    for (uint32_t i = 0;
         rules->spread_hosts && rules->own && i < rules->own->slot_count; i++) {
        uint32_t count = rules->own->slots[i].count;

        if (count > *crowd && count < next)
            next = count;
    }
    if (next == UINT32_MAX)
        return false;
    *crowd = next;
    return true;
}
