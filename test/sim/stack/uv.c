/* uv.c - the part of libuv that the masters use, on virtual time.
 *
 * What a handle needs here stands in an object of ours, which its
 * u.reserved[0] points to until it is closed. */
#include "test/sim/stack/uv.h"

#include "base/memory.h"
#include "test/sim/stack/fault.h"
#include "test/sim/stack/world.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Prepare and check. */
struct watcher {
    struct list link; /* of the process, while it is started */
    uv_handle_t *handle;
    void (*call)(uv_handle_t *handle);
    uv_prepare_cb prepare;
    uv_check_cb check;
};

struct timer {
    struct deadline deadline;
    uv_timer_t *handle;
    uv_timer_cb call;
    uint64_t repeat_ms;
};

struct closing {
    struct list link;
    uv_handle_t *handle;
    uv_close_cb call;
};

static struct process *owner(const void *handle)
{
    return process_of(((const uv_handle_t *)handle)->loop);
}

static void *part(const void *handle)
{
    return ((const uv_handle_t *)handle)->u.reserved[0];
}

static void init(void *handle, uv_loop_t *loop, uv_handle_type type, void *part)
{
    uv_handle_t *base = handle;

    base->loop = loop;
    base->type = type;
    base->u.reserved[0] = part;
}

/* ---- time ---- */

void uv_update_time(uv_loop_t *loop)
{
    struct process *process = process_of(loop);

    process->time_ms = host_local_us(process->host) / 1000;
}

static void on_timer(struct deadline *deadline)
{
    struct timer *timer = container_of(deadline, struct timer, deadline);

    if (timer->repeat_ms)
        uv_timer_start(timer->handle, timer->call, timer->repeat_ms,
                       timer->repeat_ms);
    timer->call(timer->handle);
}

int uv_timer_init(uv_loop_t *loop, uv_timer_t *handle)
{
    struct timer *timer = memory_new(sizeof *timer);

    timer->deadline.expired = on_timer;
    timer->handle = handle;
    init(handle, loop, UV_TIMER, timer);
    return 0;
}

int uv_timer_start(uv_timer_t *handle, uv_timer_cb call, uint64_t timeout_ms,
                   uint64_t repeat_ms)
{
    struct process *process = owner(handle);
    struct timer *timer = part(handle);

    timer->call = call;
    timer->repeat_ms = repeat_ms;
    process_set_deadline(process, &timer->deadline,
                         process->time_ms + timeout_ms);
    return 0;
}

int uv_timer_stop(uv_timer_t *handle)
{
    struct timer *timer = part(handle);

    deadlines_remove(&owner(handle)->timers, &timer->deadline);
    return 0;
}

/* Only timers are asked. */
int uv_is_active(const uv_handle_t *handle)
{
    const struct timer *timer = part(handle);

    assert(handle->type == UV_TIMER);
    return deadline_is_set(&timer->deadline);
}

/* ---- prepare and check ---- */

static void call_prepare(uv_handle_t *handle)
{
    const struct watcher *watcher = part(handle);

    watcher->prepare((uv_prepare_t *)(void *)handle);
}

static void call_check(uv_handle_t *handle)
{
    const struct watcher *watcher = part(handle);

    watcher->check((uv_check_t *)(void *)handle);
}

static struct watcher *watcher_new(void *handle)
{
    struct watcher *watcher = memory_new(sizeof *watcher);

    list_init(&watcher->link);
    watcher->handle = handle;
    return watcher;
}

/* In front of the others, as libuv does. */
static void watcher_start(struct watcher *watcher, struct list *list)
{
    list_remove(&watcher->link);
    list_append(list->next, &watcher->link);
}

int uv_prepare_init(uv_loop_t *loop, uv_prepare_t *handle)
{
    init(handle, loop, UV_PREPARE, watcher_new(handle));
    return 0;
}

int uv_prepare_start(uv_prepare_t *handle, uv_prepare_cb call)
{
    struct watcher *watcher = part(handle);

    watcher->prepare = call;
    watcher->call = call_prepare;
    watcher_start(watcher, &owner(handle)->prepares);
    return 0;
}

static int watcher_stop(struct watcher *watcher)
{
    list_remove(&watcher->link);
    return 0;
}

int uv_prepare_stop(uv_prepare_t *handle)
{
    return watcher_stop(part(handle));
}

int uv_check_init(uv_loop_t *loop, uv_check_t *handle)
{
    init(handle, loop, UV_CHECK, watcher_new(handle));
    return 0;
}

int uv_check_start(uv_check_t *handle, uv_check_cb call)
{
    struct watcher *watcher = part(handle);

    watcher->check = call;
    watcher->call = call_check;
    watcher_start(watcher, &owner(handle)->checks);
    return 0;
}

int uv_check_stop(uv_check_t *handle)
{
    return watcher_stop(part(handle));
}

void uv_run_watchers(struct list *watchers)
{
    list_for_each(link, next, watchers)
    {
        struct watcher *watcher = container_of(link, struct watcher, link);

        watcher->call(watcher->handle);
    }
}

/* ---- closing ---- */

void uv_close(uv_handle_t *handle, uv_close_cb call)
{
    struct process *process = owner(handle);
    struct closing *closing = memory_new(sizeof *closing);

    if (handle->type == UV_TIMER)
        uv_timer_stop((uv_timer_t *)(void *)handle);
    else
        list_remove(&((struct watcher *)part(handle))->link);
    free(part(handle));
    handle->u.reserved[0] = NULL;
    closing->handle = handle;
    closing->call = call;
    list_append(&process->closing, &closing->link);
}

void uv_run_closing(struct list *closing)
{
    list_for_each(link, next, closing)
    {
        struct closing *one = container_of(link, struct closing, link);

        list_remove(link);
        if (one->call)
            one->call(one->handle);
        free(one);
    }
}

/* ---- files: done when the virtual disk has had its time ---- */

enum { FILE_US = 400 };

struct file_errand {
    struct errand errand;
    uv_fs_t *request;
    uv_fs_cb done;
    uv_fs_type kind;
    int fd;
    char *path;     /* owned */
    char *new_path; /* owned */
};

static void on_file(struct errand *errand, bool lost)
{
    struct file_errand *file = container_of(errand, struct file_errand, errand);
    uv_fs_t *request = file->request;
    int result = 0;

    if (!lost && file->kind == UV_FS_UNLINK)
        result = unlink(file->path);
    else if (!lost && file->kind == UV_FS_RENAME)
        result = rename(file->path, file->new_path);
    else if (!lost)
        result = fsync(file->fd);
    request->result = result == 0 ? 0 : -errno;
    file->done(request);
    free(file->path);
    free(file->new_path);
    free(file);
}

static int start_file(uv_loop_t *loop, uv_fs_t *request, uv_fs_cb done,
                      struct file_errand *file)
{
    struct process *process = process_of(loop);

    file->request = request;
    file->done = done;
    errand_start(&file->errand, process,
                 world_between(1, file->kind == UV_FS_FSYNC
                                      ? world.traits.sync_us
                                      : FILE_US),
                 on_file);
    return 0;
}

int uv_fs_unlink(uv_loop_t *loop, uv_fs_t *request, const char *path,
                 uv_fs_cb done)
{
    struct file_errand *file = memory_new(sizeof *file);

    file->kind = UV_FS_UNLINK;
    file->path = memory_string(path);
    return start_file(loop, request, done, file);
}

int uv_fs_rename(uv_loop_t *loop, uv_fs_t *request, const char *path,
                 const char *new_path, uv_fs_cb done)
{
    struct file_errand *file = memory_new(sizeof *file);

    file->kind = UV_FS_RENAME;
    file->path = memory_string(path);
    file->new_path = memory_string(new_path);
    return start_file(loop, request, done, file);
}

int uv_fs_fsync(uv_loop_t *loop, uv_fs_t *request, uv_file fd, uv_fs_cb done)
{
    struct file_errand *file = memory_new(sizeof *file);

    file->kind = UV_FS_FSYNC;
    file->fd = fd;
    return start_file(loop, request, done, file);
}

void uv_fs_req_cleanup(uv_fs_t *request)
{
    (void)request;
}

/* ---- work on a thread: done all at once, when it has had its time ---- */

/* A snapshot takes longer to load than to save. */
enum { WORK_PER_SAVE = 4 };

struct work_errand {
    struct errand errand;
    uv_work_t *request;
    uv_work_cb work;
    uv_after_work_cb done;
};

static void on_work(struct errand *errand, bool lost)
{
    struct work_errand *work = container_of(errand, struct work_errand, errand);

    (void)lost; /* what was begun is to be freed */
    work->work(work->request);
    work->done(work->request, 0);
    free(work);
}

int uv_queue_work(uv_loop_t *loop, uv_work_t *request, uv_work_cb work,
                  uv_after_work_cb done)
{
    struct work_errand *started = memory_new(sizeof *started);
    uint64_t takes_us = world_between(1, WORK_PER_SAVE * world.traits.save_us);

    started->request = request;
    started->work = work;
    started->done = done;
    errand_start(&started->errand, process_of(loop), takes_us, on_work);
    fault_on_loading(takes_us);
    return 0;
}

/* ---- what nobody in this world uses: backups ---- */

int uv_poll_init(uv_loop_t *loop, uv_poll_t *poll, int fd)
{
    (void)loop;
    (void)poll;
    (void)fd;
    abort();
}

int uv_poll_start(uv_poll_t *poll, int events, uv_poll_cb called)
{
    (void)poll;
    (void)events;
    (void)called;
    abort();
}

int uv_poll_stop(uv_poll_t *poll)
{
    (void)poll;
    abort();
}
