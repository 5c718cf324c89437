#include "master/placement/placement.h"

#include "base/memory.h"
#include "master/placement/index.h"

#include <assert.h>
#include <string.h>

enum { CAPACITY_MIN = 16 };

struct placement *placement_new(void)
{
    struct placement *placement = memory_new(sizeof *placement);

    map_init(&placement->by_name);
    kinds_init(&placement->kinds);
    presences_init(&placement->presences);
    list_init(&placement->changed);
    return placement;
}

void placement_free(struct placement *placement)
{
    if (!placement)
        return;
    for (size_t i = 0; i < placement->count; i++) {
        free(placement->nodes[i]->residents);
        free(placement->nodes[i]);
    }
    free(placement->nodes);
    free(placement->kind_numbers);
    kinds_fini(&placement->kinds);
    presences_fini(&placement->presences);
    priorities_fini(&placement->priorities);
    map_fini(&placement->by_name);
    order_fini(&placement->order);
    free(placement);
}

/* ---- the nodes by id and by name ---- */

/* Where `id` is, or where it would have to stand. */
static size_t position_of(const struct placement *placement, uint64_t id)
{
    size_t low = 0;
    size_t high = placement->count;

    /* Ids are given in sequence: mostly it is where it is expected. */
    if (high > 0 && id - placement->nodes[0]->node.id < high &&
        placement->nodes[id - placement->nodes[0]->node.id]->node.id == id)
        return id - placement->nodes[0]->node.id;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (placement->nodes[middle]->node.id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct placement_entry *placement_find(const struct placement *placement,
                                       uint64_t id)
{
    size_t at = position_of(placement, id);

    if (at == placement->count || placement->nodes[at]->node.id != id)
        return NULL;
    return placement->nodes[at];
}

static uint64_t name_hash(const char *name)
{
    return map_hash_bytes(name, strlen(name));
}

struct placement_entry *placement_find_name(const struct placement *placement,
                                            const char *name)
{
    uint64_t hash = name_hash(name);
    struct map_link *link = map_chain(&placement->by_name, hash);

    for (; link; link = link->next) {
        struct placement_entry *entry =
            container_of(link, struct placement_entry, by_name);

        if (link->hash == hash && strcmp(entry->node.name, name) == 0)
            return entry;
    }
    return NULL;
}

static struct placement_entry *insert(struct placement *placement,
                                      const struct placement_node *node)
{
    size_t at = position_of(placement, node->id);
    struct placement_entry *entry = memory_new(sizeof *entry);

    assert(placement->count < PLACEMENT_NODES_MAX);
    if (placement->count == placement->capacity) {
        placement->capacity =
            placement->capacity ? placement->capacity * 2 : CAPACITY_MIN;
        placement->nodes = memory_resize(
            placement->nodes, placement->capacity * sizeof placement->nodes[0]);
        placement->kind_numbers = memory_resize(
            placement->kind_numbers,
            placement->capacity * sizeof placement->kind_numbers[0]);
    }
    memmove(&placement->nodes[at + 1], &placement->nodes[at],
            (placement->count - at) * sizeof placement->nodes[0]);
    placement->nodes[at] = entry;
    entry->number = (uint32_t)placement->count++;
    list_init(&entry->changed);
    map_insert(&placement->by_name, &entry->by_name, name_hash(node->name));
    return entry;
}

/* ---- their order ---- */

void placement_touch(struct placement *placement, struct placement_entry *entry)
{
    if (list_empty(&entry->changed))
        list_append(&placement->changed, &entry->changed);
}

/* The least and then the sum of what is free, as shares of what the greatest
 * node has. */
uint64_t placement_rank(const struct placement *placement,
                        const struct resources *room)
{
    const uint64_t *greatest = placement->demand.greatest.amount;
    uint64_t least = RESOURCE_SHARE_ONE;
    uint64_t sum = 0;

    for (int i = 0; i < RESOURCE_COUNT; i++) {
        uint32_t share = resource_share(room->amount[i], greatest[i]);

        sum += share;
        if (greatest[i] > 0 && share < least)
            least = share;
    }
    return least << 32 | sum;
}

static void settle(struct placement *placement, struct placement_entry *entry)
{
    bool open = entry->node.closed == PLACEMENT_OPEN;
    struct resources room = placement_room(entry);
    struct order_item item = {
        .key = {placement_rank(placement, &room), entry->node.id},
        .room = room,
        .kinds = kind_bit(entry->kind),
        .what = entry,
    };

    if (entry->in_order && open &&
        memcmp(&entry->ordered, &item, sizeof item) == 0)
        return;
    if (entry->in_order)
        order_remove(&placement->order, entry->ordered.key);
    entry->in_order = open;
    if (open)
        order_insert(&placement->order, &item);
    entry->ordered = item;
}

void placement_settle(struct placement *placement)
{
    list_for_each(link, next, &placement->changed)
    {
        struct placement_entry *entry =
            container_of(link, struct placement_entry, changed);

        list_remove(link);
        settle(placement, entry);
    }
}

/* A node that is greater than all before gives every rank another unit. */
static void measure(struct placement *placement,
                    const struct resources *capacity)
{
    struct resources *greatest = &placement->demand.greatest;
    bool grown = false;

    for (int i = 0; i < RESOURCE_COUNT; i++) {
        if (capacity->amount[i] > greatest->amount[i]) {
            greatest->amount[i] = capacity->amount[i];
            grown = true;
        }
    }
    for (size_t i = 0; i < placement->count && grown; i++)
        placement_touch(placement, placement->nodes[i]);
}

/* ---- what is told of them ---- */

static void set_kind(struct placement *placement, struct placement_entry *entry,
                     const struct kind_labels *labels)
{
    struct kind *before = entry->kind;

    entry->kind = kinds_take(&placement->kinds, labels);
    if (before)
        kinds_drop(&placement->kinds, before);
    placement->kind_numbers[entry->number] = entry->kind->number;
    entry->node.labels = (struct kind_labels){0};
}

bool placement_set(struct placement *placement,
                   const struct placement_node *node)
{
    struct placement_entry *entry = placement_find(placement, node->id);
    struct placement_node before = {.closed = PLACEMENT_LOST};
    const struct kind *kind = entry ? entry->kind : NULL;

    if (entry)
        before = entry->node;
    else
        entry = insert(placement, node);
    entry->node = *node;
    set_kind(placement, entry, &node->labels);
    placement_touch(placement, entry);
    measure(placement, &node->capacity);
    if (node->closed != PLACEMENT_OPEN)
        return false;
    return before.closed != PLACEMENT_OPEN || entry->kind != kind ||
           !resources_fit(&before.free, &node->free);
}
