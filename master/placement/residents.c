/* The pods that are on nodes, or are to be: what others may want to be near to
 * or away from, and what may have to make room. */
#include "base/memory.h"
#include "master/placement/index.h"
#include "master/placement/single.h"

#include <assert.h>

enum { RESIDENTS_MIN = 4 };

/* Count a pod under its app, and under those it does not want by it. */
static void appear(struct placement *placement, uint32_t node,
                   const Kontor__V1__PodSpec *spec)
{
    presences_add(&placement->presences, PRESENCE_PODS, spec->app, node);
    for (size_t i = 0; i < spec->n_anti; i++)
        presences_add(&placement->presences, PRESENCE_AVERSE, spec->anti[i],
                      node);
}

static void disappear(struct placement *placement, uint32_t node,
                      const Kontor__V1__PodSpec *spec)
{
    presences_take(&placement->presences, PRESENCE_PODS, spec->app, node);
    for (size_t i = 0; i < spec->n_anti; i++)
        presences_take(&placement->presences, PRESENCE_AVERSE, spec->anti[i],
                       node);
}

/* ---- holds ---- */

/* What is counted of a spec, in one piece of memory. */
static struct placement_hold *hold_new(const Kontor__V1__PodSpec *spec)
{
    struct placement_hold *hold = memory_new(sizeof *hold);

    if (!spec)
        return hold;
    hold->spec = memory_new(sizeof *hold->spec);
    kontor__v1__pod_spec__init(hold->spec);
    hold->spec->app = memory_string(spec->app);
    hold->spec->n_anti = spec->n_anti;
    hold->spec->anti = memory_array(spec->n_anti + 1, sizeof(char *));
    for (size_t i = 0; i < spec->n_anti; i++)
        hold->spec->anti[i] = memory_string(spec->anti[i]);
    return hold;
}

struct placement_hold *placement_hold(struct placement *placement,
                                      uint64_t node_id,
                                      const struct placement_request *request)
{
    struct placement_entry *entry = placement_find(placement, node_id);
    struct placement_hold *hold = hold_new(request->spec);

    assert(entry);
    hold->entry = entry;
    hold->want = request->want;
    resources_add(&entry->reserved, &request->want);
    placement_touch(placement, entry);
    if (hold->spec)
        appear(placement, entry->number, hold->spec);
    return hold;
}

uint64_t placement_hold_node(const struct placement_hold *hold)
{
    return hold->entry->node.id;
}

const char *placement_hold_app(const struct placement_hold *hold)
{
    return hold->spec ? hold->spec->app : "";
}

bool placement_has_app(const struct placement *placement, const char *app)
{
    return presences_find(&placement->presences, PRESENCE_PODS, app) != NULL;
}

void placement_unhold(struct placement *placement, struct placement_hold *hold)
{
    if (!hold)
        return;
    hold->entry->reserved = resources_less(&hold->entry->reserved, &hold->want);
    placement_touch(placement, hold->entry);
    if (hold->spec) {
        disappear(placement, hold->entry->number, hold->spec);
        kontor__v1__pod_spec__free_unpacked(hold->spec, NULL);
    }
    free(hold);
}

/* ---- pods that are there ---- */

void placement_put(struct placement *placement, uint64_t node_id,
                   uint64_t pod_id, const Kontor__V1__PodSpec *spec)
{
    struct placement_entry *entry = placement_find(placement, node_id);
    const struct resident pod = {pod_id, spec};

    assert(entry);
    if (entry->resident_count == entry->resident_capacity) {
        entry->resident_capacity = entry->resident_capacity
                                       ? entry->resident_capacity * 2
                                       : RESIDENTS_MIN;
        entry->residents =
            memory_resize(entry->residents,
                          entry->resident_capacity * sizeof *entry->residents);
    }
    entry->residents[entry->resident_count++] = pod;
    entry->shed.known = false;
    if (resident_may_go(&pod, INT32_MAX))
        priorities_add(&placement->priorities, spec->priority);
    appear(placement, entry->number, spec);
}

void placement_take(struct placement *placement, uint64_t node_id,
                    uint64_t pod_id)
{
    struct placement_entry *entry = placement_find(placement, node_id);
    struct resident pod;
    uint32_t at = 0;

    assert(entry);
    while (at < entry->resident_count && entry->residents[at].pod_id != pod_id)
        at++;
    assert(at < entry->resident_count);
    pod = entry->residents[at];
    disappear(placement, entry->number, pod.spec);
    if (resident_may_go(&pod, INT32_MAX))
        priorities_take(&placement->priorities, pod.spec->priority);
    entry->residents[at] = entry->residents[--entry->resident_count];
    entry->shed.known = false;
}

const struct shed *placement_shed(struct placement_entry *entry)
{
    struct shed *shed = &entry->shed;

    if (shed->known)
        return shed;
    *shed = (struct shed){.known = true, .lowest = INT32_MAX};
    for (uint32_t i = 0; i < entry->resident_count; i++) {
        const struct resident *pod = &entry->residents[i];
        struct resources want = resources_of(pod->spec->resources);

        if (!resident_may_go(pod, INT32_MAX))
            continue;
        if (pod->spec->priority < shed->lowest)
            shed->lowest = pod->spec->priority;
        resources_add(&shed->all, &want);
        reach_add(&shed->reach, &want);
    }
    return shed;
}
