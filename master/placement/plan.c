#include "master/placement/plan.h"

#include "base/memory.h"
#include "master/placement/index.h"

#include <assert.h>
#include <string.h>

static struct placement_entry *entry_copy(const struct placement_entry *entry,
                                          const struct kinds *kinds)
{
    struct placement_entry *copy = memory_copy(entry, sizeof *entry);

    copy->kind = kinds->all[entry->kind->number];
    copy->residents = memory_copy(
        entry->residents, entry->resident_count * sizeof *entry->residents);
    copy->resident_capacity = entry->resident_count;
    copy->in_order = false;
    list_init(&copy->changed);
    return copy;
}

struct placement *placement_copy(const struct placement *placement)
{
    struct placement *copy = placement_new();

    kinds_copy(&copy->kinds, &placement->kinds);
    presences_copy(&copy->presences, &placement->presences);
    copy->demand = placement->demand;
    priorities_copy(&copy->priorities, &placement->priorities);
    copy->count = copy->capacity = placement->count;
    copy->nodes =
        memory_array(copy->count + 1, sizeof(struct placement_entry *));
    copy->kind_numbers = memory_copy(placement->kind_numbers,
                                     copy->count * sizeof *copy->kind_numbers);
    for (size_t i = 0; i < copy->count; i++) {
        struct placement_entry *entry =
            entry_copy(placement->nodes[i], &copy->kinds);

        copy->nodes[i] = entry;
        map_insert(&copy->by_name, &entry->by_name,
                   placement->nodes[i]->by_name.hash);
        placement_touch(copy, entry);
    }
    return copy;
}

size_t placement_nodes_used(const struct placement *placement)
{
    size_t used = 0;

    for (size_t i = 0; i < placement->count; i++)
        used += placement->nodes[i]->resident_count > 0;
    return used;
}

void placement_give(struct placement *placement, uint64_t node_id,
                    uint64_t pod_id, const Kontor__V1__PodSpec *spec)
{
    struct placement_entry *entry = placement_find(placement, node_id);
    struct resources want = resources_of(spec->resources);

    placement_put(placement, node_id, pod_id, spec);
    entry->node.free = resources_less(&entry->node.free, &want);
    placement_touch(placement, entry);
}

const Kontor__V1__PodSpec *placement_withdraw(struct placement *placement,
                                              uint64_t node_id, uint64_t pod_id)
{
    struct placement_entry *entry = placement_find(placement, node_id);
    const Kontor__V1__PodSpec *spec = NULL;
    struct resources want;

    assert(entry);
    for (uint32_t i = 0; i < entry->resident_count && !spec; i++) {
        if (entry->residents[i].pod_id == pod_id)
            spec = entry->residents[i].spec;
    }
    assert(spec);
    want = resources_of(spec->resources);
    placement_take(placement, node_id, pod_id);
    resources_add(&entry->node.free, &want);
    placement_touch(placement, entry);
    return spec;
}

void placement_move(struct placement *placement,
                    const struct placement_move *move)
{
    placement_give(placement, move->to_id, move->pod_id,
                   placement_withdraw(placement, move->from_id, move->pod_id));
}

struct placement_moves placement_drain(struct placement *placement,
                                       uint64_t node_id)
{
    struct placement_entry *entry = placement_find(placement, node_id);
    size_t count = entry ? entry->resident_count : 0;
    struct placement_moves moves = {
        memory_array(count + 1, sizeof *moves.moves), count};
    struct placement_request *requests =
        memory_array(count + 1, sizeof *requests);
    struct placement_hold **holds =
        memory_array(count + 1, sizeof(struct placement_hold *));

    for (size_t i = 0; i < count; i++) {
        const Kontor__V1__PodSpec *spec = entry->residents[i].spec;

        moves.moves[i] =
            (struct placement_move){entry->residents[i].pod_id, node_id, 0};
        requests[i] = (struct placement_request){resources_of(spec->resources),
                                                 spec->node, spec};
    }
    if (entry && entry->node.closed == PLACEMENT_OPEN) {
        entry->node.closed = PLACEMENT_CORDONED;
        placement_touch(placement, entry);
    }
    placement_place_all(placement, requests, count, holds);
    for (size_t i = 0; i < count; i++) {
        if (!holds[i])
            continue;
        moves.moves[i].to_id = placement_hold_node(holds[i]);
        placement_unhold(placement, holds[i]);
        placement_move(placement, &moves.moves[i]);
    }
    free(requests);
    free(holds);
    return moves;
}
