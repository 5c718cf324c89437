/* fuzz_grpc_frame.c - any bytes as a stream of gRPC frames, cut where the
 * first byte says; each message is decoded as several types. Cutting must not
 * change what comes out. */
#include "kontor/v1/cluster.pb-c.h"
#include "kontor/v1/command.pb-c.h"
#include "rpc/arena.h"
#include "rpc/frame.h"

#include <assert.h>
#include <stdbool.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { LIMIT_BYTES = 1 << 16, TYPES = 4 };

static const ProtobufCMessageDescriptor *const types[TYPES] = {
    &kontor__v1__schedule_request__descriptor,
    &kontor__v1__list_pods_response__descriptor,
    &kontor__v1__command__descriptor,
    &kontor__v1__snapshot_record__descriptor,
};

static void decode(const struct frame_bytes *message)
{
    for (size_t i = 0; i < TYPES; i++) {
        struct arena arena;
        ProtobufCMessage *decoded;

        arena_init(&arena);
        decoded =
            arena_unpack(&arena, types[i], message->bytes, message->length);
        if (decoded)
            protobuf_c_message_get_packed_size(decoded);
        arena_fini(&arena);
    }
}

/* Returns how many messages there are, and in *total their bytes. */
static unsigned read_all(const uint8_t *bytes, size_t length, size_t piece,
                         size_t *total)
{
    struct frame_reader reader;
    unsigned count = 0;
    struct error why = {0};

    frame_reader_init(&reader, LIMIT_BYTES);
    *total = 0;
    for (size_t at = 0; at < length && why.code == 0; at += piece) {
        size_t left = length - at;
        struct frame_bytes part = {bytes + at, left < piece ? left : piece};
        struct frame_bytes message;

        while (frame_read(&reader, &part, &message, &why)) {
            count++;
            *total += message.length;
            if (piece == length)
                decode(&message);
        }
    }
    frame_reader_fini(&reader);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    size_t whole_bytes;
    size_t split_bytes;
    unsigned whole;
    unsigned split;

    if (length < 2)
        return 0;
    split =
        read_all(bytes + 1, length - 1, bytes[0] ? bytes[0] : 1, &split_bytes);
    whole = read_all(bytes + 1, length - 1, length - 1, &whole_bytes);
    assert(whole == split && whole_bytes == split_bytes);
    return 0;
}
