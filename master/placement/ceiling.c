#include "master/placement/ceiling.h"

#include "master/placement/rules.h"
#include "master/placement/single.h"

#include <string.h>

static bool is_among(char *const *apps, size_t count, const char *app)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(apps[i], app) == 0)
            return true;
    }
    return false;
}

enum placement_company placement_company(const struct placement *placement,
                                         const Kontor__V1__PodSpec *spec)
{
    if (is_among(spec->anti, spec->n_anti, spec->app))
        return PLACEMENT_APART;
    if (is_among(spec->with, spec->n_with, spec->app) &&
        !placement_has_app(placement, spec->app))
        return PLACEMENT_TOGETHER;
    return PLACEMENT_ANYHOW;
}

/* Of what fits on one node with nothing else there. */
static size_t fit_alone(const struct placement_entry *entry,
                        const struct resources *want, size_t enough)
{
    uint64_t most = enough;

    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint64_t amount = entry->node.capacity.amount[i];

        if (want->amount[i] > 0 && amount / want->amount[i] < most)
            most = amount / want->amount[i];
    }
    return most;
}

size_t placement_ceiling(const struct placement *placement,
                         const struct placement_request *request, size_t enough)
{
    enum placement_company company =
        placement_company(placement, request->spec);
    size_t on_one = company == PLACEMENT_APART && enough > 1 ? 1 : enough;
    size_t sum = 0;

    for (size_t i = 0; i < placement->count && sum < enough; i++) {
        const struct placement_entry *entry = placement->nodes[i];
        size_t fit = fit_alone(entry, &request->want, on_one);

        if (fit == 0 || !rules_allow_labels(placement, entry, request->spec))
            continue;
        if (company != PLACEMENT_TOGETHER)
            sum += fit;
        else if (fit > sum)
            sum = fit;
    }
    return sum < enough ? sum : enough;
}
