#include "test/sim/stack/logs.h"

#include "base/map.h"
#include "base/memory.h"
#include "base/random.h"
#include "kontor/v1/node.pb-c.h"
#include "test/sim/stack/knode.h"

#include <string.h>

enum {
    SHORT_BYTES = 3000,
    LONG_BYTES = 300000, /* more than lines and windows hold */
    LONG_ONE_IN = 12,
    CHUNK_BYTES = 16000,
    PATTERN_BYTES = 65521, /* a prime: no shift by a power of two fits */
};

uint64_t logs_length(uint64_t pod_id)
{
    uint64_t number = map_hash_id(pod_id);

    return number % LONG_ONE_IN == 0 ? LONG_BYTES : number % SHORT_BYTES;
}

static const uint8_t *pattern(void)
{
    static uint8_t bytes[PATTERN_BYTES];
    struct random random = {.state = 1};

    if (bytes[0] == 0 && bytes[1] == 0)
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)random_next(&random);
    return bytes;
}

/* How many of `length` bytes stand together in the pattern, and where. */
static size_t piece(uint64_t pod_id, uint64_t at, size_t length,
                    const uint8_t **start)
{
    size_t offset = (size_t)((at + pod_id * 7919) % PATTERN_BYTES);

    *start = pattern() + offset;
    return length < PATTERN_BYTES - offset ? length : PATTERN_BYTES - offset;
}

bool logs_match(uint64_t pod_id, uint64_t at, const uint8_t *bytes,
                size_t length)
{
    const uint8_t *start;

    while (length > 0) {
        size_t part = piece(pod_id, at, length, &start);

        if (memcmp(bytes, start, part) != 0)
            return false;
        bytes += part;
        at += part;
        length -= part;
    }
    return true;
}

/* Lives as long as its call. */
struct reader {
    uint64_t pod_id;
    uint64_t at;
    bool follow; /* it stays when all is sent */
};

static void on_writable(struct call *call)
{
    struct reader *reader = call_data(call);
    static const struct error fine;
    uint64_t end = logs_length(reader->pod_id);
    const uint8_t *bytes;
    Kontor__V1__LogsChunk chunk = KONTOR__V1__LOGS_CHUNK__INIT;
    struct error why;

    while (reader->at < end &&
           call_queued_bytes(call) < CALL_QUEUE_HIGH_BYTES) {
        uint64_t left = end - reader->at;

        chunk.data.len =
            piece(reader->pod_id, reader->at,
                  left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES, &bytes);
        chunk.data.data = without_const(bytes);
        reader->at += chunk.data.len;
        call_send(call, &chunk.base, &why);
    }
    if (reader->at == end && !reader->follow)
        call_finish(call, &fine);
}

static void on_ended(struct call *call, const struct error *why)
{
    (void)why;
    free(call_data(call));
}

static bool has(const struct knode *knode, uint64_t pod_id)
{
    struct knode_pod pod;
    unsigned i = 0;

    while (knode_pod(knode, i++, &pod))
        if (pod.pod_id == pod_id)
            return true;
    return false;
}

void logs_serve(struct call *call, const ProtobufCMessage *message)
{
    static const struct call_events events = {
        .writable = on_writable,
        .ended = on_ended,
    };
    const Kontor__V1__NodeLogsRequest *request = (const void *)message;
    struct reader *reader;

    if (!has(call_service_data(call), request->pod_id)) {
        call_fail(call, ERROR_NOT_FOUND, "there is no such pod");
        return;
    }
    reader = memory_new(sizeof *reader);
    reader->pod_id = request->pod_id;
    reader->follow = request->follow;
    if (request->after)
        reader->at = request->after->offset;
    call_listen(call, &events, reader);
    on_writable(call);
}
