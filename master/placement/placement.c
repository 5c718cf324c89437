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
    list_init(&placement->changed);
    return placement;
}

void placement_free(struct placement *placement)
{
    if (!placement)
        return;
    for (size_t i = 0; i < placement->count; i++)
        free(placement->nodes[i]);
    free(placement->nodes);
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

static struct placement_entry *find_name(const struct placement *placement,
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
    }
    memmove(&placement->nodes[at + 1], &placement->nodes[at],
            (placement->count - at) * sizeof placement->nodes[0]);
    placement->nodes[at] = entry;
    placement->count++;
    list_init(&entry->changed);
    map_insert(&placement->by_name, &entry->by_name, name_hash(node->name));
    return entry;
}

/* ---- their order ---- */

static void touch(struct placement *placement, struct placement_entry *entry)
{
    if (list_empty(&entry->changed))
        list_append(&placement->changed, &entry->changed);
}

/* How empty a node is: the least and then the sum of what is free, as shares
 * of what the greatest node has. A request's own rank is not above that of any
 * node it fits. */
static uint64_t rank_of(const struct placement *placement,
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
        .key = {rank_of(placement, &room), entry->node.id},
        .room = room,
        .kinds = 1,
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
        touch(placement, placement->nodes[i]);
}

/* ---- what is told of them ---- */

bool placement_set(struct placement *placement,
                   const struct placement_node *node)
{
    struct placement_entry *entry = placement_find(placement, node->id);
    struct placement_node before = {.closed = PLACEMENT_LOST};

    if (entry)
        before = entry->node;
    else
        entry = insert(placement, node);
    entry->node = *node;
    touch(placement, entry);
    measure(placement, &node->capacity);
    if (node->closed != PLACEMENT_OPEN)
        return false;
    return before.closed != PLACEMENT_OPEN ||
           !resources_fit(&before.free, &node->free);
}

void placement_reserve(struct placement *placement, uint64_t node_id,
                       const struct resources *want)
{
    struct placement_entry *entry = placement_find(placement, node_id);

    if (!entry)
        return;
    resources_add(&entry->reserved, want);
    touch(placement, entry);
}

void placement_release(struct placement *placement, uint64_t node_id,
                       const struct resources *want)
{
    struct placement_entry *entry = placement_find(placement, node_id);

    if (!entry)
        return;
    entry->reserved = resources_less(&entry->reserved, want);
    touch(placement, entry);
}

/* ---- choosing ---- */

static bool has_room(const struct placement_entry *entry,
                     const struct resources *want)
{
    struct resources room = placement_room(entry);

    return entry->node.closed == PLACEMENT_OPEN && resources_fit(&room, want);
}

/* Of the fullest nodes with room, of different ranks, and the emptiest one,
 * the first where nothing more goes to waste, or that where least does. */
static struct placement_entry *choose_tidily(struct placement *placement,
                                             struct order_query *query)
{
    const struct demand *demand = &placement->demand;
    struct placement_entry *best = NULL;
    int64_t best_growth = INT64_MAX;

    for (int look = 0; look <= PLACEMENT_LOOKS; look++) {
        struct placement_entry *entry;
        struct resources room, left;
        int64_t growth;

        if (look == PLACEMENT_LOOKS &&
            !order_last_rank(&placement->order, query, &query->from_rank))
            break;
        entry = order_first(&placement->order, query);
        if (!entry)
            break;
        room = placement_room(entry);
        left = resources_less(&room, &query->want);
        growth = (int64_t)demand_waste(demand, &left) -
                 (int64_t)demand_waste(demand, &room);
        if (growth < best_growth) {
            best_growth = growth;
            best = entry;
        }
        if (growth <= 0)
            break;
        query->from_rank = entry->ordered.key.rank + 1;
    }
    return best;
}

uint64_t placement_choose(struct placement *placement,
                          const struct placement_request *request)
{
    struct order_query query = {.want = request->want, .kinds = UINT64_MAX};
    const struct placement_entry *entry;

    if (request->node[0] != '\0') {
        entry = find_name(placement, request->node);
        return entry && has_room(entry, &request->want) ? entry->node.id : 0;
    }
    placement_settle(placement);
    query.from_rank = rank_of(placement, &request->want);
    if (demand_is_bulky(&placement->demand, &request->want))
        entry = choose_tidily(placement, &query);
    else
        entry = order_first(&placement->order, &query);
    demand_note(&placement->demand, &request->want);
    return entry ? entry->node.id : 0;
}
