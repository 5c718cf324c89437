#include "master/placement/presence.h"

#include "base/memory.h"

#include <string.h>

enum { SLOTS_MIN = 2 };

void presences_init(struct presences *presences)
{
    map_init(&presences->by_name);
    list_init(&presences->all);
    presences->averse = 0;
}

static void presence_free(struct presence *presence)
{
    free(presence->slots);
    free(presence);
}

void presences_fini(struct presences *presences)
{
    list_for_each(link, next, &presences->all)
        presence_free(container_of(link, struct presence, all));
    map_fini(&presences->by_name);
}

static void enter(struct presences *presences, struct presence *presence,
                  uint64_t hash)
{
    presences->averse += presence->of == PRESENCE_AVERSE;
    list_append(&presences->all, &presence->all);
    map_insert(&presences->by_name, &presence->by_name, hash);
}

void presences_copy(struct presences *to, const struct presences *from)
{
    list_for_each(link, next, &from->all)
    {
        const struct presence *old = container_of(link, struct presence, all);
        struct presence *copy =
            memory_copy(old, sizeof *old + strlen(old->name) + 1);

        copy->slots =
            memory_copy(old->slots, old->slot_count * sizeof *old->slots);
        enter(to, copy, old->by_name.hash);
    }
}

static struct presence *find(const struct presences *presences,
                             enum presence_of of, const char *app)
{
    uint64_t hash = map_hash_bytes(app, strlen(app)) + of;
    struct map_link *link = map_chain(&presences->by_name, hash);

    for (; link; link = link->next) {
        struct presence *presence =
            container_of(link, struct presence, by_name);

        if (link->hash == hash && presence->of == of &&
            strcmp(presence->name, app) == 0)
            return presence;
    }
    return NULL;
}

const struct presence *presences_find(const struct presences *presences,
                                      enum presence_of of, const char *app)
{
    return find(presences, of, app);
}

/* Where the node is counted, or would be (Knuth's multiplicative hash, and on
 * to the next slot). */
static uint32_t slot_of(const struct presence *presence, uint32_t node)
{
    uint32_t at = node * UINT32_C(2654435769);

    at = (at ^ at >> 16) & (presence->slot_count - 1);
    while (presence->slots[at].node && presence->slots[at].node != node + 1)
        at = (at + 1) & (presence->slot_count - 1);
    return at;
}

uint32_t presence_on(const struct presence *presence, uint32_t node)
{
    return presence ? presence->slots[slot_of(presence, node)].count : 0;
}

/* Into twice the slots, or as many as are needed; without those that count
 * nothing any more. */
static void rehash(struct presence *presence)
{
    struct presence_slot *old = presence->slots;
    uint32_t old_count = presence->slot_count;
    uint32_t alive = 0;

    for (uint32_t i = 0; i < old_count; i++)
        alive += old[i].count > 0;
    presence->slot_count = SLOTS_MIN;
    while (presence->slot_count < 2 * (alive + 1))
        presence->slot_count *= 2;
    presence->slots = memory_array(presence->slot_count, sizeof *old);
    presence->used = alive;
    for (uint32_t i = 0; i < old_count; i++) {
        if (old[i].count > 0)
            presence->slots[slot_of(presence, old[i].node - 1)] = old[i];
    }
    free(old);
}

static struct presence *presence_new(struct presences *presences,
                                     enum presence_of of, const char *app)
{
    size_t length = strlen(app);
    struct presence *presence = memory_new(sizeof *presence + length + 1);

    memcpy(presence->name, app, length);
    presence->of = of;
    presence->slot_count = SLOTS_MIN;
    presence->slots = memory_array(SLOTS_MIN, sizeof *presence->slots);
    enter(presences, presence, map_hash_bytes(app, length) + of);
    return presence;
}

void presences_add(struct presences *presences, enum presence_of of,
                   const char *app, uint32_t node)
{
    struct presence *presence = find(presences, of, app);
    struct presence_slot *slot;

    if (!presence)
        presence = presence_new(presences, of, app);
    slot = &presence->slots[slot_of(presence, node)];
    if (slot->node == 0 &&
        (presence->used + 1) * 4 > presence->slot_count * 3) {
        rehash(presence);
        slot = &presence->slots[slot_of(presence, node)];
    }
    presence->used += slot->node == 0;
    presence->total++;
    slot->node = node + 1;
    slot->count++;
}

void presences_take(struct presences *presences, enum presence_of of,
                    const char *app, uint32_t node)
{
    struct presence *presence = find(presences, of, app);
    struct presence_slot *slot;

    if (!presence)
        return;
    slot = &presence->slots[slot_of(presence, node)];
    if (slot->count == 0)
        return;
    slot->count--;
    if (--presence->total > 0)
        return;
    presences->averse -= of == PRESENCE_AVERSE;
    list_remove(&presence->all);
    map_remove(&presences->by_name, &presence->by_name);
    presence_free(presence);
}
