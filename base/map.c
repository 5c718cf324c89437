#include "base/map.h"

#include "base/memory.h"

#include <assert.h>

enum { SLOTS_MIN = 16 };

void map_init(struct map *map)
{
    *map = (struct map){0};
}

void map_fini(struct map *map)
{
    free(map->slots);
    *map = (struct map){0};
}

uint64_t map_hash_id(uint64_t id)
{
    id = (id ^ (id >> 30)) * 0xbf58476d1ce4e5b9u;
    id = (id ^ (id >> 27)) * 0x94d049bb133111ebu;
    return id ^ (id >> 31);
}

uint64_t map_hash_bytes(const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

static struct map_link **slot_of(const struct map *map, uint64_t hash)
{
    return &map->slots[hash & (map->slot_count - 1)];
}

static void grow(struct map *map)
{
    struct map old = *map;

    map->slot_count = old.slot_count ? old.slot_count * 2 : SLOTS_MIN;
    map->slots = memory_array(map->slot_count, sizeof(struct map_link *));
    for (size_t i = 0; i < old.slot_count; i++) {
        struct map_link *link = old.slots[i];

        while (link) {
            struct map_link *next = link->next;
            struct map_link **slot = slot_of(map, link->hash);

            link->next = *slot;
            *slot = link;
            link = next;
        }
    }
    free(old.slots);
}

void map_insert(struct map *map, struct map_link *link, uint64_t hash)
{
    struct map_link **slot;

    if (map->count >= map->slot_count)
        grow(map);
    slot = slot_of(map, hash);
    link->hash = hash;
    link->next = *slot;
    *slot = link;
    map->count++;
}

void map_remove(struct map *map, struct map_link *link)
{
    struct map_link **at = slot_of(map, link->hash);

    while (*at != link) {
        assert(*at);
        at = &(*at)->next;
    }
    *at = link->next;
    link->next = NULL;
    map->count--;
}

struct map_link *map_chain(const struct map *map, uint64_t hash)
{
    return map->slot_count ? *slot_of(map, hash) : NULL;
}
