#include "master/placement/single.h"

#include "master/placement/rules.h"

#include <string.h>

static struct placement_entry *find_open(const struct placement *placement,
                                         uint64_t node_id)
{
    struct placement_entry *entry = placement_find(placement, node_id);

    return entry && entry->node.closed == PLACEMENT_OPEN ? entry : NULL;
}

bool placement_offers(const struct placement *placement, uint64_t node_id,
                      struct resources *room)
{
    const struct placement_entry *entry = find_open(placement, node_id);

    if (entry)
        *room = placement_room(entry);
    return entry != NULL;
}

bool placement_could_offer(struct placement *placement, uint64_t node_id,
                           int32_t priority, struct resources *room,
                           int32_t *lowest)
{
    struct placement_entry *entry = find_open(placement, node_id);
    const struct shed *shed;

    if (!entry || entry->resident_count == 0 ||
        priority <= priorities_lowest(&placement->priorities))
        return false;
    shed = placement_shed(entry);
    *room = placement_room(entry);
    resources_add(room, &shed->all);
    *lowest = shed->lowest;
    return shed->lowest < priority;
}

bool placement_suits(const struct placement *placement, uint64_t node_id,
                     const Kontor__V1__PodSpec *spec)
{
    const struct placement_entry *entry = find_open(placement, node_id);

    return entry && rules_allow_labels(placement, entry, spec);
}

bool placement_admits(const struct placement *placement, uint64_t node_id,
                      const Kontor__V1__PodSpec *spec)
{
    const struct placement_entry *entry = find_open(placement, node_id);

    return entry && rules_allow_apps(placement, entry, spec);
}

bool placement_would_yield(struct placement *placement, uint64_t node_id,
                           const struct placement_request *request)
{
    const struct placement_entry *entry = find_open(placement, node_id);
    const Kontor__V1__PodSpec *spec = request->spec;
    struct resources room;

    if (!entry || !resources_fit(&entry->node.capacity, &request->want) ||
        !rules_allow_labels(placement, entry, spec) ||
        !rules_allow_apps(placement, entry, spec))
        return false;
    room = placement_room(entry);
    if (resources_fit(&room, &request->want))
        return false;
    for (uint32_t i = 0; i < entry->resident_count; i++) {
        const struct resident *pod = &entry->residents[i];
        struct resources want = resources_of(pod->spec->resources);

        if (resident_may_go(pod, spec->priority))
            resources_add(&room, &want);
    }
    return resources_fit(&room, &request->want);
}

/* How many go into `room`. */
static size_t fit_into(const struct resources *room,
                       const struct resources *want, size_t enough)
{
    uint64_t most = enough;

    for (int i = 0; i < RESOURCE_COUNT; i++) {
        if (want->amount[i] > 0 && room->amount[i] / want->amount[i] < most)
            most = room->amount[i] / want->amount[i];
    }
    return most;
}

size_t placement_room_for(const struct placement *placement,
                          const struct placement_request *request,
                          size_t enough)
{
    size_t sum = 0;

    for (size_t i = 0; i < placement->count && sum < enough; i++) {
        const struct placement_entry *entry = placement->nodes[i];
        struct resources room = placement_room(entry);
        size_t fit = fit_into(&room, &request->want, enough - sum);

        if (fit > 0 && entry->node.closed == PLACEMENT_OPEN &&
            rules_allow_labels(placement, entry, request->spec))
            sum += fit;
    }
    return sum;
}
