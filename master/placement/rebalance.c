#include "master/placement/rebalance_parts.h"

#include "base/memory.h"
#include "base/random.h"

#include <string.h>

enum {
    PASSES_MAX = 24,
    BIN_PODS_MAX = 256, /* put into one node at once */
    TRIES_MAX = 3000,   /* for one node */
    TOLERATED_PART = 128,
    UNLIKE_MAX = 128,  /* shapes in what is repacked at once, or else ... */
    TOGETHER_MIN = 32, /* ... fewer nodes are taken, down to so many */
};

/* False: there are no more. */
bool rebalance_spend(struct rebalance *work, uint64_t steps)
{
    bool enough = steps <= work->steps_left;

    work->steps_left -= enough ? steps : work->steps_left;
    return enough;
}

bool rebalance_is_free(const struct placement_entry *entry)
{
    static const struct resources none;

    return entry->node.closed == PLACEMENT_OPEN &&
           memcmp(&entry->reserved, &none, sizeof none) == 0;
}

void rebalance_keep_trial(struct rebalance *work)
{
    work->moves.moves = memory_resize(work->moves.moves,
                                      (work->moves.count + work->trial_count) *
                                          sizeof *work->moves.moves);
    memcpy(&work->moves.moves[work->moves.count], work->trial,
           work->trial_count * sizeof *work->trial);
    work->moves.count += work->trial_count;
}

int rebalance_by_key(const void *left, const void *right)
{
    const struct rebalance_spot *a = left;
    const struct rebalance_spot *b = right;

    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->entry->node.id < b->entry->node.id ? -1 : 1;
}

/* ---- one node, as full as it goes ---- */

struct filling {
    struct rebalance *work;
    enum resource_kind scarcest;
    uint64_t tolerated;
    uint64_t least; /* left over in the best filling */
    unsigned tries;
    size_t now[BIN_PODS_MAX], best[BIN_PODS_MAX]; /* piles taken from */
    size_t best_count;
};

static void fill(struct filling *filling, const struct resources *room,
                 size_t from, size_t depth)
{
    struct rebalance *work = filling->work;
    uint64_t left = room->amount[filling->scarcest];

    if (left < filling->least || filling->best_count == 0) {
        filling->least = left;
        filling->best_count = depth;
        memcpy(filling->best, filling->now, depth * sizeof filling->now[0]);
    }
    for (size_t i = from; i < work->pile_count && depth < BIN_PODS_MAX; i++) {
        struct pile *pile = &work->piles[i];
        struct resources rest;

        if (filling->least <= filling->tolerated || filling->tries == 0 ||
            !rebalance_spend(work, 1))
            return;
        if (pile->count == 0 || !resources_fit(room, &pile->want))
            continue;
        filling->tries--;
        rest = resources_less(room, &pile->want);
        filling->now[depth] = i;
        pile->count--;
        fill(filling, &rest, i, depth + 1);
        pile->count++;
    }
}

/* Take pods off the piles for one empty node, the most awkward one first.
 * False: that does not go in. */
static bool fill_node(struct rebalance *work,
                      const struct placement_entry *entry)
{
    const struct demand *demand = &work->placement->demand;
    struct filling filling = {.work = work,
                              .scarcest = demand->scarcest,
                              .tries = TRIES_MAX,
                              .least = UINT64_MAX};
    struct resources room = placement_room(entry);
    size_t seed = 0;

    while (seed < work->pile_count && work->piles[seed].count == 0)
        seed++;
    if (seed == work->pile_count ||
        !resources_fit(&room, &work->piles[seed].want))
        return false;
    filling.tolerated =
        demand->greatest.amount[filling.scarcest] / TOLERATED_PART;
    filling.now[0] = seed;
    room = resources_less(&room, &work->piles[seed].want);
    work->piles[seed].count--;
    fill(&filling, &room, seed, 1);
    work->piles[seed].count++;
    for (size_t i = 0; i < filling.best_count; i++) {
        struct pile *pile = &work->piles[filling.best[i]];
        const struct loose_pod *pod = &work->pods[pile->first + --pile->count];

        work->trial[work->trial_count++] =
            (struct placement_move){pod->pod_id, pod->from_id, entry->node.id};
    }
    return true;
}

/* ---- some nodes at a time ---- */

static int by_shape(const void *left, const void *right)
{
    const struct loose_pod *a = left;
    const struct loose_pod *b = right;
    int by = memcmp(&a->want, &b->want, sizeof a->want);

    if (by != 0)
        return by;
    return a->pod_id < b->pod_id ? -1 : 1;
}

static int by_awkwardness(const void *left, const void *right)
{
    const struct pile *a = left;
    const struct pile *b = right;

    if (a->awkward != b->awkward)
        return a->awkward > b->awkward ? -1 : 1;
    return memcmp(&a->want, &b->want, sizeof a->want);
}

static void pile_up(struct rebalance *work)
{
    qsort(work->pods, work->pod_count, sizeof *work->pods, by_shape);
    work->pile_count = 0;
    for (size_t i = 0; i < work->pod_count; i++) {
        struct pile *pile = &work->piles[work->pile_count - 1];

        if (i == 0 ||
            memcmp(&pile->want, &work->pods[i].want, sizeof pile->want) != 0) {
            pile = &work->piles[work->pile_count++];
            *pile = (struct pile){.want = work->pods[i].want, .first = i};
            pile->awkward =
                demand_awkwardness(&work->placement->demand, &pile->want);
        }
        pile->count++;
    }
    qsort(work->piles, work->pile_count, sizeof *work->piles, by_awkwardness);
}

/* Pack the pods of `full` into some of `empty`; keep it if that takes fewer. */
static bool repack(struct rebalance *work, struct placement_entry **full,
                   size_t full_count, const struct rebalance_spot *empty,
                   size_t empty_count)
{
    size_t used = 0;

    work->pod_count = 0;
    work->trial_count = 0;
    for (size_t i = 0; i < full_count; i++) {
        for (uint32_t k = 0; k < full[i]->resident_count; k++) {
            const struct resident *pod = &full[i]->residents[k];

            work->pods[work->pod_count++] =
                (struct loose_pod){resources_of(pod->spec->resources),
                                   pod->pod_id, full[i]->node.id};
        }
    }
    if (!rebalance_spend(work, work->pod_count * REBALANCE_SORT_STEPS))
        return false;
    pile_up(work);
    if (work->pile_count > UNLIKE_MAX && full_count > TOGETHER_MIN) {
        work->together = full_count / 2; /* each costs all the others' time */
        return false;
    }
    for (size_t i = 0; i < empty_count && used + 1 < full_count &&
                       work->trial_count < work->pod_count;
         i++)
        used += fill_node(work, empty[i].entry);
    if (work->trial_count < work->pod_count)
        return false;
    for (size_t i = 0; i < work->trial_count; i++)
        placement_move(work->placement, &work->trial[i]);
    rebalance_keep_trial(work);
    return true;
}

/* ---- which ---- */

static bool has_rules(const Kontor__V1__PodSpec *spec)
{
    return spec->node[0] != '\0' || spec->n_constraints > 0 ||
           spec->spread[0] != '\0' || spec->n_anti > 0 || spec->n_with > 0 ||
           spec->n_tolerations > 0;
}

/* What some nodes cannot do is a rule, too. */
static bool may_empty(const struct placement_entry *entry, uint32_t lacking)
{
    for (uint32_t i = 0; i < entry->resident_count; i++) {
        const Kontor__V1__PodSpec *spec = entry->residents[i].spec;

        if (has_rules(spec) || (features_asked(spec) & lacking) != 0)
            return false;
    }
    return true;
}

/* Empty nodes, the largest first. */
static size_t list_empty_nodes(struct rebalance *work,
                               struct rebalance_spot *out)
{
    const struct placement *placement = work->placement;
    size_t count = 0;

    for (size_t i = 0; i < placement->count; i++) {
        struct placement_entry *entry = placement->nodes[i];

        if (rebalance_is_free(entry) && entry->resident_count == 0 &&
            entry->kind->taint_count == 0)
            out[count++] = (struct rebalance_spot){
                UINT64_MAX - placement_rank(placement, &entry->node.capacity),
                entry};
    }
    qsort(out, count, sizeof *out, rebalance_by_key);
    rebalance_spend(work, placement->count + count * REBALANCE_SORT_STEPS);
    return count;
}

/* Nodes that may take part: what moves has no rules, so it stays that way. */
static void list_candidates(struct rebalance *work)
{
    const struct placement *placement = work->placement;
    uint32_t lacking = kinds_lacking(&placement->kinds);

    for (size_t i = 0; i < placement->count; i++)
        if (rebalance_is_free(placement->nodes[i]) &&
            may_empty(placement->nodes[i], lacking))
            work->candidates[work->candidate_count++] = placement->nodes[i];
}

/* Nodes that may be emptied, shuffled, another way in every pass: what is
 * repacked together should be mixed. */
static size_t list_full_nodes(struct rebalance *work, unsigned pass,
                              struct placement_entry **out)
{
    const struct demand *demand = &work->placement->demand;
    enum resource_kind scarcest = demand->scarcest;
    uint64_t tolerated = demand->greatest.amount[scarcest] / TOLERATED_PART;
    struct random random = {pass};
    bool all = pass % 2 == 1; /* or those that waste something */
    size_t count = 0;

    for (size_t i = 0; i < work->candidate_count; i++) {
        struct placement_entry *entry = work->candidates[i];
        size_t at;

        if (entry->resident_count == 0 ||
            (!all && entry->node.free.amount[scarcest] <= tolerated))
            continue;
        at = random_below(&random, count + 1);
        out[count++] = out[at];
        out[at] = entry;
    }
    rebalance_spend(work, work->candidate_count);
    return count;
}

/* How many of the nodes can be emptied with the moves that are left. */
static size_t affordable(const struct rebalance *work,
                         struct placement_entry **full, size_t count)
{
    size_t moves = work->moves.count;
    size_t part = 0;

    while (part < count &&
           moves + full[part]->resident_count <= work->moves_max)
        moves += full[part++]->resident_count;
    return part;
}

/* True when something was gained. */
static bool one_pass(struct rebalance *work, unsigned pass,
                     struct placement_entry **full,
                     struct rebalance_spot *empty)
{
    size_t full_count = list_full_nodes(work, pass, full);
    size_t empty_count = list_empty_nodes(work, empty);
    bool gained = false;

    /* One fewer is what they are packed into. */
    for (size_t at = 0, part; at < full_count && empty_count > 0; at += part) {
        part = empty_count + 1 < full_count - at ? empty_count + 1
                                                 : full_count - at;
        if (part > work->together)
            part = work->together;
        part = affordable(work, full + at, part);
        if (!rebalance_spend(work, 1))
            break;
        if (part == 0)
            part = 1; /* another one may have fewer pods */
        else if (repack(work, full + at, part, empty, empty_count)) {
            gained = true;
            empty_count = list_empty_nodes(work, empty);
        } else if (part > work->together) {
            part = 0; /* once more, with fewer */
        }
    }
    return gained;
}

struct placement_moves
placement_rebalance(struct placement *placement,
                    const struct rebalance_limits *limits)
{
    struct rebalance work = {.placement = placement,
                             .moves_max = limits->moves,
                             .together = SIZE_MAX,
                             .steps_left = limits->steps};
    struct placement_entry **full =
        memory_array(placement->count + 1, sizeof(struct placement_entry *));
    struct rebalance_spot *empty =
        memory_array(placement->count + 1, sizeof *empty);
    unsigned idle = 0; /* passes without a gain */
    size_t pods = 0;

    for (size_t i = 0; i < placement->count; i++)
        pods += placement->nodes[i]->resident_count;
    work.candidates =
        memory_array(placement->count + 1, sizeof(struct placement_entry *));
    work.pods = memory_array(pods + 1, sizeof *work.pods);
    work.piles = memory_array(pods + 1, sizeof *work.piles);
    work.trial = memory_array(pods + 1, sizeof *work.trial);
    rebalance_drain_emptiest(&work);
    list_candidates(&work);
    for (unsigned pass = 0;
         pass < PASSES_MAX && idle < 2 && rebalance_spend(&work, 1); pass++)
        idle = one_pass(&work, pass, full, empty) ? 0 : idle + 1;
    free(work.candidates);
    free(work.pods);
    free(work.piles);
    free(work.trial);
    free(full);
    free(empty);
    return work.moves;
}
