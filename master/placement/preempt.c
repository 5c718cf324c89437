#include "master/placement/preempt.h"

#include "base/memory.h"
#include "master/placement/rules.h"

#include <string.h>

/* Pods of one node that are alike as far as making room goes. */
struct group {
    struct resources want;
    int32_t priority;
    uint32_t count;
};

/* How good a set is; less is better, in this order. */
struct cost {
    int32_t greatest; /* priority */
    uint32_t count;
    int64_t sum; /* of priorities */
};

/* The search on one node. */
struct search {
    struct group *groups; /* owned; by priority */
    size_t group_count;
    struct resources lacking;
    struct cost bound; /* what is to be undercut */
    struct cost best;  /* count 0: nothing found */
    uint32_t *taken;   /* owned; of each group, now */
    uint32_t *chosen;  /* owned; of each group, in the best */
};

static bool cheaper(const struct cost *a, const struct cost *b)
{
    if (a->greatest != b->greatest)
        return a->greatest < b->greatest;
    if (a->count != b->count)
        return a->count < b->count;
    return a->sum < b->sum;
}

static int by_priority(const void *left, const void *right)
{
    const struct group *a = left;
    const struct group *b = right;

    if (a->priority != b->priority)
        return a->priority < b->priority ? -1 : 1;
    return memcmp(&a->want, &b->want, sizeof a->want);
}

static bool nothing(const struct resources *lacking)
{
    static const struct resources none;

    return memcmp(lacking, &none, sizeof none) == 0;
}

/* ---- who could go ---- */

/* Groups of the pods that may go, the lowest priority first. */
static void find_groups(struct search *search,
                        const struct placement_entry *entry, int32_t priority)
{
    size_t count = 0;

    search->groups =
        memory_array(entry->resident_count + 1, sizeof *search->groups);
    for (uint32_t i = 0; i < entry->resident_count; i++) {
        const struct resident *pod = &entry->residents[i];

        if (resident_may_go(pod, priority))
            search->groups[count++] = (struct group){
                resources_of(pod->spec->resources), pod->spec->priority, 1};
    }
    qsort(search->groups, count, sizeof *search->groups, by_priority);
    for (size_t i = 0; i < count; i++) {
        size_t last = search->group_count - 1;

        if (i > 0 &&
            by_priority(&search->groups[last], &search->groups[i]) == 0)
            search->groups[last].count++;
        else
            search->groups[search->group_count++] = search->groups[i];
    }
}

/* Leave out what is of a higher priority than has to go. False: not even all
 * together make room. */
static bool cut_groups(struct search *search)
{
    struct resources left = search->lacking;
    size_t end = 0;

    while (end < search->group_count && !nothing(&left)) {
        const struct group *group = &search->groups[end++];

        for (uint32_t i = 0; i < group->count; i++)
            left = resources_less(&left, &group->want);
    }
    if (!nothing(&left))
        return false;
    while (end < search->group_count &&
           search->groups[end].priority == search->groups[end - 1].priority)
        end++;
    search->group_count = end;
    search->best.greatest = search->groups[end - 1].priority;
    return true;
}

/* ---- the fewest of them ---- */

/* Choose `more` pods from the group at `from` on; they have to cover what is
 * lacking. */
static void try_sets(struct search *search, size_t from, uint32_t more,
                     const struct resources *lacking, struct cost cost)
{
    if (nothing(lacking)) {
        cost.greatest = search->best.greatest;
        if (search->best.count == 0 || cheaper(&cost, &search->best)) {
            search->best = cost;
            memcpy(search->chosen, search->taken,
                   search->group_count * sizeof *search->taken);
        }
        return;
    }
    if (more == 0)
        return;
    for (size_t i = from; i < search->group_count; i++) {
        const struct group *group = &search->groups[i];
        struct resources left = resources_less(lacking, &group->want);
        struct cost with = cost;

        if (search->taken[i] == group->count)
            continue;
        with.count++;
        with.sum += group->priority;
        search->taken[i]++;
        try_sets(search, i, more - 1, &left, with);
        search->taken[i]--;
    }
}

/* All that could go, and then without whom it is enough, too: those of the
 * highest priority are spared first. */
static void spare_most(struct search *search)
{
    for (size_t i = 0; i < search->group_count; i++)
        search->chosen[i] = search->groups[i].count;
    for (size_t i = search->group_count; i-- > 0;) {
        while (search->chosen[i] > 0) {
            struct resources left = search->lacking;

            search->chosen[i]--;
            for (size_t k = 0; k < search->group_count; k++) {
                for (uint32_t n = 0; n < search->chosen[k]; n++)
                    left = resources_less(&left, &search->groups[k].want);
            }
            if (nothing(&left))
                continue;
            search->chosen[i]++;
            break;
        }
        search->best.count += search->chosen[i];
        search->best.sum +=
            (int64_t)search->chosen[i] * search->groups[i].priority;
    }
}

/* The cheapest set on this node; false: none, or it is not below the bound. */
static bool search_node(struct search *search,
                        const struct placement_entry *entry,
                        const struct placement_request *request)
{
    struct resources room = placement_room(entry);

    search->lacking = resources_less(&request->want, &room);
    find_groups(search, entry, request->spec->priority);
    if (nothing(&search->lacking) || !cut_groups(search) ||
        search->best.greatest > search->bound.greatest)
        return false;
    search->taken = memory_array(search->group_count, sizeof *search->taken);
    search->chosen = memory_array(search->group_count, sizeof *search->chosen);
    for (uint32_t k = 1; k <= PREEMPT_EXACT_MAX && search->best.count == 0;
         k++) {
        if (search->best.greatest == search->bound.greatest &&
            k > search->bound.count)
            return false;
        try_sets(search, 0, k, &search->lacking, (struct cost){0});
    }
    if (search->best.count == 0)
        spare_most(search);
    return cheaper(&search->best, &search->bound);
}

static void search_fini(struct search *search)
{
    free(search->groups);
    free(search->taken);
    free(search->chosen);
}

/* The pods behind what was chosen of each group. */
static void tell(struct search *search, const struct placement_entry *entry,
                 struct placement_victims *out)
{
    free(out->pod_ids);
    *out = (struct placement_victims){.node_id = entry->node.id};
    out->pod_ids = memory_array(search->best.count, sizeof *out->pod_ids);
    for (uint32_t i = 0; i < entry->resident_count; i++) {
        const struct resident *pod = &entry->residents[i];
        struct group like = {resources_of(pod->spec->resources),
                             pod->spec->priority, 1};

        for (size_t k = 0; k < search->group_count; k++) {
            if (search->chosen[k] == 0 || !resident_may_go(pod, INT32_MAX) ||
                by_priority(&search->groups[k], &like) != 0)
                continue;
            search->chosen[k]--;
            out->pod_ids[out->count++] = pod->pod_id;
            break;
        }
    }
}

/* The least that a set on this node can cost. */
static struct cost least_cost(struct placement_entry *entry,
                              const struct placement_request *request)
{
    const struct shed *shed = placement_shed(entry);
    struct resources room = placement_room(entry);
    struct cost least = {
        .greatest = shed->lowest, .count = 1, .sum = INT64_MIN};

    resources_add(&room, &shed->largest);
    if (!resources_fit(&room, &request->want))
        least.count = 2;
    return least;
}

bool placement_may_preempt(const struct placement *placement,
                           const struct placement_request *request)
{
    return request->spec && request->spec->priority > placement->lowest;
}

struct placement_victims
placement_preempt(struct placement *placement,
                  const struct placement_request *request)
{
    struct placement_victims out = {0};
    struct cost bound = {INT32_MAX, UINT32_MAX, INT64_MAX};
    struct rules rules;
    const void *which;

    if (!placement_may_preempt(placement, request))
        return out;
    rules_init(&rules, placement, request);
    for (size_t i = 0; i < placement->count; i++) {
        struct placement_entry *entry = placement->nodes[i];
        struct search search = {.bound = bound};
        struct cost least = least_cost(entry, request);

        if (entry->node.closed != PLACEMENT_OPEN ||
            entry->resident_count == 0 ||
            least.greatest >= request->spec->priority ||
            least.greatest > bound.greatest ||
            (least.greatest == bound.greatest && least.count > bound.count) ||
            (bound.count == 1 && least.greatest == bound.greatest) ||
            !resources_fit(&entry->node.capacity, &request->want) ||
            rules_breach(&rules, entry, &which) != PLACEMENT_KEEPS_RULES)
            continue;
        if (search_node(&search, entry, request)) {
            bound = search.best;
            tell(&search, entry, &out);
        }
        search_fini(&search);
    }
    rules_fini(&rules);
    return out;
}
