/* presence.h - how many pods of an app are on which node.
 *
 * Pure. Two things are counted under each app's name: its pods, and the pods
 * that do not want to be on a node with it. Nodes go by a small number. Eight
 * bytes a node and app, twice that with the room to grow; looking one up
 * costs the same whatever there is. */
#pragma once

#include "base/list.h"
#include "base/map.h"

#include <stdbool.h>

enum presence_of { PRESENCE_PODS, PRESENCE_AVERSE };

struct presence_slot {
    uint32_t node; /* its number and 1; 0: free */
    uint32_t count;
};

struct presence {
    struct map_link by_name;
    struct list all;
    enum presence_of of;
    struct presence_slot *slots; /* owned; a power of two */
    uint32_t slot_count;
    uint32_t used;
    uint64_t total;
    char name[];
};

struct presences {
    struct map by_name;
    struct list all;
    uint32_t averse; /* presences of that sort */
};

void presences_init(struct presences *presences);
void presences_fini(struct presences *presences);

/* `to` is empty. */
void presences_copy(struct presences *to, const struct presences *from);

/* One more, or one less; of what is not there none is taken. */
void presences_add(struct presences *presences, enum presence_of of,
                   const char *app, uint32_t node);
void presences_take(struct presences *presences, enum presence_of of,
                    const char *app, uint32_t node);

/* NULL: nowhere. Borrowed until the next change. */
const struct presence *presences_find(const struct presences *presences,
                                      enum presence_of of, const char *app);

/* How many are on a node; `presence` may be NULL. */
uint32_t presence_on(const struct presence *presence, uint32_t node);
