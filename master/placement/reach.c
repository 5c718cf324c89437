#include "master/placement/reach.h"

void reach_add(struct reach *reach, const struct resources *want)
{
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint64_t amount = want->amount[i];

        for (int k = 0; k < REACH_MAX; k++) {
            uint64_t *at = &reach->largest[k].amount[i];
            uint64_t before = *at;

            if (amount <= before)
                continue;
            *at = amount;
            amount = before;
        }
    }
}

bool reach_covers(const struct reach *reach, uint32_t pods,
                  const struct resources *lacking)
{
    struct resources left = *lacking;

    for (uint32_t k = 0; k < pods; k++)
        left = resources_less(&left, &reach->largest[k]);
    return resources_none(&left);
}

uint32_t reach_fewest(const struct reach *reach,
                      const struct resources *lacking)
{
    const struct resources *least = &reach->largest[REACH_MAX - 1];
    struct resources left = *lacking;
    uint64_t more = 0; /* pods, that take no more than `least` */
    uint32_t pods = 0;

    while (pods < REACH_MAX && !resources_none(&left))
        left = resources_less(&left, &reach->largest[pods++]);
    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint64_t each = least->amount[i];

        if (left.amount[i] == 0)
            continue;
        if (each == 0)
            return UINT32_MAX;
        if (left.amount[i] / each + (left.amount[i] % each > 0) > more)
            more = left.amount[i] / each + (left.amount[i] % each > 0);
    }
    return more < UINT32_MAX - pods ? pods + (uint32_t)more : UINT32_MAX;
}
