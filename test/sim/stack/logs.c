#include "test/sim/stack/logs.h"

#include "base/map.h"
#include "base/memory.h"
#include "kontor/v1/node.pb-c.h"
#include "test/sim/stack/knode.h"

enum {
    SHORT_BYTES = 3000,
    LONG_BYTES = 300000, /* more than lines and windows hold */
    LONG_ONE_IN = 12,
    CHUNK_BYTES = 16000,
};

uint64_t logs_length(uint64_t pod_id)
{
    uint64_t number = map_hash_id(pod_id);

    return number % LONG_ONE_IN == 0 ? LONG_BYTES : number % SHORT_BYTES;
}

uint8_t logs_byte(uint64_t pod_id, uint64_t at)
{
    return (uint8_t)(pod_id * 31 + at * 7 + (at >> 8));
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
    uint8_t bytes[CHUNK_BYTES];
    Kontor__V1__LogsChunk chunk = KONTOR__V1__LOGS_CHUNK__INIT;
    struct error why;

    chunk.data.data = bytes;
    while (reader->at < end &&
           call_queued_bytes(call) < CALL_QUEUE_HIGH_BYTES) {
        size_t length = 0;

        while (length < CHUNK_BYTES && reader->at < end)
            bytes[length++] = logs_byte(reader->pod_id, reader->at++);
        chunk.data.len = length;
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
    uint64_t length = logs_length(request->pod_id);
    struct reader *reader;

    if (!has(call_service_data(call), request->pod_id)) {
        call_fail(call, ERROR_NOT_FOUND, "there is no such pod");
        return;
    }
    reader = memory_new(sizeof *reader);
    reader->pod_id = request->pod_id;
    reader->follow = request->follow;
    if (request->tail_bytes && request->tail_bytes < length)
        reader->at = length - request->tail_bytes;
    call_listen(call, &events, reader);
    on_writable(call);
}
