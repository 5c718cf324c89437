#include "base/memory.h"
#include "master/placement/rules.h"

#include <string.h>

static bool has_room(const struct placement_entry *entry,
                     const struct resources *want)
{
    struct resources room = placement_room(entry);

    return entry->node.closed == PLACEMENT_OPEN && resources_fit(&room, want);
}

/* Of the fullest nodes that will do, not equally full, the first being `entry`,
 * and the emptiest one, the first where nothing more goes to waste, or that
 * where least does. */
static struct placement_entry *choose_tidily(const struct placement *placement,
                                             struct order_query query,
                                             struct placement_entry *entry)
{
    const struct demand *demand = &placement->demand;
    struct placement_entry *best = NULL;
    int64_t best_growth = INT64_MAX;

    for (int look = 0; entry; look++) {
        struct resources room = placement_room(entry);
        struct resources left = resources_less(&room, &query.want);
        int64_t growth = (int64_t)demand_waste(demand, &left) -
                         (int64_t)demand_waste(demand, &room);

        if (growth < best_growth) {
            best_growth = growth;
            best = entry;
        }
        if (growth <= 0 || look == PLACEMENT_LOOKS)
            break;
        query.from_rank = entry->ordered.key.rank + 1;
        if (look + 1 == PLACEMENT_LOOKS &&
            !order_last_rank(&placement->order, &query, &query.from_rank))
            break;
        entry = order_first(&placement->order, &query);
    }
    return best;
}

/* The query's rank becomes that of the first node that will do. */
static struct placement_entry *choose_by(const struct placement *placement,
                                         struct order_query *query)
{
    struct placement_entry *first = order_first(&placement->order, query);

    query->from_rank = first ? first->ordered.key.rank : UINT64_MAX;
    if (first && demand_is_bulky(&placement->demand, &query->want))
        return choose_tidily(placement, *query, first);
    return first;
}

/* ---- with rules ---- */

struct chooser {
    struct rules rules;
    uint32_t crowd; /* of the nodes looked at now */
};

static bool on_candidate(void *data, void *what)
{
    const struct chooser *chooser = data;
    const struct placement_entry *entry = what;

    return rules_crowd(&chooser->rules, entry) == chooser->crowd &&
           rules_allow(&chooser->rules, entry);
}

/* Where the search for one more of the same goes on, when nothing else was
 * placed since: no node in a smaller crowd will do, nor in this one the last
 * that was chosen and those before `from_rank`. Else each search would pass by
 * the nodes of all pods before. */
struct trail {
    const Kontor__V1__PodSpec *spec; /* NULL: there is none */
    struct resources want;
    uint32_t crowd;
    uint64_t from_rank;
};

/* The next one cannot go where the last went, or not in such a crowd. */
static bool leaves_its_node(const Kontor__V1__PodSpec *spec)
{
    bool leaves = spec->spread[0] != '\0';

    for (size_t i = 0; i < spec->n_anti; i++)
        leaves = leaves || strcmp(spec->anti[i], spec->app) == 0;
    return leaves;
}

static struct placement_entry *search(const struct placement *placement,
                                      struct chooser *chooser,
                                      struct order_query *query,
                                      struct trail *trail)
{
    const Kontor__V1__PodSpec *spec = chooser->rules.spec;
    uint64_t from_rank = query->from_rank;
    struct placement_entry *entry;

    if (trail->spec) {
        chooser->crowd = trail->crowd;
        query->from_rank = trail->from_rank;
    }
    for (;;) {
        query->kinds = rules_kinds(&chooser->rules, chooser->crowd);
        entry = choose_by(placement, query);
        if (entry || !rules_next_crowd(&chooser->rules, &chooser->crowd))
            break;
        query->from_rank = from_rank;
    }
    *trail = (struct trail){spec && leaves_its_node(spec) ? spec : NULL,
                            query->want, chooser->crowd, query->from_rank};
    return entry;
}

static struct placement_entry *
choose_ruled(const struct placement *placement,
             const struct placement_request *request, struct order_query query,
             struct trail *trail)
{
    struct chooser chooser = {.crowd = 0};
    struct placement_entry *entry = NULL;

    rules_init(&chooser.rules, placement, request);
    query.accept = rules_told_by_kinds(&chooser.rules) ? NULL : on_candidate;
    query.data = &chooser;
    if (request->node[0] != '\0') {
        entry = placement_find_name(placement, request->node);
        if (entry && (!has_room(entry, &request->want) ||
                      !rules_allow(&chooser.rules, entry)))
            entry = NULL;
    } else {
        entry = search(placement, &chooser, &query, trail);
    }
    rules_fini(&chooser.rules);
    return entry;
}

bool placement_is_ruled(const struct placement *placement,
                        const struct placement_request *request)
{
    const Kontor__V1__PodSpec *spec = request->spec;

    return request->node[0] != '\0' || placement->kinds.tainted > 0 ||
           features_asked(spec) != 0 ||
           (spec &&
            (placement->presences.averse > 0 || spec->n_constraints > 0 ||
             spec->spread[0] != '\0' || spec->n_anti > 0 || spec->n_with > 0));
}

static uint64_t choose(struct placement *placement,
                       const struct placement_request *request,
                       struct trail *trail)
{
    struct order_query query = {.want = request->want, .kinds = UINT64_MAX};
    const struct placement_entry *entry;

    if (trail->spec != request->spec ||
        memcmp(&trail->want, &request->want, sizeof trail->want) != 0)
        trail->spec = NULL;
    placement_settle(placement);
    query.from_rank = placement_rank(placement, &request->want);
    if (placement_is_ruled(placement, request))
        entry = choose_ruled(placement, request, query, trail);
    else
        entry = choose_by(placement, &query);
    return entry ? entry->node.id : 0;
}

uint64_t placement_choose(struct placement *placement,
                          const struct placement_request *request)
{
    struct trail trail = {NULL};
    uint64_t node_id = choose(placement, request, &trail);

    if (node_id)
        demand_note(&placement->demand, &request->want);
    return node_id;
}

/* ---- many at once ---- */

struct turn {
    size_t at; /* in the requests */
    int32_t priority;
    uint64_t awkward;
    const struct resources *want;
};

/* By priority, then the most awkward first, which packed the traces better than
 * by size; equals together, in the order they came. */
static int compare_turns(const void *left, const void *right)
{
    const struct turn *a = left;
    const struct turn *b = right;
    int by_shape;

    if (a->priority != b->priority)
        return a->priority > b->priority ? -1 : 1;
    if (a->awkward != b->awkward)
        return a->awkward > b->awkward ? -1 : 1;
    by_shape = memcmp(a->want, b->want, sizeof *a->want);
    if (by_shape != 0)
        return by_shape;
    return a->at < b->at ? -1 : 1;
}

static struct turn *turns_of(const struct placement *placement,
                             const struct placement_request *requests,
                             size_t count)
{
    struct turn *turns = memory_array(count + 1, sizeof *turns);

    for (size_t i = 0; i < count; i++) {
        const struct placement_request *request = &requests[i];

        turns[i].at = i;
        turns[i].want = &request->want;
        turns[i].priority = request->spec ? request->spec->priority : 0;
        turns[i].awkward =
            demand_awkwardness(&placement->demand, &request->want);
    }
    qsort(turns, count, sizeof *turns, compare_turns);
    return turns;
}

/* True when all found a place. With `stuck` the first that does not ends it,
 * and is told there. */
static bool place_in_turn(struct placement *placement,
                          const struct placement_request *requests,
                          size_t count, struct placement_hold **holds,
                          size_t *stuck)
{
    struct turn *turns = turns_of(placement, requests, count);
    struct trail trail = {NULL};
    bool all = true;

    for (size_t i = 0; i < count; i++) /* what comes is in demand already */
        demand_note(&placement->demand, &requests[i].want);
    for (size_t i = 0; i < count && (all || !stuck); i++) {
        const struct placement_request *request = &requests[turns[i].at];
        uint64_t node_id = choose(placement, request, &trail);

        holds[turns[i].at] =
            node_id ? placement_hold(placement, node_id, request) : NULL;
        if (node_id)
            continue;
        all = false;
        if (stuck)
            *stuck = turns[i].at;
    }
    free(turns);
    return all;
}

void placement_place_all(struct placement *placement,
                         const struct placement_request *requests, size_t count,
                         struct placement_hold **holds)
{
    place_in_turn(placement, requests, count, holds, NULL);
}

bool placement_place_gang(struct placement *placement,
                          const struct placement_request *requests,
                          size_t count, struct placement_hold **holds,
                          size_t *stuck)
{
    for (size_t i = 0; i < count; i++)
        holds[i] = NULL;
    if (place_in_turn(placement, requests, count, holds, stuck))
        return true;
    for (size_t i = 0; i < count; i++) {
        placement_unhold(placement, holds[i]);
        holds[i] = NULL;
    }
    return false;
}
