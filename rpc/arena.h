/* arena.h - memory for one message and all its parts, freed at once. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

/* What one message may take when decoded; many times its wire size, which a
 * hostile message can choose freely. */
enum { ARENA_MAX_BYTES = 64 << 20, ARENA_FIRST_BYTES = 2048 };

struct arena {
    struct arena_chunk *chunks; /* owned */
    uint8_t *next;
    size_t left_bytes;  /* at `next` */
    size_t total_bytes; /* of the chunks */
    ProtobufCAllocator allocator;
    _Alignas(16) uint8_t first[ARENA_FIRST_BYTES];
};

/* `arena` may not move afterwards. */
void arena_init(struct arena *arena);
void arena_fini(struct arena *arena);

/* NULL when the bytes are no such message or it grows too large. It lives as
 * long as the arena. */
ProtobufCMessage *arena_unpack(struct arena *arena,
                               const ProtobufCMessageDescriptor *descriptor,
                               const uint8_t *bytes, size_t length);
