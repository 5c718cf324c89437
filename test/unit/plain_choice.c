#include "plain_choice.h"

#include "master/placement/placement.h"

#include <stdlib.h>

static void measure(struct plain_node *node, const struct resources *greatest)
{
    node->least = RESOURCE_SHARE_ONE;
    node->sum = 0;
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint64_t share;

        if (greatest->amount[i] == 0)
            continue;
        share = node->room.amount[i] * RESOURCE_SHARE_ONE / greatest->amount[i];
        node->sum += share;
        if (share < node->least)
            node->least = share;
    }
}

static int fuller(const void *left, const void *right)
{
    const struct plain_node *a = left, *b = right;

    if (a->least != b->least)
        return a->least < b->least ? -1 : 1;
    if (a->sum != b->sum)
        return a->sum < b->sum ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

static bool as_full(const struct plain_node *a, const struct plain_node *b)
{
    return a->least == b->least && a->sum == b->sum;
}

/* Of the first PLACEMENT_LOOKS of those not equally full, and the emptiest. */
static uint64_t choose_tidily(const struct plain_node *fits, size_t count,
                              const struct demand *demand,
                              const struct resources *want)
{
    int64_t best_growth = INT64_MAX;
    uint64_t best = 0;
    size_t emptiest = 0;
    int looks = 0;

    for (size_t i = 1; i < count; i++) {
        if (!as_full(&fits[i], &fits[i - 1]))
            emptiest = i;
    }
    for (size_t i = 0; i < count && best_growth > 0; i++) {
        struct resources left = resources_less(&fits[i].room, want);
        int64_t growth;

        if (i > 0 && as_full(&fits[i], &fits[i - 1]))
            continue;
        if (++looks > PLACEMENT_LOOKS && i != emptiest)
            continue;
        growth = (int64_t)demand_waste(demand, &left) -
                 (int64_t)demand_waste(demand, &fits[i].room);
        if (growth < best_growth) {
            best_growth = growth;
            best = fits[i].id;
        }
    }
    return best;
}

uint64_t plain_choose(struct plain_node *fits, size_t count,
                      const struct plain_measure *by,
                      const struct resources *want)
{
    for (size_t i = 0; i < count; i++)
        measure(&fits[i], &by->greatest);
    qsort(fits, count, sizeof *fits, fuller);
    if (count > 0 && demand_is_bulky(by->demand, want))
        return choose_tidily(fits, count, by->demand, want);
    return count ? fits[0].id : 0;
}
