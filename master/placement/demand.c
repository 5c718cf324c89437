#include "master/placement/demand.h"

#include <string.h>

enum {
    CHOOSE_EVERY = 64, /* requests, between choices of staples */
    HALVE_EVERY = 1 << 14,
    TOLERATED_PART = 128, /* of the greatest node is no waste */
    BULKY_PART = 32,
};

/* The heaviest shapes become the staples, by weight; few, so by insertion. */
static void choose_staples(struct demand *demand)
{
    size_t best[DEMAND_STAPLES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < demand->seen_count; i++) {
        size_t at = count;

        while (at > 0 && demand->weight[best[at - 1]] < demand->weight[i])
            at--;
        if (at == DEMAND_STAPLES_MAX)
            continue;
        if (count < DEMAND_STAPLES_MAX)
            count++;
        memmove(&best[at + 1], &best[at], (count - at - 1) * sizeof best[0]);
        best[at] = i;
    }
    for (size_t i = 0; i < count; i++)
        demand->staples[i] = demand->seen[best[i]];
    demand->staple_count = count;
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        if (demand->asked[i] > demand->asked[demand->scarcest])
            demand->scarcest = (enum resource_kind)i;
    }
}

static void halve(struct demand *demand)
{
    for (size_t i = 0; i < demand->seen_count; i++)
        demand->weight[i] /= 2;
    for (int i = 0; i < RESOURCE_COUNT; i++)
        demand->asked[i] /= 2;
}

/* Where the shape is counted; one that is new takes the lightest's place and
 * weight. */
static size_t place_of(struct demand *demand, const struct resources *want)
{
    size_t lightest = 0;

    for (size_t i = 0; i < demand->seen_count; i++) {
        if (memcmp(&demand->seen[i], want, sizeof *want) == 0)
            return i;
        if (demand->weight[i] < demand->weight[lightest])
            lightest = i;
    }
    if (demand->seen_count < DEMAND_SEEN_MAX) {
        lightest = demand->seen_count++;
        demand->weight[lightest] = 0;
    }
    demand->seen[lightest] = *want;
    return lightest;
}

void demand_note(struct demand *demand, const struct resources *want)
{
    const uint64_t *greatest = demand->greatest.amount;
    enum resource_kind scarcest = demand->scarcest;

    for (int i = 0; i < RESOURCE_COUNT; i++)
        demand->asked[i] += resource_share(want->amount[i], greatest[i]);
    demand->weight[place_of(demand, want)] +=
        resource_share(want->amount[scarcest], greatest[scarcest]);
    if (++demand->noted % HALVE_EVERY == 0)
        halve(demand);
    if (demand->noted % CHOOSE_EVERY == 0 || demand->noted < CHOOSE_EVERY)
        choose_staples(demand);
}

bool demand_is_bulky(const struct demand *demand, const struct resources *want)
{
    enum resource_kind scarcest = demand->scarcest;

    return want->amount[scarcest] >
           demand->greatest.amount[scarcest] / BULKY_PART;
}

/* How many of `want` go into `room`. */
static uint64_t times(const struct resources *room,
                      const struct resources *want)
{
    uint64_t least = UINT64_MAX;

    for (int i = 0; i < RESOURCE_COUNT; i++) {
        if (want->amount[i] > 0 && room->amount[i] / want->amount[i] < least)
            least = room->amount[i] / want->amount[i];
    }
    return least;
}

static void take(struct resources *room, const struct resources *want,
                 uint64_t count)
{
    for (int i = 0; i < RESOURCE_COUNT; i++)
        room->amount[i] -= want->amount[i] * count;
}

uint64_t demand_waste(const struct demand *demand, const struct resources *room)
{
    enum resource_kind scarcest = demand->scarcest;
    uint64_t tolerated = demand->greatest.amount[scarcest] / TOLERATED_PART;
    uint64_t least = room->amount[scarcest];

    for (size_t i = 0; i < demand->staple_count && least > tolerated; i++) {
        const struct resources *first = &demand->staples[i];
        struct resources left = *room;

        if (first->amount[scarcest] == 0 || !resources_fit(room, first))
            continue;
        take(&left, first, times(room, first));
        if (left.amount[scarcest] < least)
            least = left.amount[scarcest];
        for (size_t j = i + 1; j < demand->staple_count && least > tolerated;
             j++) {
            const struct resources *second = &demand->staples[j];
            struct resources rest = left;

            if (second->amount[scarcest] == 0 || !resources_fit(&left, second))
                continue;
            take(&rest, second, times(&left, second));
            if (rest.amount[scarcest] < least)
                least = rest.amount[scarcest];
        }
    }
    return least > tolerated ? least : 0;
}

uint64_t demand_awkwardness(const struct demand *demand,
                            const struct resources *want)
{
    uint64_t scarce = resource_share(want->amount[demand->scarcest],
                                     demand->greatest.amount[demand->scarcest]);
    uint64_t most = 0;

    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint64_t share =
            resource_share(want->amount[i], demand->greatest.amount[i]);

        if (share > most)
            most = share;
    }
    return (most << 16) / (scarce + 1) << 17 | scarce;
}
