#include "raft/install.h"

#include "base/fd.h"
#include "base/memory.h"
#include "kontor/v1/raft.pb-c.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void finish(struct install_send *send)
{
    fd_reset(&send->fd);
    free(send->chunk);
    send->chunk = NULL;
    send->call = NULL;
}

/* A file cannot shrink under us: it is written once and then only unlinked. */
static int read_chunk(struct install_send *send, size_t length,
                      struct error *why)
{
    size_t have = 0;

    while (have < length) {
        ssize_t got = pread(send->fd, send->chunk + have, length - have,
                            (off_t)(send->sent_bytes + have));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(why, "read snapshot %llu",
                               (unsigned long long)send->snapshot.index);
        if (got == 0)
            return error_set(why, ERROR_DATA_LOSS, "snapshot %llu ends early",
                             (unsigned long long)send->snapshot.index);
        have += (size_t)got;
    }
    return 0;
}

static int send_chunk(struct install_send *send, struct error *why)
{
    Kontor__V1__RaftSnapshotChunk chunk = KONTOR__V1__RAFT_SNAPSHOT_CHUNK__INIT;
    uint64_t left = send->total_bytes - send->sent_bytes;
    size_t length =
        left < INSTALL_CHUNK_BYTES ? (size_t)left : INSTALL_CHUNK_BYTES;

    if (read_chunk(send, length, why) != 0)
        return why->code;
    chunk.term = send->term;
    chunk.from = send->from;
    chunk.snapshot_index = send->snapshot.index;
    chunk.snapshot_term = send->snapshot.term;
    chunk.total_bytes = send->total_bytes;
    chunk.offset = send->sent_bytes;
    chunk.data.data = send->chunk;
    chunk.data.len = length;
    if (send->sent_bytes == 0) {
        chunk.configuration.data = send->snapshot.configuration->bytes;
        chunk.configuration.len = send->snapshot.configuration->length;
    }
    if (length == left) {
        chunk.sha256.data = send->snapshot.sha256;
        chunk.sha256.len = sizeof send->snapshot.sha256;
    }
    if (call_send(send->call, &chunk.base, why) != 0)
        return why->code;
    send->sent_bytes += length;
    if (length == left) {
        send->complete = true;
        call_half_close(send->call);
    }
    return 0;
}

/* A snapshot of no bytes is one empty chunk. */
static void on_writable(struct call *call)
{
    struct install_send *send = call_data(call);

    while (!send->complete && call_queued_bytes(call) < CALL_QUEUE_HIGH_BYTES) {
        if (send_chunk(send, &send->trouble) != 0) {
            call_cancel(call);
            return;
        }
    }
}

static void on_message(struct call *call, const ProtobufCMessage *message)
{
    struct install_send *send = call_data(call);

    send->answer = ((const Kontor__V1__RaftSnapshotEnd *)(const void *)message)
                       ->snapshot_index;
}

static void on_ended(struct call *call, const struct error *why)
{
    struct install_send *send = call_data(call);
    const struct error *reason = send->trouble.code ? &send->trouble : why;
    uint64_t index = why->code ? 0 : send->answer;

    finish(send);
    send->done(send, index, reason);
}

int install_send_start(struct install_send *send,
                       const struct snapshot *snapshot,
                       const struct install_send_to *to, struct error *why)
{
    static const struct call_events events = {
        .message = on_message,
        .writable = on_writable,
        .ended = on_ended,
    };
    const struct call_request request = {
        .path = "/kontor.v1.Raft/InstallSnapshot",
        .response = &kontor__v1__raft_snapshot_end__descriptor,
        .events = &events,
        .data = send,
    };
    struct stat info;

    assert(!send->call);
    send->fd = -1;
    if (snapshot_open(to->folder, snapshot->index, &send->fd, why) != 0)
        return why->code;
    if (fstat(send->fd, &info) != 0) {
        error_errno(why, "stat snapshot %llu",
                    (unsigned long long)snapshot->index);
        fd_reset(&send->fd);
        return why->code;
    }
    snapshot_fini(&send->snapshot); /* of the last time */
    send->snapshot = *snapshot;
    raft_payload_take(send->snapshot.configuration);
    send->term = to->term;
    send->from = to->from;
    send->total_bytes = (uint64_t)info.st_size;
    send->sent_bytes = 0;
    send->complete = false;
    send->answer = 0;
    send->chunk = memory_new(INSTALL_CHUNK_BYTES);
    error_clear(&send->trouble);
    send->call = channel_call(to->channel, &request);
    on_writable(send->call);
    return 0;
}
