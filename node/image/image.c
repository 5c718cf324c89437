/* image.c - the image store as knode sees it: one process a pull.
 *
 * A job is one such process and the pulls that wait for it:
 *
 *   HELD -> FINDING -> WAITING -> RUNNING -> CLEANING -> (callbacks) -> freed
 *    |        |          |                     ^             ^
 *    +--------|----------+---------------------+ cancelled   |
 *             +----------------------------------------------+ the image is
 *                                                  here, or it was cancelled
 *
 *   HELD is while the store is swept (sweeper.c); FINDING looks into the store
 *   and CLEANING removes the work folder, both on a thread of libuv's pool;
 *   WAITING is for one of PULLS_MAX places; RUNNING ends when the process has
 *   exited and its pipe is at its end.
 *
 * Invariants:
 * 1. No callback runs from within image_pull_start or image_pull_cancel.
 * 2. A job lives until its process, pipe and cleaning are all done; a pull
 *    is on exactly one job's list until its `done` ran. */
#include "base/fd.h"
#include "base/memory.h"
#include "base/random.h"
#include "node/image/image_file.h"
#include "node/image/image_internal.h"
#include "node/image/layout.h"
#include "node/image/record.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PULLS_MAX = 8, /* processes; each fetches up to four layers, by two more */
    READ_BYTES = 64 << 10,
    UNPACKED_RATIO = 3, /* of layers to what is fetched of them, as a rule */
};

/* ---- the store ----------------------------------------------------------- */

static void store_free(struct image_store *store)
{
    layer_store_close(&store->store);
    for (size_t i = 0; i < store->insecure_count; i++)
        free(store->insecure[i]);
    free(store->folder);
    free(store->puller);
    free(store->auth_file);
    free(store);
}

static void copy_config(struct image_store *store,
                        const struct image_store_config *config)
{
    store->config = *config;
    store->folder = memory_string(config->folder);
    store->puller =
        memory_string(config->puller ? config->puller : "/proc/self/exe");
    store->auth_file = config->auth_file
                           ? memory_string(config->auth_file)
                           : memory_format("%s/auth.json", config->folder);
    for (size_t i = 0; i < config->insecure_count; i++)
        store->insecure[i] = memory_string(config->insecure[i]);
    store->insecure_count = config->insecure_count;
}

int image_store_open(struct image_store **out, uv_loop_t *loop,
                     const struct image_store_config *config, struct error *why)
{
    struct image_store *store;

    if (config->insecure_count > INSECURE_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "more than %d insecure registries", INSECURE_MAX);
    store = memory_new(sizeof *store);
    store->loop = loop;
    random_bytes(&store->next_work, sizeof store->next_work);
    store->store.fd = -1;
    list_init(&store->jobs);
    copy_config(store, config);
    if (layer_store_open(&store->store, config->folder, why) != 0 ||
        layer_store_clear(&store->store, why) != 0) {
        store_free(store);
        return (int)why->code;
    }
    sweeper_init(store);
    *out = store;
    return 0;
}

static void image_store_on_timer_closed(uv_handle_t *handle)
{
    struct image_store *store =
        container_of((uv_timer_t *)handle, struct image_store, tick);
    void (*closed)(void *data) = store->closed;
    void *data = store->closed_data;

    store_free(store);
    closed(data);
}

void image_store_close_if_idle(struct image_store *store)
{
    uv_handle_t *tick = (uv_handle_t *)&store->tick;

    if (store->closed && list_empty(&store->jobs) && store->listings == 0 &&
        sweeper_idle(store) && !uv_is_closing(tick))
        uv_close(tick, image_store_on_timer_closed);
}

static void job_end(struct image_job *job);

static void job_kill(struct image_job *job)
{
    if (uv_is_active((uv_handle_t *)&job->process))
        uv_process_kill(&job->process, SIGKILL);
}

/* End it early; what it has done already does not count. */
static void job_cancel(struct image_job *job)
{
    job->shared = false;
    error_set(&job->why, ERROR_CANCELLED, "image %s: the pull was cancelled",
              job->reference);
    if (job->waiting || job->held)
        job_end(job);
    else
        job_kill(job);
}

void image_store_close(struct image_store *store, void (*closed)(void *data),
                       void *data)
{
    store->closed = closed;
    store->closed_data = data;
    list_for_each(link, following, &store->jobs)
    {
        struct image_job *job = container_of(link, struct image_job, link);

        job_cancel(job);
    }
    image_store_close_if_idle(store);
}

/* ---- the end of a job ---------------------------------------------------- */

static void job_on_handle_closed(uv_handle_t *handle)
{
    struct image_job *job = handle->data;
    struct image_store *store = job->store;

    if (--job->open_handles > 0)
        return;
    list_remove(&job->link);
    kontor__v1__image__free_unpacked(job->plan, NULL);
    kontor__v1__image__free_unpacked(job->image, NULL);
    buffer_fini(&job->input);
    free(job->reference);
    free(job);
    image_store_close_if_idle(store);
}

/* Tell everybody, then let go. A callback may start and cancel pulls: the
 * job takes no more, and those on its list stay until they are told. */
static void job_finish(struct image_job *job)
{
    struct image_pull *pull;

    job->shared = false;
    if (job->image && job->why.code == ERROR_OK) {
        if (job->image->reference != protobuf_c_empty_string)
            free(job->image->reference);
        job->image->reference = memory_string(job->reference);
    }
    while ((pull = list_first(&job->pulls, struct image_pull, link))) {
        list_remove(&pull->link);
        pull->done(pull, job->why.code == ERROR_OK ? job->image : NULL,
                   &job->why);
    }
    if (job->spawned)
        uv_close((uv_handle_t *)&job->process, job_on_handle_closed);
    uv_close((uv_handle_t *)&job->pipe, job_on_handle_closed);
}

static void job_clean(uv_work_t *work)
{
    struct image_job *job = container_of(work, struct image_job, work);
    struct error unheard;

    /* What cannot be removed now is removed when the store is opened. */
    layer_store_work_remove(&job->store->store, job->folder, &unheard);
}

static void start_waiting(struct image_store *store);

static void job_on_cleaned(uv_work_t *work, int status)
{
    struct image_job *job = container_of(work, struct image_job, work);

    (void)status; /* it is never cancelled */
    if (job->spawned) {
        job->store->running--;
        start_waiting(job->store);
    }
    if (job->why.code == ERROR_RESOURCE_EXHAUSTED)
        sweeper_hurry(job->store, job->total_bytes * UNPACKED_RATIO);
    job_finish(job);
}

/* Nothing runs for it any more. */
static void job_end(struct image_job *job)
{
    job->waiting = false;
    job->held = false;
    uv_queue_work(job->store->loop, &job->work, job_clean, job_on_cleaned);
}

static void job_end_if_over(struct image_job *job)
{
    if (!job->exited || !job->ended)
        return;
    if (!job->image && job->why.code == ERROR_OK)
        error_set(&job->why, ERROR_INTERNAL,
                  "image %s: the process that pulls it ended without a word",
                  job->reference);
    job_end(job);
    sweeper_step(job->store); /* it may have waited for this */
}

/* ---- what the process says ----------------------------------------------- */

static void job_progress(struct image_job *job, uint64_t done_bytes,
                         uint64_t total_bytes)
{
    list_for_each(link, following, &job->pulls)
    {
        struct image_pull *pull = container_of(link, struct image_pull, link);

        if (pull->progress)
            pull->progress(pull, done_bytes, total_bytes);
    }
}

/* The layers have to be folders of this store, whatever the process says, or
 * be links to files for a file system's. */
static bool layers_are_ours(const struct image_job *job,
                            const Kontor__V1__Image *image)
{
    const char *prefix =
        reference_file_system(&job->parsed) ? "files/" : "layers/sha256/";
    size_t length = strlen(prefix);

    for (size_t i = 0; i < image->n_layers; i++) {
        const char *layer = image->layers[i];

        if (strncmp(layer, prefix, length) != 0 ||
            strlen(layer + length) != DIGEST_HEX_LENGTH ||
            strspn(layer + length, "0123456789abcdef") != DIGEST_HEX_LENGTH)
            return false;
    }
    return image->n_layers > 0;
}

/* The layers that will be used, then the image: each once. */
static void job_take_image(struct image_job *job, const struct record *record,
                           Kontor__V1__Image **out)
{
    Kontor__V1__Image *image =
        kontor__v1__image__unpack(NULL, record->length, record->bytes);

    if (image && !*out && layers_are_ours(job, image)) {
        *out = image;
        return;
    }
    kontor__v1__image__free_unpacked(image, NULL);
    error_set(&job->why, ERROR_INTERNAL, "image %s: the puller's answer",
              job->reference);
}

static void job_take(struct image_job *job, const struct record *record)
{
    uint64_t done_bytes;
    uint64_t total_bytes = 0;

    switch (record->type) {
    case RECORD_PROGRESS:
        if (record_progress(record, &done_bytes, &total_bytes, &job->why) == 0)
            job_progress(job, done_bytes, total_bytes);
        job->total_bytes = total_bytes;
        return;
    case RECORD_LAYERS:
        job_take_image(job, record, &job->plan);
        sweeper_step(job->store);
        return;
    case RECORD_IMAGE:
        job_take_image(job, record, &job->image);
        return;
    case RECORD_ERROR:
        record_error(record, &job->why);
        return;
    }
}

static void job_read_records(struct image_job *job)
{
    while (job->why.code == ERROR_OK) {
        struct record record;
        ssize_t length = record_next(&job->input, &record, &job->why);

        if (length <= 0)
            break;
        job_take(job, &record);
        buffer_consume(&job->input, (size_t)length);
    }
    if (job->why.code != ERROR_OK)
        job_kill(job); /* it has nothing more to say */
}

static void job_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct image_job *job = handle->data;

    (void)suggested;
    out->base = (char *)buffer_reserve(&job->input, READ_BYTES);
    out->len = out->base ? READ_BYTES : 0;
}

static void job_on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *bytes)
{
    struct image_job *job = stream->data;

    (void)bytes;
    if (got > 0) {
        buffer_extend(&job->input, (size_t)got);
        job_read_records(job);
    } else if (got < 0) {
        uv_read_stop(stream);
        job->ended = true;
        job_end_if_over(job);
    }
}

static void job_on_exit(uv_process_t *process, int64_t status, int signal)
{
    struct image_job *job = process->data;

    (void)status; /* its records say more */
    (void)signal;
    job->exited = true;
    job_end_if_over(job);
}

/* ---- the start of a job -------------------------------------------------- */

/* The command line, freed with free(); its words are borrowed. */
static char **job_argv(struct image_job *job)
{
    const struct image_store *store = job->store;
    bool auth = access(store->auth_file, F_OK) == 0;
    char **argv = memory_array(16 + 2 * store->insecure_count, sizeof *argv);
    const char *const fixed[] = {
        "kpull", "image-pull", "--store", store->folder, "--work", job->folder,
    };
    size_t count = 0;

    /* uv_spawn() does not write to them, whatever their type says. */
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        argv[count++] = without_const(fixed[i]);
    if (auth) {
        argv[count++] = without_const("--auth-file");
        argv[count++] = store->auth_file;
    }
    for (size_t i = 0; i < store->insecure_count; i++) {
        argv[count++] = without_const("--insecure");
        argv[count++] = store->insecure[i];
    }
    argv[count] = job->reference;
    return argv;
}

static void job_spawn(struct image_job *job)
{
    CLEANUP(free_pointer) char **argv = job_argv(job);
    uv_stdio_container_t stdio[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
         .data.stream = (uv_stream_t *)&job->pipe},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
    };
    uv_process_options_t options = {
        .exit_cb = job_on_exit,
        .file = job->store->puller,
        .args = argv,
        .stdio = stdio,
        .stdio_count = ARRAY_LEN(stdio),
    };
    int failed = uv_spawn(job->store->loop, &job->process, &options);

    job->spawned = true; /* initialised also when it failed */
    job->open_handles++;
    job->store->running++;
    if (failed) {
        error_set(&job->why, ERROR_RESOURCE_EXHAUSTED,
                  "image %s: start the process that pulls it: %s",
                  job->reference, uv_strerror(failed));
        job->exited = true;
        job->ended = true;
        job_end_if_over(job);
        return;
    }
    uv_read_start((uv_stream_t *)&job->pipe, job_on_alloc, job_on_read);
}

/* Give places to those who came first. */
static void start_waiting(struct image_store *store)
{
    list_for_each(link, following, &store->jobs)
    {
        struct image_job *job = container_of(link, struct image_job, link);

        if (store->running == PULLS_MAX || sweeper_holds(store))
            return;
        if (!job->waiting)
            continue;
        job->waiting = false;
        job_spawn(job);
    }
}

/* On a worker: look for what is here and will do. A digest never changes; a
 * tag is taken to stay what it was, but for "latest", as Kubernetes has it,
 * and what is on the node, which costs no more than a look at a file. What
 * goes wrong here the process will meet again and tell. */
static void job_find(uv_work_t *work)
{
    struct image_job *job = container_of(work, struct image_job, work);
    struct reference *reference = &job->parsed;
    bool latest =
        !reference->digest.text[0] && strcmp(reference->tag, "latest") == 0;
    struct error unheard;

    if (!job->understood)
        return;
    if (reference_is_file(reference))
        latest = image_file_resolve(reference, &unheard) != 0;
    else if (reference->kind == REFERENCE_LAYOUT)
        latest = layout_resolve(reference, &unheard) != 0;
    if (latest)
        return;
    layer_store_load_image(&job->store->store, reference, &job->image,
                           &unheard);
}

static void job_on_found(uv_work_t *work, int status)
{
    struct image_job *job = container_of(work, struct image_job, work);
    struct image_store *store = job->store;

    (void)status; /* it is never cancelled */
    job->finding = false;
    if (store->closed && job->why.code == ERROR_OK)
        job_cancel(job);
    if (job->image || job->why.code != ERROR_OK)
        job_finish(job);
    else
        job->waiting = true;
    sweeper_step(store);
    start_waiting(store);
}

static void job_start(struct image_job *job)
{
    job->held = sweeper_holds(job->store);
    if (job->held)
        return;
    job->finding = true;
    uv_queue_work(job->store->loop, &job->work, job_find, job_on_found);
}

void image_jobs_release(struct image_store *store)
{
    list_for_each(link, following, &store->jobs)
    {
        struct image_job *job = container_of(link, struct image_job, link);

        if (job->held)
            job_start(job);
    }
    start_waiting(store);
}

static struct image_job *job_new(struct image_store *store,
                                 const char *reference)
{
    struct image_job *job = memory_new(sizeof *job);

    job->store = store;
    job->shared = true;
    job->reference = memory_string(reference);
    job->understood = reference_parse(reference, &job->parsed, &job->why) == 0;
    snprintf(job->folder, sizeof job->folder, "%llu",
             (unsigned long long)++store->next_work);
    list_init(&job->pulls);
    list_init(&job->link);
    list_append(&store->jobs, &job->link);
    buffer_init(&job->input,
                RECORD_HEADER_BYTES + RECORD_MAX_BYTES + READ_BYTES);
    uv_pipe_init(store->loop, &job->pipe, 0);
    job->pipe.data = job;
    job->process.data = job;
    job->open_handles = 1;
    job_start(job);
    return job;
}

/* ---- pulls --------------------------------------------------------------- */

static struct image_job *find_shared(struct image_store *store,
                                     const char *reference)
{
    list_for_each(link, following, &store->jobs)
    {
        struct image_job *job = container_of(link, struct image_job, link);

        if (job->shared && strcmp(job->reference, reference) == 0)
            return job;
    }
    return NULL;
}

void image_pull_start(struct image_store *store, struct image_pull *pull,
                      const char *reference)
{
    struct image_job *job = find_shared(store, reference);

    if (!job)
        job = job_new(store, reference);
    pull->store = store;
    list_append(&job->pulls, &pull->link);
}

/* The job that `pull` waits for, or NULL. */
static struct image_job *find_job(const struct image_pull *pull)
{
    list_for_each(link, following, &pull->store->jobs)
    {
        struct image_job *job = container_of(link, struct image_job, link);

        list_for_each(other, after, &job->pulls)
        {
            if (other == &pull->link)
                return job;
        }
    }
    return NULL;
}

void image_pull_cancel(struct image_pull *pull)
{
    struct image_job *job = find_job(pull);

    assert(job); /* a pull that is done belongs to the caller again */
    /* Others may wait for the same: it goes on, and this one leaves for a
     * job that is cancelled before it begins. */
    list_remove(&pull->link);
    if (!list_empty(&job->pulls))
        job = job_new(job->store, job->reference);
    list_append(&job->pulls, &pull->link);
    job_cancel(job);
}
