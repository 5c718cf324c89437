/* map.h - intrusive hash tables: by string and by 64-bit id.
 *
 * The element embeds a `struct map_link` and owns its key; the map owns only
 * its slots. Iteration order is not defined, so none is offered: keep a list
 * beside the map to walk. */
#pragma once

#include "base/lang.h"

#include <stdint.h>

struct map_link {
    struct map_link *next;
    uint64_t hash;
};

struct map {
    struct map_link **slots; /* owned; a power of two, or none */
    size_t slot_count;
    size_t count;
};

void map_init(struct map *map);
void map_fini(struct map *map); /* leaves the elements alone */

/* A mixing hash of an id; distinct ids have distinct hashes. */
uint64_t map_hash_id(uint64_t id);
/* FNV-1a. */
uint64_t map_hash_bytes(const void *bytes, size_t length);

/* Add an element; the caller has made sure that its key is not there yet. */
void map_insert(struct map *map, struct map_link *link, uint64_t hash);

/* Take an element out; it must be in. */
void map_remove(struct map *map, struct map_link *link);

/* The chain of elements that may have `hash`; the caller walks `->next`
 * and compares hash and key. NULL when there is none. */
struct map_link *map_chain(const struct map *map, uint64_t hash);
