/* store.c - raft/store.h with the real file beneath it, on the host's disk
 * (test/sim/disk), and its syncs in virtual time: what waits when a transaction
 * ends shares the next one. It is written when its sync has ended, all at once;
 * a crash before that finds as much of it on the disk as the disk's model
 * makes of it. What would end the real process ends the simulated one. */
#include "test/sim/stack/store.h"

#include "raft/store_file.h"

#include "base/memory.h"
#include "test/sim/disk/disk.h"
#include "test/sim/stack/check.h"
#include "test/sim/stack/fault.h"
#include "test/sim/stack/kmaster.h"

#include <assert.h>

/* As in raft/store.c. */
enum { CHECKPOINT_IDLE_PAGES = 1000, SETTLE_AFTER_US = 500000 };

enum {
    FOR_EVER_US = 1000000000,
    INTERRUPTED_MAX = 24, /* operations of the disk; most need fewer */
};

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
    struct errand settle;
    bool settling;      /* it is under way */
    uint64_t worked_us; /* when the last transaction ended */
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
    process_now->host->store = store;
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
    if (store->settling)
        errand_cancel(&store->settle);
    store->process->host->store = NULL;
    store_file_close(&store->file);
    free(store);
}

uint64_t store_free_bytes(struct store *store, uint64_t reserve_bytes)
{
    (void)reserve_bytes;
    return store->process->host->disk_free_bytes;
}

/* ---- transactions ---- */

static void start_sync(struct store *store);

/* What `syncing` asks for is on the disk; or `maybe`, after a crash. */
static void note(const struct store *store, bool maybe)
{
    struct host *host = store->process->host;

    check_transaction(host, maybe);
    list_for_each(link, next, &store->syncing)
    {
        const struct store_request *request =
            container_of(link, struct store_request, link);

        if (request->write)
            check_stored(host, request->write);
        else
            check_compacted(host, request->compaction);
    }
}

static int write_all(struct store *store, struct error *why)
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
    return store_file_commit(file, why);
}

static int perform(struct store *store, struct error *why)
{
    int code = write_all(store, why);

    if (!code && disk_is_off(store->process->host->disk))
        code = error_set(why, ERROR_UNAVAILABLE, "the end came first");
    note(store, code != 0);
    return code;
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

/* It gets as far as the disk's fault lets it. */
void store_interrupt(struct host *host, bool power)
{
    struct store *store = host->store;
    struct error why;

    if (!store || store->broken || list_empty(&store->syncing) ||
        disk_is_off(host->disk))
        return;
    disk_fault(host->disk, power ? DISK_CUT : DISK_STOP,
               (unsigned)world_between(0, INTERRUPTED_MAX));
    (void)write_all(store, &why);
    note(store, true);
}

/* As after any failed write or sync. */
static void break_down(struct store *store, const struct error *why)
{
    tell(store->process->host, "the log cannot be written: %s", why->message);
    tally.full += why->code == ERROR_RESOURCE_EXHAUSTED;
    store->broken = true;
    kmaster_fail(store->process, why);
}

static void on_settle(struct errand *errand, bool lost)
{
    struct store *store = container_of(errand, struct store, settle);
    uint64_t due_us = store->worked_us + SETTLE_AFTER_US;
    struct error why;

    store->settling = false;
    if (lost || store->broken || !store_file_is_unsettled(&store->file))
        return;
    if (due_us > world.now_us || !list_empty(&store->syncing)) {
        store->settling = true;
        errand_start(&store->settle, store->process,
                     due_us > world.now_us ? due_us - world.now_us
                                           : SETTLE_AFTER_US,
                     on_settle);
    } else if (store_file_settle(&store->file, &why) != 0) {
        break_down(store, &why);
    }
}

static void plan_settling(struct store *store)
{
    store->worked_us = world.now_us;
    if (store->settling || !store_file_is_unsettled(&store->file))
        return;
    store->settling = true;
    errand_start(&store->settle, store->process, SETTLE_AFTER_US, on_settle);
}

static void on_synced(struct errand *errand, bool lost)
{
    struct store *store = container_of(errand, struct store, sync);
    const struct host *host = store->process->host;
    struct error why;

    if (!lost && host->disk_hangs_until_us > world.now_us) {
        errand_start(&store->sync, store->process,
                     host->disk_hangs_until_us - world.now_us, on_synced);
        return;
    }
    if (!lost &&
        (perform(store, &why) != 0 ||
         (list_empty(&store->waiting) && do_idle_work(store, &why) != 0))) {
        errand_start(&store->sync, store->process, FOR_EVER_US, on_synced);
        break_down(store, &why);
        return;
    }
    move_all(&store->syncing, &store->done);
    if (!lost)
        plan_settling(store);
    start_sync(store);
    finish(&store->done);
}

static void on_end(struct errand *errand, bool lost)
{
    struct store *store = container_of(errand, struct store, end);
    void (*closed)(void *data) = store->closed;
    void *data = store->closed_data;

    (void)lost; /* the disk is off then */
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
    fault_on_submitted(store->process->host, write);
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
