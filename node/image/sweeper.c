/* sweeper.c - when the store is swept, and what is asked about it.
 *
 *   IDLE -> (all jobs settled) -> SWEEPING -> EMPTYING -> IDLE
 *
 * Invariants:
 * 1. While SWEEPING no job looks for an image or plans a pull: what is used was
 *    collected before, and nothing is added to it.
 * 2. A pull that is planned goes on meanwhile, and may end: its layers are
 * among those. */
#include "base/clock.h"
#include "base/memory.h"
#include "node/image/image_internal.h"

#include <sys/statvfs.h>

enum { SWEEP_EVERY_MS = 5 * 60 * 1000, SWEEP_PAUSE_MS = 1000 };

/* ---- what is used -------------------------------------------------------- */

static void use_image(struct catalog_uses *uses, const Kontor__V1__Image *image)
{
    for (size_t i = 0; image && i < image->n_layers; i++)
        catalog_use(uses, image->layers[i], false);
}

static void store_on_used(void *to, const char *layer, bool top)
{
    catalog_use(to, layer, top);
}

static int collect(const struct image_store *store, struct catalog_uses *uses,
                   struct error *why)
{
    list_for_each(link, following, &store->jobs)
    {
        const struct image_job *job =
            container_of(link, struct image_job, link);

        use_image(uses, job->plan);
        if (!job->finding) /* then it is the worker's */
            use_image(uses, job->image);
    }
    if (!store->config.each_used)
        return 0;
    return store->config.each_used(store->config.data, store_on_used, uses,
                                   why);
}

static void forget(struct catalog_uses *uses)
{
    free(uses->uses);
    *uses = (struct catalog_uses){0};
}

/* ---- sweeping ------------------------------------------------------------ */

/* Is it known of every job which layers it uses? */
static bool settled(const struct image_store *store)
{
    list_for_each(link, following, &store->jobs)
    {
        const struct image_job *job =
            container_of(link, struct image_job, link);

        if (job->finding ||
            (job->spawned && !(job->exited && job->ended) && !job->plan))
            return false;
    }
    return true;
}

bool sweeper_holds(const struct image_store *store)
{
    const struct sweeper *sweeper = &store->sweeper;

    return sweeper->state == SWEEPER_SWEEPING ||
           (sweeper->state == SWEEPER_IDLE && !list_empty(&sweeper->sweeps));
}

bool sweeper_idle(const struct image_store *store)
{
    return store->sweeper.state == SWEEPER_IDLE &&
           list_empty(&store->sweeper.sweeps);
}

static void sweeper_work(uv_work_t *work)
{
    struct image_store *store =
        container_of(work, struct image_store, sweeper.work);
    struct sweeper *sweeper = &store->sweeper;

    if (sweeper->state == SWEEPER_EMPTYING)
        layer_store_empty(&store->store);
    else if (sweeper->why.code == ERROR_OK)
        sweep_run(&sweeper->current->sweep, &store->store, &sweeper->uses,
                  sweeper->now_ms, &sweeper->why);
}

static void sweeper_finish(struct image_store *store)
{
    struct sweeper *sweeper = &store->sweeper;
    struct image_sweep *sweep = sweeper->current;
    struct error why = sweeper->why;

    sweeper->state = SWEEPER_IDLE;
    sweep->done(sweep, &why); /* may free it */
    sweeper_step(store);
    if (!sweeper_holds(store))
        image_jobs_release(store);
    image_store_close_if_idle(store);
}

static void sweeper_on_worked(uv_work_t *work, int status)
{
    struct image_store *store =
        container_of(work, struct image_store, sweeper.work);
    struct sweeper *sweeper = &store->sweeper;

    (void)status; /* it is never cancelled */
    if (sweeper->state == SWEEPER_EMPTYING) {
        sweeper_finish(store);
        return;
    }
    forget(&sweeper->uses);
    sweeper->state = SWEEPER_EMPTYING;
    image_jobs_release(store);
    uv_queue_work(store->loop, &sweeper->work, sweeper_work, sweeper_on_worked);
}

void sweeper_step(struct image_store *store)
{
    struct sweeper *sweeper = &store->sweeper;

    struct image_sweep *first =
        list_first(&sweeper->sweeps, struct image_sweep, link);

    if (sweeper->state != SWEEPER_IDLE || !first || !settled(store))
        return;
    list_remove(&first->link);
    sweeper->current = first;
    error_clear(&sweeper->why);
    collect(store, &sweeper->uses, &sweeper->why);
    sweeper->now_ms = clock_wall_ms();
    sweeper->state = SWEEPER_SWEEPING;
    uv_queue_work(store->loop, &sweeper->work, sweeper_work, sweeper_on_worked);
}

void image_sweep_start(struct image_store *store, struct image_sweep *sweep)
{
    list_append(&store->sweeper.sweeps, &sweep->link);
    sweeper_step(store);
}

/* ---- from time to time --------------------------------------------------- */

static void sweeper_on_periodic_done(struct image_sweep *sweep,
                                     const struct error *why)
{
    struct image_store *store =
        container_of(sweep, struct image_store, sweeper.periodic);

    store->sweeper.due = false;
    if (store->config.swept)
        store->config.swept(store->config.data, &sweep->sweep, why);
    sweep_fini(&sweep->sweep);
}

void sweeper_hurry(struct image_store *store, uint64_t need_bytes)
{
    struct sweeper *sweeper = &store->sweeper;

    if (sweeper->due || store->closed)
        return;
    sweeper->due = true;
    sweeper->periodic = (struct image_sweep){
        .sweep = {.unused_ms = store->config.keep_ms ? store->config.keep_ms
                                                     : UINT64_MAX,
                  .pressure = true,
                  .need_bytes = need_bytes},
        .done = sweeper_on_periodic_done,
    };
    image_sweep_start(store, &sweeper->periodic);
}

static void sweeper_on_tick(uv_timer_t *timer)
{
    sweeper_hurry(container_of(timer, struct image_store, tick), 0);
}

/* Images that are to go sooner than that are looked for as often. */
static uint64_t interval_ms(uint64_t keep_ms)
{
    if (keep_ms == 0 || keep_ms > SWEEP_EVERY_MS)
        return SWEEP_EVERY_MS;
    return keep_ms > SWEEP_PAUSE_MS ? keep_ms : SWEEP_PAUSE_MS;
}

void sweeper_init(struct image_store *store)
{
    uint64_t every_ms = interval_ms(store->config.keep_ms);

    list_init(&store->sweeper.sweeps);
    uv_timer_init(store->loop, &store->tick);
    uv_timer_start(&store->tick, sweeper_on_tick, every_ms, every_ms);
    /* What else the loop has to do keeps it alive, not this. */
    uv_unref((uv_handle_t *)&store->tick);
}

/* ---- listing ------------------------------------------------------------- */

struct listing {
    struct image_list *list;
    struct image_store *store;
    uv_work_t work;
    struct catalog_uses uses;
    struct catalog catalog;
    Kontor__V1__ListImagesResponse message;
    struct error why;
};

static void listing_work(uv_work_t *work)
{
    struct listing *op = container_of(work, struct listing, work);
    const struct layer_store *store = &op->store->store;
    struct statvfs info;

    if (op->why.code != ERROR_OK ||
        catalog_read(&op->catalog, store, &op->uses, &op->why) != 0)
        return;
    catalog_message(&op->catalog, &op->message);
    if (fstatvfs(store->fd, &info) == 0) {
        op->message.disk_bytes = (uint64_t)info.f_blocks * info.f_frsize;
        op->message.disk_free_bytes = (uint64_t)info.f_bavail * info.f_frsize;
    }
}

static void listing_on_worked(uv_work_t *work, int status)
{
    struct listing *op = container_of(work, struct listing, work);
    struct image_store *store = op->store;

    (void)status; /* it is never cancelled */
    op->list->done(op->list, op->why.code == ERROR_OK ? &op->message : NULL,
                   &op->why);
    catalog_message_fini(&op->message);
    catalog_fini(&op->catalog);
    forget(&op->uses);
    free(op);
    store->listings--;
    image_store_close_if_idle(store);
}

void image_list_start(struct image_store *store, struct image_list *list)
{
    struct listing *op = memory_new(sizeof *op);

    op->list = list;
    op->store = store;
    store->listings++;
    kontor__v1__list_images_response__init(&op->message);
    collect(store, &op->uses, &op->why);
    uv_queue_work(store->loop, &op->work, listing_work, listing_on_worked);
}
