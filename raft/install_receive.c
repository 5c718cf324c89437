/* install_receive.c
 *
 *   TAKING -> SYNCING -> RENAMING -> SYNCING_FOLDER -> READY -> ENDED
 *      |         |  (off the loop's thread)  |            |
 *      +---------+------------> ENDED <------+------------+
 *
 * Invariants:
 * 1. The call and the operation end separately: freed when the call's `ended`
 *    came (call is NULL) and the state is ENDED.
 * 2. FILE.part is removed unless it was renamed; FILE when it is not
 *    installed. */
#include "raft/install.h"

#include "base/fd.h"
#include "base/memory.h"
#include "kontor/v1/raft.pb-c.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum receive_state {
    RECEIVE_TAKING,
    RECEIVE_SYNCING,
    RECEIVE_RENAMING,
    RECEIVE_SYNCING_FOLDER,
    RECEIVE_READY,
    RECEIVE_ENDED,
};

struct install_receive {
    enum receive_state state;
    uv_loop_t *loop;
    uv_fs_t request;
    struct call *call;  /* NULL: it ended */
    const char *folder; /* borrowed */
    uint32_t from;
    const struct install_receive_events *events;
    void *data;
    struct snapshot snapshot; /* index 0: no chunk came yet */
    uint64_t total_bytes;
    uint64_t received_bytes;
    EVP_MD_CTX *hash; /* owned */
    char *part;       /* owned */
    char *path;       /* owned */
    int fd;
    int folder_fd;
};

static void step(struct install_receive *receive);

static void end(struct install_receive *receive)
{
    receive->state = RECEIVE_ENDED;
    if (receive->call)
        return;
    receive->events->ended(receive->data, receive);
    fd_close(&receive->fd);
    fd_close(&receive->folder_fd);
    snapshot_fini(&receive->snapshot);
    EVP_MD_CTX_free(receive->hash);
    free(receive->part);
    free(receive->path);
    free(receive);
}

static void fail(struct install_receive *receive, const struct error *why)
{
    if (receive->part)
        unlink(receive->part);
    if (receive->call)
        call_finish(receive->call, why);
    end(receive);
}

/* ---- the file, off the loop's thread ---- */

static void on_step_done(uv_fs_t *request)
{
    struct install_receive *receive =
        container_of(request, struct install_receive, request);
    int result = (int)request->result;
    struct error why;

    uv_fs_req_cleanup(request);
    if (result < 0) {
        errno = -result;
        error_errno(&why, "make %s durable", receive->path);
        if (receive->state == RECEIVE_SYNCING_FOLDER)
            unlink(receive->path);
        fail(receive, &why);
        return;
    }
    receive->state++;
    step(receive);
}

static void answer(struct install_receive *receive, uint64_t index)
{
    Kontor__V1__RaftSnapshotEnd end_message =
        KONTOR__V1__RAFT_SNAPSHOT_END__INIT;

    end_message.snapshot_index = index;
    if (receive->call)
        call_reply(receive->call, &end_message.base);
    end(receive);
}

/* Answer at once when nobody needs the snapshot. */
static bool drop_unwanted(struct install_receive *receive)
{
    uint64_t settled = 0;

    if (receive->events->wanted(receive->data, &receive->snapshot, &settled))
        return false;
    if (receive->part)
        unlink(receive->part);
    answer(receive, settled);
    return true;
}

static void step(struct install_receive *receive)
{
    switch (receive->state) {
    case RECEIVE_TAKING:
    case RECEIVE_ENDED:
        return;
    case RECEIVE_SYNCING:
        uv_fs_fsync(receive->loop, &receive->request, receive->fd,
                    on_step_done);
        return;
    case RECEIVE_RENAMING:
        if (drop_unwanted(receive))
            return;
        uv_fs_rename(receive->loop, &receive->request, receive->part,
                     receive->path, on_step_done);
        return;
    case RECEIVE_SYNCING_FOLDER:
        uv_fs_fsync(receive->loop, &receive->request, receive->folder_fd,
                    on_step_done);
        return;
    case RECEIVE_READY:
        receive->events->ready(receive->data, receive, &receive->snapshot);
        return;
    }
}

/* ---- chunks ---- */

static int begin(struct install_receive *receive,
                 const Kontor__V1__RaftSnapshotChunk *chunk, struct error *why)
{
    receive->snapshot.configuration =
        raft_payload_new(chunk->configuration.data, chunk->configuration.len);
    if (!raft_configuration_valid(receive->snapshot.configuration))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "snapshot %llu names no valid members",
                         (unsigned long long)chunk->snapshot_index);
    receive->from = chunk->from;
    receive->snapshot.index = chunk->snapshot_index;
    receive->snapshot.term = chunk->snapshot_term;
    receive->total_bytes = chunk->total_bytes;
    receive->part =
        snapshot_path(receive->folder, chunk->snapshot_index, ".part");
    receive->path = snapshot_path(receive->folder, chunk->snapshot_index, "");
    receive->hash = snapshot_hash_new();
    receive->folder_fd =
        open(receive->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (receive->folder_fd < 0)
        return error_errno(why, "open folder %s", receive->folder);
    receive->fd =
        open(receive->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (receive->fd < 0)
        return error_errno(why, "create %s", receive->part);
    return 0;
}

static int check(const struct install_receive *receive,
                 const Kontor__V1__RaftSnapshotChunk *chunk, struct error *why)
{
    uint64_t left = chunk->total_bytes - receive->received_bytes;
    bool last = chunk->data.len == left;

    if (chunk->snapshot_index == 0 || chunk->snapshot_index > RAFT_NUMBER_MAX ||
        chunk->snapshot_term > chunk->term ||
        (receive->from != RAFT_NOBODY && chunk->from != receive->from) ||
        chunk->total_bytes > INSTALL_TOTAL_MAX_BYTES)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "snapshot %llu of %llu bytes from member %u",
                         (unsigned long long)chunk->snapshot_index,
                         (unsigned long long)chunk->total_bytes, chunk->from);
    if (receive->snapshot.index != 0 &&
        (chunk->snapshot_index != receive->snapshot.index ||
         chunk->snapshot_term != receive->snapshot.term ||
         chunk->total_bytes != receive->total_bytes))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "a chunk of another snapshot in one stream");
    if (chunk->offset != receive->received_bytes || chunk->data.len > left ||
        (chunk->data.len == 0 && !last))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "a chunk of %zu bytes at %llu, expected one at %llu",
                         chunk->data.len, (unsigned long long)chunk->offset,
                         (unsigned long long)receive->received_bytes);
    if (last != (chunk->sha256.len == STORE_SHA256_BYTES))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "the checksum belongs to the last chunk alone");
    return 0;
}

static int take(struct install_receive *receive,
                const Kontor__V1__RaftSnapshotChunk *chunk, struct error *why)
{
    uint8_t sha256[STORE_SHA256_BYTES];

    if (fd_write_all(receive->fd, chunk->data.data, chunk->data.len, why) != 0)
        return error_wrap(why, "%s", receive->part);
    snapshot_hash_add(receive->hash, chunk->data.data, chunk->data.len);
    receive->received_bytes += chunk->data.len;
    if (receive->received_bytes < receive->total_bytes)
        return 0;
    snapshot_hash_end(receive->hash, sha256);
    if (memcmp(sha256, chunk->sha256.data, sizeof sha256) != 0)
        return error_set(why, ERROR_DATA_LOSS,
                         "snapshot %llu arrived with a wrong checksum",
                         (unsigned long long)receive->snapshot.index);
    memcpy(receive->snapshot.sha256, sha256, sizeof sha256);
    receive->state = RECEIVE_SYNCING;
    return 0;
}

static void on_message(struct call *call, const ProtobufCMessage *in)
{
    struct install_receive *receive = call_data(call);
    const Kontor__V1__RaftSnapshotChunk *chunk =
        (const Kontor__V1__RaftSnapshotChunk *)(const void *)in;
    struct error why;

    if (receive->state != RECEIVE_TAKING)
        return; /* more than was announced */
    if (check(receive, chunk, &why) != 0 ||
        receive->events->chunk(receive->data, chunk->from, chunk->term, &why) !=
            0) {
        fail(receive, &why);
        return;
    }
    if (receive->snapshot.index == 0) {
        if (begin(receive, chunk, &why) != 0) {
            fail(receive, &why);
            return;
        }
        if (drop_unwanted(receive))
            return;
    }
    if (take(receive, chunk, &why) != 0)
        fail(receive, &why);
    else
        step(receive);
}

static void on_half_closed(struct call *call)
{
    struct install_receive *receive = call_data(call);
    struct error why;

    if (receive->state != RECEIVE_TAKING)
        return;
    error_set(&why, ERROR_INVALID_ARGUMENT, "the snapshot ends early");
    fail(receive, &why);
}

static void on_ended(struct call *call, const struct error *why)
{
    struct install_receive *receive = call_data(call);

    receive->call = NULL;
    if (receive->state == RECEIVE_TAKING)
        fail(receive, why);
    else if (receive->state == RECEIVE_ENDED)
        end(receive);
}

/* ---- the operation ---- */

struct install_receive *
install_receive_new(uv_loop_t *loop, const char *folder, uint32_t from,
                    const struct install_receive_events *events, void *data)
{
    struct install_receive *receive = memory_new(sizeof *receive);

    receive->loop = loop;
    receive->folder = folder;
    receive->from = from;
    receive->events = events;
    receive->data = data;
    receive->fd = -1;
    receive->folder_fd = -1;
    return receive;
}

void install_receive_start(struct install_receive *receive, struct call *call)
{
    static const struct call_events events = {
        .message = on_message,
        .half_closed = on_half_closed,
        .ended = on_ended,
    };

    receive->call = call;
    call_listen(call, &events, receive);
}

bool install_receive_whole(const struct install_receive *receive)
{
    return receive->state != RECEIVE_TAKING && receive->state != RECEIVE_ENDED;
}

bool install_receive_cancel(struct install_receive *receive,
                            enum error_code code, const char *text)
{
    struct error why;

    if (receive->state != RECEIVE_TAKING)
        return !install_receive_whole(receive);
    error_set(&why, code, "%s", text);
    fail(receive, &why);
    return true;
}

void install_receive_answer(struct install_receive *receive, uint64_t index)
{
    assert(receive->state == RECEIVE_READY);
    answer(receive, index);
}

void install_receive_fail(struct install_receive *receive,
                          const struct error *why)
{
    assert(receive->state == RECEIVE_READY);
    unlink(receive->path);
    fail(receive, why);
}
