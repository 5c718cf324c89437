#include "master/placement/placement.h"

#include "base/memory.h"
#include "master/placement/index.h"

#include <assert.h>
#include <string.h>

enum { SHARE_ONE = 1 << 16, CAPACITY_MIN = 16 };

struct placement *placement_new(void)
{
    return memory_new(sizeof(struct placement));
}

void placement_free(struct placement *placement)
{
    if (!placement)
        return;
    free(placement->nodes);
    free(placement);
}

/* Where `id` is, or where it would have to stand. */
static size_t position_of(const struct placement *placement, uint64_t id)
{
    size_t low = 0;
    size_t high = placement->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (placement->nodes[middle].node.id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct placement_entry *find(const struct placement *placement,
                                    uint64_t id)
{
    size_t at = position_of(placement, id);

    if (at == placement->count || placement->nodes[at].node.id != id)
        return NULL;
    return &placement->nodes[at];
}

static struct placement_entry *insert(struct placement *placement, uint64_t id)
{
    size_t at = position_of(placement, id);
    struct placement_entry *entry;

    assert(placement->count < PLACEMENT_NODES_MAX);
    if (placement->count == placement->capacity) {
        placement->capacity =
            placement->capacity ? placement->capacity * 2 : CAPACITY_MIN;
        placement->nodes = memory_resize(
            placement->nodes, placement->capacity * sizeof *placement->nodes);
    }
    entry = &placement->nodes[at];
    memmove(entry + 1, entry, (placement->count - at) * sizeof *entry);
    placement->count++;
    *entry = (struct placement_entry){0};
    return entry;
}

bool placement_set(struct placement *placement,
                   const struct placement_node *node)
{
    struct placement_entry *entry = find(placement, node->id);
    struct placement_node before;

    if (!entry) {
        entry = insert(placement, node->id);
        entry->node = *node;
        return node->closed == PLACEMENT_OPEN;
    }
    before = entry->node;
    entry->node = *node;
    if (node->closed != PLACEMENT_OPEN)
        return false;
    return before.closed != PLACEMENT_OPEN ||
           !resources_fit(&before.free, &node->free);
}

uint32_t placement_share(uint64_t part, uint64_t whole)
{
    if (whole == 0)
        return 0;
    while (whole >> 40) { /* so that the product below fits */
        whole >>= 1;
        part >>= 1;
    }
    return (uint32_t)(part * SHARE_ONE / whole);
}

/* How much is left over after giving `want`; less is better. The scarcest
 * dimension asked for counts first, the sum of all breaks ties. */
static uint64_t leftover(const struct placement_entry *entry,
                         const struct resources *free_now,
                         const struct resources *want)
{
    uint32_t scarcest = SHARE_ONE;
    uint32_t sum = 0;

    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint32_t share = placement_share(free_now->amount[i] - want->amount[i],
                                         entry->node.capacity.amount[i]);

        sum += share;
        if (want->amount[i] > 0 && share < scarcest)
            scarcest = share;
    }
    return (uint64_t)scarcest << 32 | sum;
}

uint64_t placement_choose(const struct placement *placement,
                          const struct placement_request *request)
{
    uint64_t best_id = 0;
    uint64_t best = UINT64_MAX;
    bool anywhere = request->node[0] == '\0';

    for (size_t i = 0; i < placement->count; i++) {
        const struct placement_entry *entry = &placement->nodes[i];
        struct resources left;
        uint64_t score;

        if (entry->node.closed != PLACEMENT_OPEN)
            continue;
        left = resources_less(&entry->node.free, &entry->reserved);
        if (!resources_fit(&left, &request->want))
            continue;
        if (!anywhere && strcmp(entry->node.name, request->node) != 0)
            continue;
        score = leftover(entry, &left, &request->want);
        if (score < best) { /* a tie stays with the lower id */
            best = score;
            best_id = entry->node.id;
        }
    }
    return best_id;
}

void placement_reserve(struct placement *placement, uint64_t node_id,
                       const struct resources *want)
{
    struct placement_entry *entry = find(placement, node_id);

    if (entry)
        resources_add(&entry->reserved, want);
}

void placement_release(struct placement *placement, uint64_t node_id,
                       const struct resources *want)
{
    struct placement_entry *entry = find(placement, node_id);

    if (entry)
        entry->reserved = resources_less(&entry->reserved, want);
}
