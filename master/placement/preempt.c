#include "master/placement/preempt.h"

#include "base/compare.h"
#include "base/memory.h"
#include "master/placement/rules.h"

#include <string.h>

enum { ONE_NODE_STEPS_MAX = 1000, COMPARED_A_STEP = 8 };

/* Pods of one node that are alike as far as making room goes. */
struct group {
    struct resources want;
    int32_t priority;
    uint32_t count;
    size_t better; /* a group of no higher priority that frees no less in any
                      dimension: goes first; itself: there is none */
};

/* How good a set is; less is better, in this order. */
struct cost {
    int32_t greatest; /* priority */
    uint32_t count;
    int64_t sum; /* of priorities */
};

/* The search, on one node after the other. */
struct search {
    struct group *groups; /* by priority, then the largest first */
    struct reach *reach;  /* of the pods of each group and those after it */
    uint32_t *taken;      /* of each group, now */
    uint32_t *chosen;     /* of each group, in the best */
    size_t capacity;      /* of these four; they are owned */
    size_t group_count;
    struct resources lacking;
    struct cost bound; /* what is to be undercut */
    struct cost best;  /* count 0: nothing found */
    uint32_t size;     /* of the sets that are looked at now */
    int64_t sum_below; /* and their sums */
    uint64_t steps_left;
};

static bool cheaper(const struct cost *a, const struct cost *b)
{
    if (a->greatest != b->greatest)
        return a->greatest < b->greatest;
    if (a->count != b->count)
        return a->count < b->count;
    return a->sum < b->sum;
}

static int in_order(const void *left, const void *right)
{
    const struct group *a = left;
    const struct group *b = right;

    if (a->priority != b->priority)
        return a->priority < b->priority ? -1 : 1;
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        if (a->want.amount[i] != b->want.amount[i])
            return a->want.amount[i] > b->want.amount[i] ? -1 : 1;
    }
    return 0;
}

static void search_fini(struct search *search)
{
    free(search->groups);
    free(search->reach);
    free(search->taken);
    free(search->chosen);
}

static void search_reserve(struct search *search, size_t groups)
{
    if (groups <= search->capacity)
        return;
    search_fini(search);
    search->capacity = 2 * groups;
    search->groups = memory_array(search->capacity, sizeof *search->groups);
    search->reach = memory_array(search->capacity, sizeof *search->reach);
    search->taken = memory_array(search->capacity, sizeof *search->taken);
    search->chosen = memory_array(search->capacity, sizeof *search->chosen);
}

/* ---- who could go ---- */

/* Groups of the pods that may go, the lowest priority first. */
static void find_groups(struct search *search,
                        const struct placement_entry *entry, int32_t priority)
{
    size_t count = 0;

    search_reserve(search, (size_t)entry->resident_count + 1);
    search->group_count = 0;
    for (uint32_t i = 0; i < entry->resident_count; i++) {
        const struct resident *pod = &entry->residents[i];

        if (resident_may_go(pod, priority))
            search->groups[count++] =
                (struct group){.want = resources_of(pod->spec->resources),
                               .priority = pod->spec->priority,
                               .count = 1};
    }
    qsort(search->groups, count, sizeof *search->groups, in_order);
    for (size_t i = 0; i < count; i++) {
        size_t last = search->group_count - 1;

        if (i > 0 && in_order(&search->groups[last], &search->groups[i]) == 0)
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

    while (end < search->group_count && !resources_none(&left)) {
        const struct group *group = &search->groups[end++];

        for (uint32_t i = 0; i < group->count; i++)
            left = resources_less(&left, &group->want);
    }
    if (!resources_none(&left))
        return false;
    while (end < search->group_count &&
           search->groups[end].priority == search->groups[end - 1].priority)
        end++;
    search->group_count = end;
    search->best = (struct cost){.greatest = search->groups[end - 1].priority};
    return true;
}

/* ---- the fewest of them ---- */

/* What a set from each group on could free at most. */
static void measure_reach(struct search *search)
{
    struct reach reach = {0};

    for (size_t i = search->group_count; i-- > 0;) {
        struct group *group = &search->groups[i];

        for (uint32_t n = 0; n < group->count && n < REACH_MAX; n++)
            reach_add(&reach, &group->want);
        search->reach[i] = reach;
        group->better = i;
    }
}

/* What tells sets of several pods apart that need not be looked at, as far as
 * there is time to find it out. */
static void compare_groups(struct search *search)
{
    for (size_t i = 0; i < search->group_count; i++) {
        struct group *group = &search->groups[i];
        uint64_t steps = i / COMPARED_A_STEP;

        if (steps > search->steps_left)
            return;
        search->steps_left -= steps;
        for (size_t k = i; k-- > 0 && group->better == i;) {
            if (resources_fit(&search->groups[k].want, &group->want))
                group->better = k;
        }
    }
}

/* There is another pod to be taken before the next one of this group. */
static bool is_outdone(const struct search *search, size_t at)
{
    size_t better = search->groups[at].better;

    return search->taken[at] == search->groups[at].count ||
           (better != at &&
            search->taken[better] < search->groups[better].count);
}

static void note_best(struct search *search, int64_t sum)
{
    search->best.count = search->size;
    search->best.sum = search->sum_below = sum;
    memcpy(search->chosen, search->taken,
           search->group_count * sizeof *search->taken);
}

/* Choose `more` pods from the group at `from` on that cover what is lacking
 * still; `sum` is that of those chosen before. */
static void try_sets(struct search *search, size_t from, uint32_t more,
                     const struct resources *lacking, int64_t sum)
{
    for (size_t i = from; i < search->group_count; i++) {
        const struct group *group = &search->groups[i];
        int64_t with = sum + group->priority;
        struct resources left;

        if (sum + (int64_t)more * group->priority >= search->sum_below ||
            !reach_covers(&search->reach[i], more, lacking) ||
            search->steps_left == 0)
            return; /* those that follow are no lower and no larger */
        search->steps_left--;
        if (is_outdone(search, i))
            continue;
        left = resources_less(lacking, &group->want);
        search->taken[i]++;
        if (more > 1)
            try_sets(search, i, more - 1, &left, with);
        else if (resources_none(&left))
            note_best(search, with);
        search->taken[i]--;
    }
}

/* All that could go, and then without whom it is enough, too: those of the
 * highest priority are spared first, of them the smallest. */
static void spare_most(struct search *search)
{
    struct resources freed = {{0}};

    for (size_t i = 0; i < search->group_count; i++) {
        search->chosen[i] = search->groups[i].count;
        for (uint32_t n = 0; n < search->chosen[i]; n++)
            resources_add(&freed, &search->groups[i].want);
    }
    for (size_t i = search->group_count; i-- > 0;) {
        const struct group *group = &search->groups[i];
        struct resources without = resources_less(&freed, &group->want);

        while (search->chosen[i] > 0 &&
               resources_fit(&without, &search->lacking)) {
            search->chosen[i]--;
            freed = without;
            without = resources_less(&freed, &group->want);
        }
        search->best.count += search->chosen[i];
        search->best.sum += (int64_t)search->chosen[i] * group->priority;
    }
}

/* The cheapest set on this node; false: none, or it is not below the bound. */
static bool search_node(struct search *search,
                        const struct placement_entry *entry,
                        const struct placement_request *request)
{
    struct resources room = placement_room(entry);
    bool level; /* with the bound, as far as the greatest priority goes */

    search->lacking = resources_less(&request->want, &room);
    find_groups(search, entry, request->spec->priority);
    if (!cut_groups(search) || search->best.greatest > search->bound.greatest)
        return false;
    level = search->best.greatest == search->bound.greatest;
    measure_reach(search);
    for (uint32_t size = 1;
         size <= PREEMPT_EXACT_MAX && search->best.count == 0; size++) {
        if (level && size > search->bound.count)
            return false;
        if (size == 2)
            compare_groups(search);
        search->size = size;
        search->sum_below = level && size == search->bound.count
                                ? search->bound.sum
                                : INT64_MAX;
        try_sets(search, 0, size, &search->lacking, 0);
    }
    if (search->best.count == 0)
        spare_most(search);
    return cheaper(&search->best, &search->bound);
}

/* The pods behind what was chosen of each group. */
static void tell(struct search *search, const struct placement_entry *entry,
                 struct placement_victims *out)
{
    free(out->pod_ids);
    out->node_id = entry->node.id;
    out->count = 0;
    out->freed = (struct resources){{0}};
    out->pod_ids = memory_array(search->best.count, sizeof *out->pod_ids);
    for (uint32_t i = 0; i < entry->resident_count; i++) {
        const struct resident *pod = &entry->residents[i];
        struct group like = {.want = resources_of(pod->spec->resources),
                             .priority = pod->spec->priority};

        for (size_t k = 0; k < search->group_count; k++) {
            if (search->chosen[k] == 0 || !resident_may_go(pod, INT32_MAX) ||
                in_order(&search->groups[k], &like) != 0)
                continue;
            search->chosen[k]--;
            out->pod_ids[out->count++] = pod->pod_id;
            resources_add(&out->freed, &like.want);
            break;
        }
    }
    qsort(out->pod_ids, out->count, sizeof *out->pod_ids, compare_u64);
}

/* The least that a set on this node can cost is below the bound. False, too,
 * where it fits without, or not even all together make room. */
static bool may_undercut(struct placement_entry *entry,
                         const struct placement_request *request,
                         const struct cost *bound)
{
    const struct shed *shed = placement_shed(entry);
    struct cost least = {shed->lowest, 1, shed->lowest};
    struct resources room, lacking;

    if (least.greatest >= request->spec->priority || !cheaper(&least, bound))
        return false;
    room = placement_room(entry);
    lacking = resources_less(&request->want, &room);
    if (resources_none(&lacking) || !resources_fit(&shed->all, &lacking))
        return false;
    least.count = reach_fewest(&shed->reach, &lacking);
    least.sum = (int64_t)least.count * least.greatest;
    return cheaper(&least, bound);
}

bool placement_may_preempt(const struct placement *placement,
                           const struct placement_request *request)
{
    return request->spec &&
           request->spec->priority > priorities_lowest(&placement->priorities);
}

size_t placement_yielding(const struct placement *placement, uint64_t node_id,
                          const struct placement_request *request,
                          uint64_t *looks_left)
{
    const struct placement_entry *entry = placement_find(placement, node_id);
    struct search search = {.bound = {INT32_MAX, UINT32_MAX, INT64_MAX},
                            .steps_left = ONE_NODE_STEPS_MAX};
    struct resources room = placement_room(entry);
    size_t count = 0;

    if (!placement_may_preempt(placement, request) ||
        !resources_fit(&entry->node.capacity, &request->want) ||
        resources_fit(&room, &request->want) ||
        *looks_left < entry->resident_count + search.steps_left)
        return 0;
    if (search_node(&search, entry, request))
        count = search.best.count;
    *looks_left -=
        entry->resident_count + ONE_NODE_STEPS_MAX - search.steps_left;
    search_fini(&search);
    return count;
}

struct placement_victims
placement_preempt(struct placement *placement,
                  const struct placement_request *request)
{
    struct search search = {.bound = {INT32_MAX, UINT32_MAX, INT64_MAX},
                            .steps_left = PREEMPT_STEPS_MAX};
    struct placement_victims out = {0};
    struct rules rules;
    const void *which;

    if (!placement_may_preempt(placement, request))
        return out;
    rules_init(&rules, placement, request);
    for (size_t i = 0; i < placement->count; i++) {
        struct placement_entry *entry = placement->nodes[i];

        out.looks++;
        if (out.count > 0 && out.looks > PREEMPT_LOOKS_MAX)
            break; /* it will do */
        if (entry->node.closed != PLACEMENT_OPEN ||
            !may_undercut(entry, request, &search.bound) ||
            !resources_fit(&entry->node.capacity, &request->want) ||
            rules_breach(&rules, entry, &which) != PLACEMENT_KEEPS_RULES)
            continue;
        out.looks += entry->resident_count;
        if (search_node(&search, entry, request)) {
            search.bound = search.best;
            tell(&search, entry, &out);
        }
    }
    out.looks += PREEMPT_STEPS_MAX - search.steps_left;
    search_fini(&search);
    rules_fini(&rules);
    return out;
}
