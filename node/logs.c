/* logs.c - one Logs call:
 *
 *   SEEK (on a worker) -> SEND <-> FULL (the caller reads slowly)
 *                          ^ |
 *                          | +---> TAIL (the log's end, following)
 *                          +---------+ more was written, or the pod ended
 *
 * and from anywhere, when the call ended, CLOSE. */
#include "node/logs.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/memory.h"
#include "node/log_reader.h"
#include "node/pod/status.h"

#include <assert.h>
#include <inttypes.h>

enum log_stream_state {
    LOG_STREAM_SEEK,
    LOG_STREAM_SEND,
    LOG_STREAM_FULL,
    LOG_STREAM_TAIL,
    LOG_STREAM_OVER, /* finished from here; waiting for `ended` */
    LOG_STREAM_CLOSE,
};

struct log_streams {
    uv_loop_t *loop;
    struct pod_engine *engine;
    struct list streams;
};

struct log_follower {
    struct log_streams *all;
    struct list link;
    struct call *call; /* NULL once ended */
    enum log_stream_state state;
    uint64_t pod_id;
    uint64_t tail_lines;
    struct log_position after; /* .file 0: from the tail */
    bool follow;
    bool seeking;
    struct log_reader reader;
    struct error why;
    uv_work_t work;
    uv_fs_event_t watch;
};

static void log_step(struct log_follower *op);

static void log_on_closed(uv_handle_t *handle)
{
    struct log_follower *op =
        container_of((uv_fs_event_t *)handle, struct log_follower, watch);

    log_reader_fini(&op->reader);
    free(op);
}

static void log_finish(struct log_follower *op, const struct error *why)
{
    op->state = LOG_STREAM_OVER;
    call_finish(op->call, why);
}

/* ---- reading ------------------------------------------------------------- */

static void log_seek_work(uv_work_t *work)
{
    struct log_follower *op = container_of(work, struct log_follower, work);

    error_clear(&op->why);
    if (op->after.file != 0)
        log_reader_resume(&op->reader, &op->after, &op->why);
    else
        log_reader_seek(&op->reader, op->tail_lines, &op->why);
}

static void log_on_sought(uv_work_t *work, int cancelled)
{
    struct log_follower *op = container_of(work, struct log_follower, work);

    (void)cancelled;
    op->seeking = false;
    if (op->state == LOG_STREAM_SEEK) {
        op->state = LOG_STREAM_SEND;
        if (op->why.code != ERROR_OK)
            log_finish(op, &op->why);
    }
    log_step(op);
}

/* Will nothing more be written? */
static bool pod_is_over(const struct log_follower *op)
{
    const Kontor__V1__PodStatus *status =
        pod_engine_status(op->all->engine, op->pod_id);

    return !status || status_ended(status) ||
           status->phase == KONTOR__V1__POD_PHASE__POD_STOPPED;
}

/* One piece, which the reader has just given. */
static int log_send_piece(struct log_follower *op, size_t length,
                          struct error *why)
{
    Kontor__V1__LogsChunk chunk = KONTOR__V1__LOGS_CHUNK__INIT;
    Kontor__V1__LogPosition end = KONTOR__V1__LOG_POSITION__INIT;
    struct log_position position;

    if (log_reader_position(&op->reader, &position, why) != 0)
        return (int)why->code;
    end.file = position.file;
    end.offset = position.offset;
    chunk.end = &end;
    chunk.data.data = buffer_data(&op->reader.out);
    chunk.data.len = length;
    chunk.is_stderr = op->reader.is_stderr;
    return call_send(op->call, &chunk.base, why);
}

static void log_send(struct log_follower *op)
{
    bool over = !op->follow || pod_is_over(op);
    struct error why;

    error_clear(&why);
    while (call_queued_bytes(op->call) < CALL_QUEUE_HIGH_BYTES) {
        size_t length;

        if (log_reader_next(&op->reader, &length, &why) != 0) {
            log_finish(op, &why);
            return;
        }
        if (length == 0) {
            op->state = LOG_STREAM_TAIL;
            if (over)
                log_finish(op, &why);
            return;
        }
        if (log_send_piece(op, length, &why) != 0) {
            log_finish(op, &why);
            return;
        }
    }
    op->state = LOG_STREAM_FULL;
}

/* ---- events -------------------------------------------------------------- */

static void log_on_writable(struct call *call)
{
    struct log_follower *op = call_data(call);

    if (op->state == LOG_STREAM_FULL)
        op->state = LOG_STREAM_SEND;
    log_step(op);
}

static void log_on_ended(struct call *call, const struct error *why)
{
    struct log_follower *op = call_data(call);

    (void)why;
    op->call = NULL;
    list_remove(&op->link);
    op->state = LOG_STREAM_CLOSE;
    log_step(op);
}

static void log_on_written(uv_fs_event_t *watch, const char *file, int events,
                           int status)
{
    struct log_follower *op = container_of(watch, struct log_follower, watch);

    (void)file;
    (void)events;
    (void)status;
    if (op->state == LOG_STREAM_TAIL)
        op->state = LOG_STREAM_SEND;
    log_step(op);
}

static const struct call_events log_events = {
    .writable = log_on_writable,
    .ended = log_on_ended,
};

/* The whole operation. `return` means: wait for a callback. */
static void log_step(struct log_follower *op)
{
    if (op->seeking)
        return;
    switch (op->state) {
    case LOG_STREAM_SEEK:
        op->seeking = true;
        uv_queue_work(op->all->loop, &op->work, log_seek_work, log_on_sought);
        return;
    case LOG_STREAM_SEND:
        log_send(op);
        return;
    case LOG_STREAM_CLOSE:
        uv_close((uv_handle_t *)&op->watch, log_on_closed);
        return;
    case LOG_STREAM_FULL:
    case LOG_STREAM_TAIL:
    case LOG_STREAM_OVER:
        return;
    }
}

/* ---- from above ---------------------------------------------------------- */

struct log_streams *log_streams_new(uv_loop_t *loop, struct pod_engine *engine)
{
    struct log_streams *streams = memory_new(sizeof *streams);

    streams->loop = loop;
    streams->engine = engine;
    list_init(&streams->streams);
    return streams;
}

static int log_watch(struct log_follower *op, const char *folder,
                     struct error *why)
{
    int code = uv_fs_event_start(&op->watch, log_on_written, folder, 0);

    if (code == 0)
        return 0;
    return error_set(why, ERROR_UNAVAILABLE,
                     "follow the log of pod %" PRIu64 ": inotify: %s",
                     op->pod_id, uv_strerror(code));
}

/* The run before the one that is told of. Runs are counted on when a kpod
 * dies, containers' restarts are not: the pod's say how far that is. */
static int previous_run(const Kontor__V1__PodStatus *status, int container,
                        struct error *why)
{
    uint32_t run = status->restarts;

    for (size_t i = 0; i < status->n_containers; i++)
        if ((int)i != container)
            run -= status->containers[i]->restarts;
    if (run > 0)
        return (int)((run - 1) & UINT16_MAX);
    error_set(why, ERROR_NOT_FOUND, "there was no run before the present one");
    return -1;
}

/* The wall clock's time so many milliseconds ago; 0: before it began. */
static uint64_t before_now(uint64_t ms)
{
    uint64_t now_ms = clock_wall_ms();

    return ms < now_ms ? now_ms - ms : 0;
}

static int make_filter(const struct pod_engine *engine,
                       const Kontor__V1__NodeLogsRequest *request,
                       struct log_filter *filter, struct error *why)
{
    *filter = (struct log_filter){
        .container = -1, .run = -1, .since_wall_ms = request->since_wall_ms};
    if (request->since_ms)
        filter->since_wall_ms = before_now(request->since_ms);
    if (request->container[0] || request->previous)
        filter->container =
            pod_engine_container(engine, request->pod_id, request->container);
    if (request->container[0] && filter->container < 0)
        return error_set(why, ERROR_NOT_FOUND,
                         "the pod has no container \"%.64s\"",
                         request->container);
    if (!request->previous)
        return 0;
    filter->run = previous_run(pod_engine_status(engine, request->pod_id),
                               filter->container, why);
    return filter->run < 0 ? (int)why->code : 0;
}

void log_streams_add(struct log_streams *streams, struct call *call,
                     const Kontor__V1__NodeLogsRequest *request)
{
    const char *folder = pod_engine_folder(streams->engine, request->pod_id);
    struct log_filter filter;
    struct log_follower *op;
    struct error why;

    if (!folder) {
        call_fail(call, ERROR_NOT_FOUND, "pod %" PRIu64 " is not on this node",
                  request->pod_id);
        return;
    }
    if (make_filter(streams->engine, request, &filter, &why) != 0) {
        call_finish(call, &why);
        return;
    }
    op = memory_new(sizeof *op);
    op->all = streams;
    op->call = call;
    op->pod_id = request->pod_id;
    op->tail_lines = request->tail_lines;
    if (request->after)
        op->after =
            (struct log_position){request->after->file, request->after->offset};
    op->follow = request->follow;
    log_reader_init(&op->reader, folder);
    op->reader.filter = filter;
    list_append(&streams->streams, &op->link);
    uv_fs_event_init(streams->loop, &op->watch);
    call_listen(call, &log_events, op);
    /* Watched before the first read, so that no write falls between. */
    if (op->follow && log_watch(op, folder, &why) != 0)
        log_finish(op, &why);
    log_step(op);
}

void log_streams_changed(struct log_streams *streams, uint64_t pod_id)
{
    list_for_each(at, following, &streams->streams)
    {
        struct log_follower *op = container_of(at, struct log_follower, link);

        if (op->pod_id != pod_id || op->state != LOG_STREAM_TAIL ||
            !pod_is_over(op))
            continue;
        op->state = LOG_STREAM_SEND;
        log_step(op);
    }
}

void log_streams_hang_up(struct log_streams *streams)
{
    struct error why;

    error_set(&why, ERROR_UNAVAILABLE, "this node is being stopped");
    list_for_each(at, following, &streams->streams)
    {
        struct log_follower *op = container_of(at, struct log_follower, link);

        if (op->state != LOG_STREAM_OVER)
            log_finish(op, &why);
    }
}

void log_streams_free(struct log_streams *streams)
{
    if (!streams)
        return;
    assert(list_empty(&streams->streams));
    free(streams);
}
