#include "master/placement/even.h"

#include "base/memory.h"
#include "master/placement/rules.h"

#include <string.h>

enum {
    PAYS = EVEN_APART * EVEN_APART / 2, /* what is squared is halved */
    LOOK_STEPS = 8,                     /* a pod held against a node */
    ASK_STEPS = 64,                     /* who may leave, by which rules */
    LINE_STEPS = 32,                    /* a node off a line and back */
};

enum role { ROLE_ANY, ROLE_GIVES, ROLE_TAKES };

struct spot {
    struct placement_entry *entry;
    uint32_t share;
    enum role role;
};

/* A heap: whose turn is next. A node that has changed since it was put in is of
 * a role by now that is not looked for here. */
struct line {
    struct turn *turns; /* owned */
    size_t count;
    bool fullest; /* is the first; or else the emptiest */
};

struct turn {
    uint32_t share;
    struct spot *spot;
};

/* Pods of one spec on the node that gives: they stand for each other. What
 * takes time to find out is only found out when it matters. */
struct offer {
    const Kontor__V1__PodSpec *spec; /* borrowed */
    struct resources want;
    bool asked;     /* the rest is known: */
    bool may_leave; /* one of them, which is that: */
    uint64_t pod_id;
    struct rules rules; /* its own, until something is moved */
    uint32_t crowd;     /* of its app where it is, if that matters */
};

struct evening {
    struct placement *placement; /* moved along */
    const struct even_limits *limits;
    uint64_t steps_left;
    struct spot *spots; /* owned */
    size_t count;
    uint64_t sum; /* of shares */
    struct line givers, takers;
    struct spot **passed; /* owned; takers that are looked at now */
    struct offer *offers; /* owned; of the node that gives now */
    size_t offer_count;
    struct placement_moves moves;
};

static bool spend(struct evening *work, uint64_t steps)
{
    bool enough = steps <= work->steps_left;

    work->steps_left -= enough ? steps : work->steps_left;
    return enough;
}

/* ---- lines ---- */

static bool is_before(const struct line *line, const struct turn *a,
                      const struct turn *b)
{
    if (a->share != b->share)
        return (a->share > b->share) == line->fullest;
    return a->spot < b->spot; /* they stand by the nodes' ids */
}

static void line_put(struct line *line, struct spot *spot)
{
    struct turn turn = {spot->share, spot};
    size_t at = line->count++;

    for (; at > 0 && is_before(line, &turn, &line->turns[(at - 1) / 2]);
         at = (at - 1) / 2)
        line->turns[at] = line->turns[(at - 1) / 2];
    line->turns[at] = turn;
}

/* The first, off the line, or NULL. */
static struct spot *line_take(struct line *line)
{
    struct spot *first = line->count > 0 ? line->turns[0].spot : NULL;
    struct turn last;
    size_t at = 0, child = 1;

    if (!first)
        return NULL;
    last = line->turns[--line->count];
    for (; child < line->count; at = child, child = 2 * at + 1) {
        if (child + 1 < line->count &&
            is_before(line, &line->turns[child + 1], &line->turns[child]))
            child++;
        if (!is_before(line, &line->turns[child], &last))
            break;
        line->turns[at] = line->turns[child];
    }
    line->turns[at] = last;
    return first;
}

/* ---- shares ---- */

/* With so much room. */
static uint32_t share_with(const struct placement_entry *entry,
                           const struct resources *room)
{
    const struct resources *capacity = &entry->node.capacity;
    struct resources used = resources_less(capacity, room);
    uint32_t most = 0;

    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint32_t share = resource_share(used.amount[i], capacity->amount[i]);

        if (share > most)
            most = share;
    }
    return most;
}

static uint32_t share_of(const struct placement_entry *entry)
{
    struct resources room = placement_room(entry);

    return share_with(entry, &room);
}

static uint32_t square_root(uint64_t square)
{
    uint64_t root = RESOURCE_SHARE_ONE; /* no share is greater */

    while (root * root > square)
        root = (root + square / root) / 2; /* Newton's, from above */
    return (uint32_t)root;
}

struct evenness placement_evenness(const struct placement *placement)
{
    struct evenness out = {.lowest = RESOURCE_SHARE_ONE};
    uint32_t *shares = memory_array(placement->count + 1, sizeof *shares);
    uint64_t sum = 0, squares = 0;
    size_t count = 0;

    for (size_t i = 0; i < placement->count; i++) {
        uint32_t share = share_of(placement->nodes[i]);

        if (placement->nodes[i]->node.closed != PLACEMENT_OPEN)
            continue;
        shares[count++] = share;
        sum += share;
        out.highest = share > out.highest ? share : out.highest;
        out.lowest = share < out.lowest ? share : out.lowest;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t off = (int64_t)shares[i] - (int64_t)(sum / count);

        squares += (uint64_t)(off * off);
    }
    if (count > 0)
        out.deviation = square_root(squares / count);
    else
        out.lowest = 0;
    free(shares);
    return out;
}

static uint32_t milli_of(uint32_t share)
{
    return (uint32_t)((uint64_t)share * 1000 / RESOURCE_SHARE_ONE);
}

void evenness_tell(const struct evenness *evenness,
                   Kontor__V1__Evenness *message)
{
    kontor__v1__evenness__init(message);
    message->highest_milli = milli_of(evenness->highest);
    message->lowest_milli = milli_of(evenness->lowest);
    message->deviation_milli = milli_of(evenness->deviation);
}

/* ---- what may go where ---- */

/* Somebody else there wants to be with its app. */
static bool is_company(const struct placement_entry *entry,
                       const struct resident *pod)
{
    for (uint32_t i = 0; i < entry->resident_count; i++) {
        const struct resident *other = &entry->residents[i];

        for (size_t k = 0; k < other->spec->n_with; k++) {
            if (other->pod_id != pod->pod_id &&
                strcmp(other->spec->with[k], pod->spec->app) == 0)
                return true;
        }
    }
    return false;
}

/* Which of the pods may leave, and by which rules. */
static void ask(struct evening *work, const struct placement_entry *entry,
                struct offer *offer)
{
    const struct even_limits *limits = work->limits;
    const struct placement_request request = {.node = offer->spec->node,
                                              .spec = offer->spec};

    offer->asked = true;
    for (uint32_t i = 0; i < entry->resident_count && !offer->may_leave; i++) {
        const struct resident *pod = &entry->residents[i];

        offer->pod_id = pod->pod_id;
        offer->may_leave = pod->spec == offer->spec &&
                           limits->may_move(limits->data, pod->pod_id) &&
                           !is_company(entry, pod);
    }
    rules_init(&offer->rules, work->placement, &request);
    offer->crowd = rules_crowd(&offer->rules, entry);
    spend(work, ASK_STEPS + entry->resident_count +
                    (offer->rules.around ? work->count : 0));
}

static bool is_offered(const struct evening *work,
                       const Kontor__V1__PodSpec *spec)
{
    for (size_t i = 0; i < work->offer_count; i++) {
        if (work->offers[i].spec == spec)
            return true;
    }
    return false;
}

static void list_offers(struct evening *work,
                        const struct placement_entry *entry)
{
    work->offers = memory_resize(work->offers, (entry->resident_count + 1) *
                                                   sizeof *work->offers);
    for (uint32_t i = 0; i < entry->resident_count; i++) {
        const Kontor__V1__PodSpec *spec = entry->residents[i].spec;

        if (spend(work, 1 + work->offer_count) && !is_offered(work, spec))
            work->offers[work->offer_count++] = (struct offer){
                .spec = spec, .want = resources_of(spec->resources)};
    }
}

static void clear_offers(struct evening *work)
{
    while (work->offer_count > 0) {
        struct offer *offer = &work->offers[--work->offer_count];

        if (offer->asked)
            rules_fini(&offer->rules);
    }
}

/* Among fewer pods of its app than where it is, or among the same. */
static bool is_spread_as_well(const struct offer *offer,
                              const struct placement_entry *from,
                              const struct placement_entry *to)
{
    const char *key = offer->spec->spread;
    const char *here, *there;

    if (key[0] == '\0' || rules_crowd(&offer->rules, to) < offer->crowd)
        return true;
    here = kind_label(from->kind, key);
    there = kind_label(to->kind, key);
    return !offer->rules.spread_hosts && here && there &&
           strcmp(here, there) == 0;
}

/* ---- one move ---- */

static int64_t square(int64_t number)
{
    return number * number;
}

/* By how much the sum of squared distances from the mean falls when two nodes
 * change so, times the number of nodes. */
static int64_t gain_of(const struct evening *work, const struct spot *from,
                       const struct spot *to, const struct offer *offer)
{
    struct resources room = placement_room(from->entry);
    struct resources left = placement_room(to->entry);
    int64_t sum = (int64_t)work->sum;
    int64_t from_then, to_then, sum_then;

    resources_add(&room, &offer->want);
    left = resources_less(&left, &offer->want);
    from_then = share_with(from->entry, &room);
    to_then = share_with(to->entry, &left);
    sum_then = sum - from->share - to->share + from_then + to_then;
    return (int64_t)work->count * (square(from->share) + square(to->share) -
                                   square(from_then) - square(to_then)) -
           (sum - sum_then) * (sum + sum_then);
}

static bool may_go(struct evening *work, const struct spot *from,
                   const struct spot *to, struct offer *offer)
{
    if (!offer->asked)
        ask(work, from->entry, offer);
    return offer->may_leave && rules_allow(&offer->rules, to->entry) &&
           is_spread_as_well(offer, from->entry, to->entry);
}

/* The pod whose going pays most, or NULL. */
static const struct offer *
best_offer(struct evening *work, const struct spot *from, const struct spot *to)
{
    struct resources room = placement_room(to->entry);
    int64_t most = (int64_t)work->count * PAYS - 1;
    const struct offer *best = NULL;

    for (size_t i = 0; i < work->offer_count; i++) {
        struct offer *offer = &work->offers[i];
        int64_t gain;

        if (!resources_fit(&room, &offer->want) ||
            (offer->asked && !offer->may_leave))
            continue;
        gain = gain_of(work, from, to, offer);
        if (gain <= most || !may_go(work, from, to, offer))
            continue;
        most = gain;
        best = offer;
    }
    return best;
}

static void measure(struct evening *work, struct spot *spot)
{
    work->sum -= spot->share;
    spot->share = share_of(spot->entry);
    work->sum += spot->share;
}

static void carry_out(struct evening *work, struct spot *from, struct spot *to,
                      const struct offer *offer)
{
    const struct placement_move move = {offer->pod_id, from->entry->node.id,
                                        to->entry->node.id};
    struct placement_moves *moves = &work->moves;

    moves->moves =
        memory_resize(moves->moves, (moves->count + 1) * sizeof *moves->moves);
    moves->moves[moves->count++] = move;
    placement_move(work->placement, &move);
    from->role = ROLE_GIVES;
    to->role = ROLE_TAKES;
    measure(work, from);
    measure(work, to);
}

/* ---- all ---- */

/* Move one of the offers, to the emptiest node where that pays. False: nowhere,
 * or the giver's part of the steps is used up. */
static bool give_one(struct evening *work, struct spot *from)
{
    uint64_t steps = LINE_STEPS + work->offer_count * LOOK_STEPS;
    uint64_t part = work->steps_left / (work->givers.count + 1);
    const struct offer *offer = NULL;
    size_t passed = 0;
    struct spot *to;

    while (!offer && (to = line_take(&work->takers))) {
        if (to->role == ROLE_GIVES)
            continue;
        work->passed[passed++] = to;
        if (from->share < to->share + EVEN_APART || steps > part ||
            !spend(work, steps))
            break;
        part -= steps;
        offer = best_offer(work, from, to);
        if (offer)
            carry_out(work, from, to, offer);
    }
    while (passed > 0)
        line_put(&work->takers, work->passed[--passed]);
    return offer != NULL;
}

static bool give(struct evening *work, struct spot *from)
{
    bool given;

    list_offers(work, from->entry);
    given = work->offer_count > 0 && give_one(work, from);
    clear_offers(work);
    return given;
}

static struct line line_new(size_t size, bool fullest)
{
    return (struct line){.turns = memory_array(size + 1, sizeof(struct turn)),
                         .fullest = fullest};
}

/* All open nodes may give or take. */
static void list_nodes(struct evening *work)
{
    const struct placement *placement = work->placement;
    size_t most = placement->count;

    work->spots = memory_array(most + 1, sizeof *work->spots);
    work->passed = memory_array(most + 1, sizeof(struct spot *));
    work->givers = line_new(most, true);
    work->takers = line_new(most, false);
    for (size_t i = 0; i < most; i++) {
        struct spot *spot = &work->spots[work->count];

        if (placement->nodes[i]->node.closed != PLACEMENT_OPEN)
            continue;
        spot->entry = placement->nodes[i];
        measure(work, spot);
        line_put(&work->givers, spot);
        line_put(&work->takers, spot);
        work->count++;
    }
}

struct placement_moves placement_even(struct placement *placement,
                                      const struct even_limits *limits)
{
    struct evening work = {
        .placement = placement, .limits = limits, .steps_left = limits->steps};
    struct spot *from;

    list_nodes(&work);
    while (work.moves.count < limits->moves &&
           (from = line_take(&work.givers))) {
        if (from->role != ROLE_TAKES && give(&work, from))
            line_put(&work.givers, from);
    }
    free(work.spots);
    free(work.passed);
    free(work.givers.turns);
    free(work.takers.turns);
    free(work.offers);
    return work.moves;
}
