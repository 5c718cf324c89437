#include "node/images.h"

#include "base/memory.h"

/* What the three have in common: a call that may end before its answer. */
struct images_call {
    struct call *call; /* NULL: ended */
    union {
        struct image_list list;
        struct image_sweep sweep;
        struct image_pull pull;
    } op;
    char *reference; /* owned; of a removal */
};

static void images_on_ended(struct call *call, const struct error *why)
{
    struct images_call *op = call_data(call);

    (void)why;
    if (op)
        op->call = NULL;
}

static const struct call_events images_events = {.ended = images_on_ended};

static struct images_call *begin(struct call *call,
                                 const struct call_events *events)
{
    struct images_call *op = memory_new(sizeof *op);

    op->call = call;
    call_listen(call, events, op);
    return op;
}

/* Answer, if somebody waits, and let go. `answer` counts unless `why` does. */
static void end(struct images_call *op, const ProtobufCMessage *answer,
                const struct error *why)
{
    struct error failed = *why;

    if (op->call) {
        call_listen(op->call, &images_events, NULL);
        if (failed.code == ERROR_OK && answer)
            call_send(op->call, answer, &failed);
        call_finish(op->call, &failed);
    }
    free(op->reference);
    free(op);
}

/* ---- list ---------------------------------------------------------------- */

static void images_on_listed(struct image_list *list,
                             const Kontor__V1__ListImagesResponse *images,
                             const struct error *why)
{
    end(container_of(list, struct images_call, op.list),
        images ? &images->base : NULL, why);
}

void images_list(struct image_store *store, struct call *call)
{
    struct images_call *op = begin(call, &images_events);

    op->op.list.done = images_on_listed;
    image_list_start(store, &op->op.list);
}

/* ---- remove -------------------------------------------------------------- */

static void images_on_swept(struct image_sweep *sweep, const struct error *why)
{
    struct images_call *op = container_of(sweep, struct images_call, op.sweep);
    Kontor__V1__RemoveImagesResponse answer =
        KONTOR__V1__REMOVE_IMAGES_RESPONSE__INIT;
    struct sweep went = sweep->sweep;

    answer.removed = went.removed;
    answer.n_removed = went.removed_count;
    answer.freed_bytes = went.freed_bytes;
    end(op, &answer.base, why);
    sweep_fini(&went);
}

void images_remove(struct image_store *store, struct call *call,
                   const Kontor__V1__RemoveImagesRequest *request)
{
    struct images_call *op = begin(call, &images_events);

    op->reference = memory_string(request->reference);
    op->op.sweep.sweep.reference = op->reference[0] ? op->reference : NULL;
    op->op.sweep.sweep.unused_ms = request->unused_ms;
    op->op.sweep.done = images_on_swept;
    image_sweep_start(store, &op->op.sweep);
}

/* ---- pull ---------------------------------------------------------------- */

/* Nobody waits for it any more. */
static void images_on_pull_ended(struct call *call, const struct error *why)
{
    struct images_call *op = call_data(call);

    (void)why;
    op->call = NULL;
    image_pull_cancel(&op->op.pull);
}

static const struct call_events pull_events = {.ended = images_on_pull_ended};

static void images_on_progress(struct image_pull *pull, uint64_t done_bytes,
                               uint64_t total_bytes)
{
    struct images_call *op = container_of(pull, struct images_call, op.pull);
    Kontor__V1__PullImageProgress message =
        KONTOR__V1__PULL_IMAGE_PROGRESS__INIT;
    struct error unheard;

    message.done_bytes = done_bytes;
    message.total_bytes = total_bytes;
    if (op->call && call_queued_bytes(op->call) < CALL_QUEUE_HIGH_BYTES)
        call_send(op->call, &message.base, &unheard);
}

static void images_on_pulled(struct image_pull *pull,
                             const Kontor__V1__Image *image,
                             const struct error *why)
{
    Kontor__V1__PullImageProgress message =
        KONTOR__V1__PULL_IMAGE_PROGRESS__INIT;

    if (image)
        message.digest = image->digest;
    end(container_of(pull, struct images_call, op.pull), &message.base, why);
}

void images_pull(struct image_store *store, struct call *call,
                 const Kontor__V1__PullImageRequest *request)
{
    struct images_call *op = begin(call, &pull_events);

    op->op.pull.progress = images_on_progress;
    op->op.pull.done = images_on_pulled;
    image_pull_start(store, &op->op.pull, request->reference);
}
