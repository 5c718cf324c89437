/* store.c - the store's thread and the way to it and back.
 *
 *   loop's thread                          the store's thread
 *   store_submit() --> waiting --signal--> take all, one transaction
 *   done() <-- on_finished <-eventfd- finished (in order)
 *
 * Invariants:
 * 1. `waiting`, `finished` and `closing` are touched under `lock`; `file` by
 *    the store's thread alone once it runs.
 * 2. A request is in `finished` only after its transaction was synced.
 * 3. Requests finish in the order they were submitted. */
#include "raft/store.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "raft/store_file.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <time.h>

/* A checkpoint costs a few ms, so it waits until nothing else does; yet the
 * write-ahead log stays bounded. In pages of 4 KiB. When it is due is drawn
 * from [IDLE, 2 x IDLE), as members that write the same would otherwise all
 * stand still at the same time. */
enum { CHECKPOINT_IDLE_PAGES = 1000, CHECKPOINT_PAGES_MAX = 4000 };

/* After so long without work what was committed is settled: one sync more that
 * nobody waits for. */
enum { SETTLE_AFTER_MS = 500 };

/* The room on the disk is asked for after a transaction, not more often than
 * this: nobody fills the reserve in that time. */
enum { MEASURE_EVERY_MS = 10 };

enum { THREAD_STACK_BYTES = 512 << 10 };

enum request_kind { REQUEST_WRITE, REQUEST_COMPACTION };

struct request {
    enum request_kind kind;
    union {
        struct store_write *write;
        struct store_compaction *compaction;
    };
};

/* Requests in order; grows, never shrinks: bounded by the core's in-flight
 * limits. */
struct queue {
    struct request *requests; /* owned */
    size_t count;
    size_t capacity;
};

struct store {
    struct store_file file;
    struct random random;
    unsigned checkpoint_pages; /* due when nothing else is */
    uint64_t measure_at_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct queue waiting;
    struct queue finished;
    bool closing;
    bool ended; /* the thread will do nothing more */
    _Atomic uint64_t free_bytes;

    struct queue delivering; /* the loop's thread's */
    int wake_fd; /* not a uv_async: that has the loop spin while we send */
    uv_poll_t wake;
    void (*closed)(void *data);
    void *closed_data;
};

static void queue_append(struct queue *queue, const struct request *requests,
                         size_t count)
{
    if (queue->count + count > queue->capacity) {
        queue->capacity = 2 * (queue->count + count);
        queue->requests = memory_resize(
            queue->requests, queue->capacity * sizeof *queue->requests);
    }
    for (size_t i = 0; i < count; i++)
        queue->requests[queue->count++] = requests[i];
}

/* `empty` gets what `full` holds and the other way round. */
static void queue_swap(struct queue *full, struct queue *empty)
{
    struct queue kept = *full;

    assert(empty->count == 0);
    *full = *empty;
    *empty = kept;
}

/* ---- the store's thread ---- */

/* The core has promised what this transaction was to hold; whether it is on
 * the disk cannot be known any more. A restart reads what is. The one place
 * of this layer that ends the process, so it logs. */
static _Noreturn void die(const struct error *why)
{
    log_error("raft: the log cannot be written, so this master ends: %s",
              why->message);
    _exit(EXIT_FAILURE);
}

static int perform(struct store *store, const struct queue *batch,
                   struct error *why)
{
    if (store_file_begin(&store->file, why) != 0)
        return why->code;
    for (size_t i = 0; i < batch->count; i++) {
        const struct request *request = &batch->requests[i];
        int code = 0;

        switch (request->kind) {
        case REQUEST_WRITE:
            code = store_file_write(&store->file, request->write, why);
            break;
        case REQUEST_COMPACTION:
            code = store_file_compact(&store->file, request->compaction, why);
            break;
        }
        if (code)
            return code;
    }
    return store_file_commit(&store->file, why);
}

static void measure_free(struct store *store)
{
    struct statvfs disk;

    if (statvfs(store->file.path, &disk) == 0)
        atomic_store(&store->free_bytes,
                     (uint64_t)disk.f_bavail * disk.f_frsize);
}

static void measure_sometimes(struct store *store)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (now_ms < store->measure_at_ms)
        return;
    store->measure_at_ms = now_ms + MEASURE_EVERY_MS;
    measure_free(store);
}

static bool has_idle_work(const struct store *store)
{
    return store->file.wal_pages >= store->checkpoint_pages ||
           store_file_has_garbage(&store->file);
}

/* Wait for requests and move them to `batch`: not at all when there is other
 * work, and not for ever when there is something to settle. False when closing
 * and nothing is left. */
static bool take(struct store *store, struct queue *batch)
{
    struct timespec due;
    bool waits = !has_idle_work(store);
    bool go_on;

    clock_gettime(CLOCK_MONOTONIC, &due);
    due.tv_nsec += SETTLE_AFTER_MS * 1000000L;
    due.tv_sec += due.tv_nsec / 1000000000L;
    due.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&store->lock);
    while (store->waiting.count == 0 && !store->closing && waits)
        if (!store_file_is_unsettled(&store->file))
            pthread_cond_wait(&store->work, &store->lock);
        else
            waits = pthread_cond_timedwait(&store->work, &store->lock, &due) !=
                    ETIMEDOUT;
    queue_swap(&store->waiting, batch);
    go_on = batch->count > 0 || !store->closing;
    pthread_mutex_unlock(&store->lock);
    return go_on;
}

static void wake_loop(struct store *store)
{
    int result = eventfd_write(store->wake_fd, 1);

    assert(result == 0);
}

static void finish(struct store *store, struct queue *batch)
{
    pthread_mutex_lock(&store->lock);
    queue_append(&store->finished, batch->requests, batch->count);
    pthread_mutex_unlock(&store->lock);
    batch->count = 0;
    wake_loop(store);
}

static int checkpoint(struct store *store, struct error *why)
{
    store->checkpoint_pages =
        CHECKPOINT_IDLE_PAGES +
        (unsigned)random_below(&store->random, CHECKPOINT_IDLE_PAGES);
    return store_file_checkpoint(&store->file, why);
}

/* One thing that can wait: delete some garbage, make a checkpoint, settle. */
static int do_idle_work(struct store *store, struct error *why)
{
    if (!has_idle_work(store))
        return store_file_settle(&store->file, why);
    if (store->file.wal_pages >= store->checkpoint_pages)
        return checkpoint(store, why);
    if (store_file_begin(&store->file, why) != 0)
        return why->code;
    return store_file_commit(&store->file, why);
}

static void *run(void *data)
{
    struct store *store = data;
    struct queue batch = {0};
    struct error why;

    prctl(PR_SET_NAME, "store");
    while (take(store, &batch)) {
        if (batch.count == 0) {
            if (do_idle_work(store, &why) != 0)
                die(&why);
            continue;
        }
        if (perform(store, &batch, &why) != 0)
            die(&why);
        finish(store, &batch);
        measure_sometimes(store);
        if (store->file.wal_pages >= CHECKPOINT_PAGES_MAX &&
            checkpoint(store, &why) != 0)
            die(&why);
    }
    store_file_close(&store->file);
    free(batch.requests);

    pthread_mutex_lock(&store->lock);
    store->ended = true;
    pthread_mutex_unlock(&store->lock);
    wake_loop(store);
    return NULL;
}

/* ---- the loop's thread ---- */

static void on_closed(uv_handle_t *handle)
{
    struct store *store = container_of(handle, struct store, wake);
    void (*closed)(void *data) = store->closed;
    void *data = store->closed_data;

    pthread_join(store->thread, NULL);
    pthread_mutex_destroy(&store->lock);
    pthread_cond_destroy(&store->work);
    fd_close(&store->wake_fd);
    free(store->waiting.requests);
    free(store->finished.requests);
    free(store->delivering.requests);
    free(store);
    closed(data);
}

static void on_finished(uv_poll_t *wake, int status, int events)
{
    struct store *store = container_of(wake, struct store, wake);
    eventfd_t count;
    bool ended;

    (void)status;
    (void)events;
    (void)eventfd_read(store->wake_fd, &count);
    pthread_mutex_lock(&store->lock);
    queue_swap(&store->finished, &store->delivering);
    ended = store->ended;
    pthread_mutex_unlock(&store->lock);

    for (size_t i = 0; i < store->delivering.count; i++) {
        const struct request *request = &store->delivering.requests[i];

        switch (request->kind) {
        case REQUEST_WRITE:
            request->write->done(request->write);
            break;
        case REQUEST_COMPACTION:
            request->compaction->done(request->compaction);
            break;
        }
    }
    store->delivering.count = 0;
    if (ended && !uv_is_closing((uv_handle_t *)wake))
        uv_close((uv_handle_t *)wake, on_closed);
}

static void submit(struct store *store, const struct request *request)
{
    bool first;

    pthread_mutex_lock(&store->lock);
    assert(!store->closing);
    first = store->waiting.count == 0;
    queue_append(&store->waiting, request, 1);
    pthread_mutex_unlock(&store->lock);
    if (first)
        pthread_cond_signal(&store->work);
}

void store_submit(struct store *store, struct store_write *write)
{
    submit(store, &(struct request){.kind = REQUEST_WRITE, .write = write});
}

void store_compact(struct store *store, struct store_compaction *compaction)
{
    submit(store, &(struct request){.kind = REQUEST_COMPACTION,
                                    .compaction = compaction});
}

uint64_t store_free_bytes(struct store *store, uint64_t reserve_bytes)
{
    /* While commands are refused nothing is written, and nothing measured. */
    if (atomic_load(&store->free_bytes) < reserve_bytes)
        measure_free(store);
    return atomic_load(&store->free_bytes);
}

/* Signals are the loop's thread's. */
static int start_thread(struct store *store)
{
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t kept;
    int result;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &kept);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    result = pthread_create(&store->thread, &attributes, run, store);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &kept, NULL);
    return result;
}

int store_open(struct store **out, const struct store_options *options,
               struct store_content *content, struct error *why)
{
    struct store *store = memory_new(sizeof *store);

    if (store_file_open(&store->file, options, content, why) != 0) {
        free(store);
        return why->code;
    }
    measure_free(store);
    random_bytes(&store->random.state, sizeof store->random.state);
    store->checkpoint_pages = CHECKPOINT_IDLE_PAGES;
    *out = store;
    return 0;
}

void store_free(struct store *store)
{
    store_file_close(&store->file);
    free(store);
}

void store_start(struct store *store, uv_loop_t *loop)
{
    pthread_condattr_t monotonic;
    int result;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    store->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    result = uv_poll_init(loop, &store->wake, store->wake_fd);
    assert(result == 0);
    uv_poll_start(&store->wake, UV_READABLE, on_finished);
    result = start_thread(store);
    assert(result == 0);
}

void store_close(struct store *store, void (*closed)(void *data), void *data)
{
    store->closed = closed;
    store->closed_data = data;
    pthread_mutex_lock(&store->lock);
    store->closing = true;
    pthread_mutex_unlock(&store->lock);
    pthread_cond_signal(&store->work);
}
