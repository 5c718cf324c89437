#include "rpc/arena.h"

#include "base/memory.h"

enum { ALIGNMENT = 16, CHUNK_BYTES = 32 << 10 };

struct arena_chunk {
    struct arena_chunk *next;
    _Alignas(ALIGNMENT) uint8_t bytes[];
};

static bool add_chunk(struct arena *arena, size_t size)
{
    size_t length = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    struct arena_chunk *chunk;

    if (length > ARENA_MAX_BYTES - arena->total_bytes)
        return false;
    chunk = memory_resize(NULL, sizeof *chunk + length);
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->total_bytes += length;
    arena->next = chunk->bytes;
    arena->left_bytes = length;
    return true;
}

static void *arena_alloc(void *data, size_t size)
{
    struct arena *arena = data;
    uint8_t *taken;

    if (size > ARENA_MAX_BYTES)
        return NULL;
    size = (size + ALIGNMENT - 1) & ~((size_t)ALIGNMENT - 1);
    if (size > arena->left_bytes && !add_chunk(arena, size))
        return NULL;
    taken = arena->next;
    arena->next += size;
    arena->left_bytes -= size;
    return taken;
}

static void arena_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

void arena_init(struct arena *arena)
{
    arena->chunks = NULL;
    arena->next = arena->first;
    arena->left_bytes = sizeof arena->first;
    arena->total_bytes = 0;
    arena->allocator = (ProtobufCAllocator){arena_alloc, arena_free, arena};
}

void arena_fini(struct arena *arena)
{
    while (arena->chunks) {
        struct arena_chunk *chunk = arena->chunks;

        arena->chunks = chunk->next;
        free(chunk);
    }
}

ProtobufCMessage *arena_unpack(struct arena *arena,
                               const ProtobufCMessageDescriptor *descriptor,
                               const uint8_t *bytes, size_t length)
{
    return protobuf_c_message_unpack(descriptor, &arena->allocator, length,
                                     bytes);
}
