/* Backup: the state, written by a forked child, passed on as fast as it is
 * read.
 *
 *   child: cluster_save --> pipe --> poll --> envelope --> call
 *                                     ^ off while the call has enough
 *
 * The child's copy of the state stands still, at one index, however long the
 * reader takes; what changes meanwhile is copied page by page. A reader that
 * stops reading for STALL_MS is sent away, so that it does not cost memory for
 * ever. */
#include "master/service.h"

#include "base/child.h"
#include "base/clock.h"
#include "base/envelope.h"
#include "base/fd.h"
#include "base/memory.h"
#include "kontor/v1/backup.pb-c.h"
#include "master/backup.h"
#include "raft/replica_members.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

enum { BACKUPS_MAX = 2, CHUNK_BYTES = 64 << 10, STALL_MS = 30000 };

struct backup {
    struct master *master;
    struct call *call;
    struct envelope_writer envelope;
    pid_t child; /* 0: it has been waited for */
    int fd;      /* what the child writes */
    uv_poll_t poll;
    uv_timer_t stall;
    unsigned open_handles;
};

/* ---- ending ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct backup *backup = handle->data;

    if (--backup->open_handles > 0)
        return;
    envelope_fini(&backup->envelope);
    fd_close(&backup->fd);
    free(backup);
}

/* Wait for the child, which is what counts against BACKUPS_MAX: a caller that
 * does not read what is queued costs no more than that. */
static int reap(struct backup *backup)
{
    int status = child_reap(backup->child);

    backup->child = 0;
    backup->master->backups--;
    return status;
}

static void stop(struct backup *backup)
{
    uv_poll_stop(&backup->poll);
    uv_timer_stop(&backup->stall);
    if (backup->child == 0)
        return;
    kill(backup->child, SIGKILL);
    (void)reap(backup);
}

/* Sent, or given up by either side. */
static void on_ended(struct call *call, const struct error *why)
{
    struct backup *backup = call_data(call);

    (void)why;
    stop(backup);
    uv_close((uv_handle_t *)&backup->poll, on_handle_closed);
    uv_close((uv_handle_t *)&backup->stall, on_handle_closed);
}

/* The status stands behind what is queued: `ended` may be long in coming. */
static void finish(struct backup *backup, const struct error *why)
{
    stop(backup);
    call_finish(backup->call, why);
}

static void on_stalled(uv_timer_t *timer)
{
    struct backup *backup = timer->data;
    struct error why;

    error_set(&why, ERROR_RESOURCE_EXHAUSTED,
              "the backup was not read for %d s", STALL_MS / 1000);
    finish(backup, &why);
}

/* ---- sending ---- */

static int send_bytes(struct backup *backup, uint8_t *bytes, size_t length,
                      struct error *why)
{
    Kontor__V1__BackupChunk chunk = KONTOR__V1__BACKUP_CHUNK__INIT;

    chunk.data.data = bytes;
    chunk.data.len = length;
    return call_send(backup->call, &chunk.base, why);
}

/* The child has written all that it will. */
static void end(struct backup *backup)
{
    uint8_t seal[ENVELOPE_SEAL_BYTES];
    int status = reap(backup);
    struct error why = {0};

    if (status != 0)
        error_set(&why, ERROR_INTERNAL,
                  "the child that saves the state ended with status %d",
                  status);
    envelope_end(&backup->envelope, seal);
    if (status == 0)
        (void)send_bytes(backup, seal, sizeof seal, &why);
    finish(backup, &why);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct backup *backup = poll->data;
    uint8_t bytes[CHUNK_BYTES];
    struct error why;
    ssize_t got;

    (void)status;
    (void)events;
    do
        got = read(backup->fd, bytes, sizeof bytes);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        end(backup);
        return;
    }
    envelope_add(&backup->envelope, bytes, (size_t)got);
    if (send_bytes(backup, bytes, (size_t)got, &why) != 0) {
        finish(backup, &why);
    } else if (call_queued_bytes(backup->call) >= CALL_QUEUE_HIGH_BYTES) {
        uv_poll_stop(poll);
        uv_timer_start(&backup->stall, on_stalled, STALL_MS, 0);
    }
}

static void on_writable(struct call *call)
{
    struct backup *backup = call_data(call);

    if (backup->child == 0)
        return; /* all that will be sent is queued */
    uv_timer_stop(&backup->stall);
    uv_poll_start(&backup->poll, UV_READABLE, on_readable);
}

/* ---- beginning ---- */

static void send_header(struct backup *backup)
{
    const struct master *master = backup->master;
    const struct replica_status status = replica_status(master->replica);
    Kontor__V1__BackupHeader header = KONTOR__V1__BACKUP_HEADER__INIT;
    CLEANUP(free_pointer) uint8_t *bytes = NULL;
    uint8_t *packed;
    struct error why;
    size_t length;
    char version[] = KONTOR_VERSION;

    header.version = version;
    header.index = status.applied_index;
    header.term = status.term;
    header.time_ms = clock_wall_ms();
    header.members = without_const(replica_members(master->replica));
    length = kontor__v1__backup_header__get_packed_size(&header);
    bytes = memory_new(ENVELOPE_HEAD_BYTES + length);
    packed = bytes + ENVELOPE_HEAD_BYTES;
    kontor__v1__backup_header__pack(&header, packed);
    envelope_begin(&backup->envelope, BACKUP_KIND, length, bytes);
    envelope_add(&backup->envelope, packed, length);
    (void)send_bytes(backup, bytes, ENVELOPE_HEAD_BYTES + length, &why);
}

static _Noreturn void run_child(struct cluster *cluster)
{
    struct error why;

    _exit(cluster_save(cluster, CHILD_FD, &why) == 0 ? EXIT_SUCCESS
                                                     : EXIT_FAILURE);
}

/* Our end of the pipe never blocks, the child's does. */
static int start_child(struct backup *backup, struct error *why)
{
    CLEANUP(fd_close) int write_end = -1;
    CLEANUP(fd_close) int read_end = -1;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_errno(why, "make a pipe");
    read_end = ends[0];
    write_end = ends[1];
    if (fcntl(read_end, F_SETFL, O_NONBLOCK) != 0)
        return error_errno(why, "make a pipe");
    backup->child = child_fork(write_end, "backup");
    if (backup->child == 0)
        run_child(backup->master->cluster);
    if (backup->child < 0)
        return error_errno(why, "fork");
    backup->fd = fd_take(&read_end);
    return 0;
}

static void watch(struct backup *backup)
{
    static const struct call_events events = {
        .writable = on_writable,
        .ended = on_ended,
    };
    int result = uv_poll_init(backup->master->loop, &backup->poll, backup->fd);

    assert(result == 0);
    uv_timer_init(backup->master->loop, &backup->stall);
    backup->poll.data = backup;
    backup->stall.data = backup;
    backup->open_handles = 2;
    backup->master->backups++;
    call_listen(backup->call, &events, backup);
    uv_poll_start(&backup->poll, UV_READABLE, on_readable);
}

static void begin(struct master *master, struct call *call,
                  const ProtobufCMessage *request)
{
    struct backup *backup;
    struct error why;

    (void)request;
    if (master->backups >= BACKUPS_MAX) {
        call_fail(call, ERROR_RESOURCE_EXHAUSTED,
                  "%d backups are being made already", BACKUPS_MAX);
        return;
    }
    backup = memory_new(sizeof *backup);
    backup->master = master;
    backup->call = call;
    if (start_child(backup, &why) != 0) {
        free(backup);
        service_fail(call, &why);
        return;
    }
    send_header(backup);
    watch(backup);
}

void service_backup(struct call *call, const ProtobufCMessage *request)
{
    service_read(call, request, begin);
}
