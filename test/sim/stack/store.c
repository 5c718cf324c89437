/* store.c - raft/store.h with the real file beneath it and a virtual disk in
 * time: what waits when a transaction ends shares the next one. It reaches the
 * file when its sync has ended; a crash before that may find all or nothing
 * of it there. What would end the real process ends the simulated one. */
#include "raft/store_file.h"

#include "base/memory.h"
#include "test/sim/stack/check.h"
#include "test/sim/stack/kmaster.h"
#include "test/sim/stack/world.h"

#include <assert.h>

/* As in raft/store.c. */
enum { CHECKPOINT_IDLE_PAGES = 1000 };

enum { FOR_EVER_US = 1000000000 };

struct store_request {
    struct list link;
    struct store_write *write; /* or */
    struct store_compaction *compaction;
};

struct store {
    struct store_file file;
    struct process *process;
    struct random random;
    unsigned checkpoint_pages;
    struct list waiting;
    struct list syncing;
    struct list done;
    struct errand sync; /* under way while `syncing` holds something */
    struct errand end;  /* tells that it is closed */
    bool broken;        /* nothing more is to reach the file */
    bool closing;
    void (*closed)(void *data);
    void *closed_data;
};

/* ---- opening ---- */

int store_open(struct store **out, const struct store_options *options,
               struct store_content *content, struct error *why)
{
    struct store *store = memory_new(sizeof *store);
    struct store_options unprepared = *options;

    unprepared.prepared_bytes = 0; /* a virtual disk appends as fast */
    if (store_file_open(&store->file, &unprepared, content, why) != 0) {
        free(store);
        return why->code;
    }
    store->process = process_now;
    store->random.state = random_next(&process_now->random);
    store->checkpoint_pages = CHECKPOINT_IDLE_PAGES;
    list_init(&store->waiting);
    list_init(&store->syncing);
    list_init(&store->done);
    check_opened(process_now->host, content);
    *out = store;
    return 0;
}

void store_start(struct store *store, uv_loop_t *loop)
{
    assert(process_of(loop) == store->process);
}

void store_free(struct store *store)
{
    store_file_close(&store->file);
    free(store);
}

uint64_t store_free_bytes(struct store *store)
{
    return store->process->host->disk_free_bytes;
}

/* ---- transactions ---- */

static void start_sync(struct store *store);

static int perform(struct store *store, struct error *why)
{
    struct store_file *file = &store->file;

    if (store_file_begin(file, why) != 0)
        return why->code;
    list_for_each(link, next, &store->syncing)
    {
        struct store_request *request =
            container_of(link, struct store_request, link);
        int code = request->write
                       ? store_file_write(file, request->write, why)
                       : store_file_compact(file, request->compaction, why);

        if (code != 0)
            return code;
    }
    if (store_file_commit(file, why) != 0)
        return why->code;
    list_for_each(link, next, &store->syncing)
    {
        const struct store_request *request =
            container_of(link, struct store_request, link);

        if (request->write)
            check_stored(store->process->host, request->write);
        else
            check_compacted(store->process->host, request->compaction);
    }
    return 0;
}

static int do_idle_work(struct store *store, struct error *why)
{
    struct store_file *file = &store->file;

    if (file->wal_pages >= store->checkpoint_pages) {
        store->checkpoint_pages =
            CHECKPOINT_IDLE_PAGES +
            (unsigned)random_below(&store->random, CHECKPOINT_IDLE_PAGES);
        return store_file_checkpoint(file, why);
    }
    if (!store_file_has_garbage(file))
        return 0;
    if (store_file_begin(file, why) != 0)
        return why->code;
    return store_file_commit(file, why);
}

static void move_all(struct list *from, struct list *to)
{
    while (!list_empty(from)) {
        struct list *link = from->next;

        list_remove(link);
        list_append(to, link);
    }
}

/* Tell of those in `list`, in order. */
static void finish(struct list *list)
{
    list_for_each(link, next, list)
    {
        struct store_request *request =
            container_of(link, struct store_request, link);
        struct store_request taken = *request;

        list_remove(&request->link);
        free(request);
        if (taken.write)
            taken.write->done(taken.write);
        else
            taken.compaction->done(taken.compaction);
    }
}

/* The process is gone: whether its last transaction is there, nobody knows. */
static void lose(struct store *store)
{
    struct error why;

    if (!store->broken && world_chance(50))
        (void)perform(store, &why);
    store->broken = true;
}

static void on_synced(struct errand *errand, bool lost)
{
    struct store *store = container_of(errand, struct store, sync);
    const struct host *host = store->process->host;
    struct error why;

    if (lost) {
        lose(store);
    } else if (host->disk_hangs_until_us > world.now_us) {
        errand_start(&store->sync, store->process,
                     host->disk_hangs_until_us - world.now_us, on_synced);
        return;
    } else if (perform(store, &why) != 0 || (list_empty(&store->waiting) &&
                                             do_idle_work(store, &why) != 0)) {
        tell(host, "the log cannot be written: %s", why.message);
        store->broken = true;
        errand_start(&store->sync, store->process, FOR_EVER_US, on_synced);
        kmaster_die_soon(store->process);
        return;
    }
    move_all(&store->syncing, &store->done);
    start_sync(store);
    finish(&store->done);
}

static void on_end(struct errand *errand, bool lost)
{
    struct store *store = container_of(errand, struct store, end);
    void (*closed)(void *data) = store->closed;
    void *data = store->closed_data;

    if (lost)
        sqlite3_db_config(store->file.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
                          NULL);
    store_free(store);
    closed(data);
}

static uint64_t sync_us(void)
{
    uint64_t sync_us = world_between(1, world.traits.sync_us);

    if (!world.healed && world_chance(1))
        sync_us += world_between(0, 20 * world.traits.sync_us);
    return sync_us;
}

static void start_sync(struct store *store)
{
    if (!list_empty(&store->syncing))
        return;
    if (!list_empty(&store->waiting)) {
        move_all(&store->waiting, &store->syncing);
        errand_start(&store->sync, store->process, sync_us(), on_synced);
    } else if (store->closing) {
        errand_start(&store->end, store->process, 0, on_end);
    }
}

static void submit(struct store *store, struct store_write *write,
                   struct store_compaction *compaction)
{
    struct store_request *request = memory_new(sizeof *request);

    assert(!store->closing);
    request->write = write;
    request->compaction = compaction;
    list_append(&store->waiting, &request->link);
    start_sync(store);
}

void store_submit(struct store *store, struct store_write *write)
{
    check_submitted(store->process->host, write);
    submit(store, write, NULL);
}

void store_compact(struct store *store, struct store_compaction *compaction)
{
    submit(store, NULL, compaction);
}

void store_close(struct store *store, void (*closed)(void *data), void *data)
{
    store->closing = true;
    store->closed = closed;
    store->closed_data = data;
    start_sync(store);
}
