/* pull.c - the process that pulls one image: `kpull image-pull ...`.
 *
 *   manifest -> config -> layers that are not here, several at a time
 *            -> sync once -> rename each into place -> settle their folders
 *            -> remember the image
 *
 * One thread; what it waits for is the network, the pipes to the unpackers
 * and their reports. It ends with knode and leaves its work folder to it. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"
#include "base/options.h"
#include "node/image/image.h"
#include "node/image/image_file.h"
#include "node/image/layer_pull.h"
#include "node/image/layer_store.h"
#include "node/image/record.h"
#include "node/image/settle.h"
#include "node/image/source.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PARALLEL_MAX = 4,
    PROGRESS_MS = 100,
    WAIT_MS = 1000,
};

#define SETTLED "settled" /* in the work folder */

struct pull_options {
    const char *store;
    const char *work;
    const char *reference;
    struct source_options source;
};

struct pull {
    const struct pull_options *options;
    struct layer_store store;
    int work; /* the work folder */
    struct nursery nursery;
    struct source source;
    struct source_image image;
    /* Owned; each layer once, lowest first, and the one that settles them. */
    struct digest *stack;
    size_t stack_count;
    struct layer_pull *layers; /* those to be fetched */
    size_t layer_count;
    uint64_t total_bytes;
    uint64_t progress_ms; /* when it was told last */
};

/* ---- its layers ---------------------------------------------------------- */

/* Whether a layer comes again further up. There it does all that it does
 * here, and overlayfs refuses one folder twice. */
static bool comes_again(const struct pull *pull, size_t number)
{
    for (size_t i = number + 1; i < pull->image.config.diff_id_count; i++)
        if (digest_equal(&pull->image.config.diff_ids[i],
                         &pull->image.config.diff_ids[number]))
            return true;
    return false;
}

/* The image's folders, and the name of the one that settles them, which may
 * come on top. */
static void plan_stack(struct pull *pull)
{
    size_t count = pull->image.config.diff_id_count;
    struct settle_layers layers = {.store = &pull->store};

    pull->stack = memory_array(count + 1, sizeof *pull->stack);
    for (size_t i = 0; i < count; i++)
        if (!comes_again(pull, i))
            pull->stack[pull->stack_count++] = pull->image.config.diff_ids[i];
    layers.diff_ids = pull->stack;
    layers.count = pull->stack_count;
    settle_name(&layers, &pull->stack[pull->stack_count]);
}

static void plan(struct pull *pull)
{
    size_t count = pull->image.config.diff_id_count;

    pull->layers = memory_array(count, sizeof *pull->layers);
    for (size_t i = 0; i < count; i++) {
        struct layer_pull *layer = &pull->layers[pull->layer_count];

        if (comes_again(pull, i) ||
            layer_store_has_layer(&pull->store,
                                  &pull->image.config.diff_ids[i]))
            continue;
        layer_pull_init(layer, i);
        layer->blob = &pull->image.manifest.layers[i];
        layer->diff_id = &pull->image.config.diff_ids[i];
        if (source_is_layout(&pull->source))
            layer->layout = &pull->source.layout;
        else
            layer->registry = &pull->source.registry;
        pull->total_bytes += layer->blob->size_bytes;
        pull->layer_count++;
    }
}

/* At most ten times a second, and once all is there. */
static int tell_progress(struct pull *pull, struct error *why)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t done_bytes = 0;

    for (size_t i = 0; i < pull->layer_count; i++)
        done_bytes += pull->layers[i].received_bytes;
    if (now_ms - pull->progress_ms < PROGRESS_MS &&
        done_bytes < pull->total_bytes)
        return 0;
    pull->progress_ms = now_ms;
    return record_send_progress(STDOUT_FILENO, done_bytes, pull->total_bytes,
                                why);
}

static bool is_active(const struct layer_pull *layer)
{
    return layer->state > LAYER_PULL_WAITING && layer->state < LAYER_PULL_DONE;
}

static size_t count_active(const struct pull *pull)
{
    size_t active = 0;

    for (size_t i = 0; i < pull->layer_count; i++)
        active += is_active(&pull->layers[i]);
    return active;
}

/* Start a layer, if one is left and may be; returns whether it did. */
static bool start_one(struct pull *pull)
{
    const struct unpack_site site = {&pull->nursery, pull->work};

    if (count_active(pull) == PARALLEL_MAX)
        return false;
    for (size_t i = 0; i < pull->layer_count; i++)
        if (pull->layers[i].state == LAYER_PULL_WAITING) {
            layer_pull_start(&pull->layers[i], &site);
            return true;
        }
    return false;
}

static const struct layer_pull *find_failed(const struct pull *pull)
{
    for (size_t i = 0; i < pull->layer_count; i++)
        if (pull->layers[i].state == LAYER_PULL_FAILED)
            return &pull->layers[i];
    return NULL;
}

static int wait_for_any(struct pull *pull, uint64_t wait_ms, struct error *why)
{
    struct curl_waitfd fds[PARALLEL_MAX * LAYER_PULL_FDS];
    unsigned count = 0;

    for (size_t i = 0; i < pull->layer_count; i++) {
        if (!is_active(&pull->layers[i]))
            continue;
        count += layer_pull_fds(&pull->layers[i], fds + count);
        wait_ms = layer_pull_wait_ms(&pull->layers[i], wait_ms);
    }
    return http_run(&pull->source.http, fds, count, (int)wait_ms, why);
}

static int fetch_layers(struct pull *pull, struct error *why)
{
    for (;;) {
        const struct layer_pull *failed;
        bool started = start_one(pull);

        if (!started && count_active(pull) == 0)
            return 0;
        /* The registry looks for one while the next is started. */
        if (wait_for_any(pull, started ? 0 : WAIT_MS, why) != 0)
            return (int)why->code;
        for (size_t i = 0; i < pull->layer_count; i++)
            layer_pull_step(&pull->layers[i]);
        failed = find_failed(pull);
        if (failed) {
            *why = failed->why;
            return (int)why->code;
        }
        if (tell_progress(pull, why) != 0)
            return (int)why->code;
    }
}

/* What is whole stays, also when another layer failed: the next try does not
 * fetch it again. */
static int publish_layers(struct pull *pull, struct error *why)
{
    size_t done = 0;

    for (size_t i = 0; i < pull->layer_count; i++) {
        const struct layer_pull *layer = &pull->layers[i];

        if (layer->state != LAYER_PULL_DONE)
            continue;
        if (layer_store_publish_list(&pull->store, pull->work, layer->name,
                                     layer->diff_id, why) != 0 ||
            layer_store_publish_size(&pull->store, pull->work, layer->diff_id,
                                     layer->tar_bytes, why) != 0)
            return (int)why->code;
        done++;
    }
    if (done == 0)
        return 0;
    if (layer_store_sync(&pull->store, why) != 0)
        return (int)why->code;
    for (size_t i = 0; i < pull->layer_count; i++) {
        const struct layer_pull *layer = &pull->layers[i];

        if (layer->state == LAYER_PULL_DONE &&
            layer_store_publish_layer(&pull->store, pull->work, layer->name,
                                      layer->diff_id, why) != 0)
            return (int)why->code;
    }
    return 0;
}

/* One more layer on top when folders need it (settle.h). */
static int settle_image(struct pull *pull, struct error *why)
{
    const struct settle_layers layers = {&pull->store, pull->stack,
                                         pull->stack_count};
    const struct digest *name = &pull->stack[pull->stack_count];
    CLEANUP(fd_close) int folder = -1;
    bool needed = false;

    if (!layer_store_has_layer(&pull->store, name)) {
        if (mkdirat(pull->work, SETTLED, 0755) != 0)
            return error_errno(why, "make a folder for folders");
        folder =
            openat(pull->work, SETTLED, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder < 0)
            return error_errno(why, "open the folder for folders");
        if (settle(&layers, folder, &needed, why) != 0)
            return (int)why->code;
        if (!needed)
            return 0;
        if (layer_store_sync(&pull->store, why) != 0 ||
            layer_store_publish_layer(&pull->store, pull->work, SETTLED, name,
                                      why) != 0)
            return (int)why->code;
    }
    if (++pull->stack_count > IMAGE_LAYERS_MAX)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "%d layers and one for their folders",
                         IMAGE_LAYERS_MAX);
    return 0;
}

/* ---- the result ---------------------------------------------------------- */

static void take_stack(const struct pull *pull, size_t count,
                       Kontor__V1__Image *image)
{
    image->layers = memory_array(count, sizeof *image->layers);
    for (size_t i = 0; i < count; i++) {
        char path[LAYER_STORE_PATH_MAX];

        layer_store_layer_path(&pull->stack[i], path);
        image->layers[image->n_layers++] = memory_string(path);
    }
}

static int send_image(enum record_type type, const Kontor__V1__Image *image,
                      struct error *why)
{
    size_t length = kontor__v1__image__get_packed_size(image);
    CLEANUP(free_pointer) uint8_t *packed = memory_new(length);

    kontor__v1__image__pack(image, packed);
    return record_send(STDOUT_FILENO, type, packed, length, why);
}

/* Said before we look which layers are here: from then on knode keeps them. */
static int tell_stack(const struct pull *pull, struct error *why)
{
    Kontor__V1__Image *image = memory_new(sizeof *image);
    int failed;

    kontor__v1__image__init(image);
    take_stack(pull, pull->stack_count + 1, image);
    failed = send_image(RECORD_LAYERS, image, why);
    kontor__v1__image__free_unpacked(image, NULL);
    return failed;
}

/* Remember the image under its reference, and hand it to knode. */
static int finish(struct pull *pull, const struct digest *digest,
                  struct error *why)
{
    Kontor__V1__Image *image = pull->image.config.image;

    image->reference = memory_string(pull->options->reference);
    image->digest = memory_string(digest->text);
    if (layer_store_save_image(&pull->store, pull->work,
                               &pull->source.reference, image, why) != 0)
        return (int)why->code;
    return send_image(RECORD_IMAGE, image, why);
}

static int pull_layers(struct pull *pull, struct error *why)
{
    const struct unpack_site site = {&pull->nursery, pull->work};
    struct error publish;
    int failed;

    /* The nursery comes before credentials are read. */
    if (nursery_open(&pull->nursery, why) != 0 ||
        source_open(&pull->source, &pull->options->source, &site, why) != 0 ||
        source_resolve(&pull->source, &pull->image, why) != 0)
        return (int)why->code;
    plan_stack(pull);
    if (tell_stack(pull, why) != 0)
        return (int)why->code;
    plan(pull);
    failed = fetch_layers(pull, why);
    if (publish_layers(pull, failed ? &publish : why) != 0 && !failed)
        return (int)why->code;
    if (failed)
        return failed;
    if (settle_image(pull, why) != 0)
        return (int)why->code;
    take_stack(pull, pull->stack_count, pull->image.config.image);
    return finish(pull, &pull->image.digest, why);
}

/* A file system needs nothing but a way to it: its only layer is a link to
 * the file, which is mounted when a pod starts. */
static int pull_file_system(struct pull *pull, struct error *why)
{
    struct reference *reference = &pull->source.reference;
    Kontor__V1__Image *image = memory_new(sizeof *image);
    CLEANUP(fd_close) int fd = -1;
    char path[LAYER_STORE_PATH_MAX];

    kontor__v1__image__init(image);
    pull->image.config.image = image;
    if (image_file_open(reference, &fd, why) != 0 ||
        image_file_check(reference, fd, why) != 0 ||
        layer_store_publish_link(&pull->store, pull->work, reference, path,
                                 why) != 0)
        return (int)why->code;
    image->layers = memory_array(1, sizeof *image->layers);
    image->layers[image->n_layers++] = memory_string(path);
    return finish(pull, &reference->digest, why);
}

/* ---- the process --------------------------------------------------------- */

static int pull_run(struct pull *pull, struct error *why)
{
    const struct pull_options *options = pull->options;

    if (reference_parse(options->reference, &pull->source.reference, why) != 0)
        return (int)why->code;
    if (layer_store_open(&pull->store, options->store, why) != 0 ||
        layer_store_work_open(&pull->store, options->work, &pull->work, why) !=
            0 ||
        (reference_file_system(&pull->source.reference)
             ? pull_file_system(pull, why)
             : pull_layers(pull, why)) != 0)
        return error_wrap(why, "image %.200s", options->reference);
    return 0;
}

static void pull_fini(struct pull *pull)
{
    for (size_t i = 0; i < pull->layer_count; i++)
        layer_pull_fini(&pull->layers[i]);
    free(pull->layers);
    free(pull->stack);
    source_image_fini(&pull->image);
    source_close(&pull->source);
    nursery_close(&pull->nursery);
    fd_reset(&pull->work);
    layer_store_close(&pull->store);
}

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "kpull image-pull --store DIR --work NAME REFERENCE\n"
    "\n"
    "Pulls one image into knode's store of images and ends. knode starts it;\n"
    "what it writes to standard output is for knode to read (record.h).\n"
    "\n";

static int parse_options(int argc, char **argv, struct pull_options *out,
                         bool *help, struct error *why)
{
    const struct option table[] = {
        {"store", OPTION_STRING, &out->store, "DIR", "the image store"},
        {"work", OPTION_STRING, &out->work, "NAME", "folder made in its tmp"},
        {"auth-file", OPTION_STRING, &out->source.auth_file, "FILE",
         "Docker's config.json"},
        {"insecure", OPTION_STRINGS, &out->source.insecure, "HOST:PORT",
         "a registry to speak http to"},
        {NULL, OPTION_FLAG, NULL, NULL, NULL},
    };
    struct operands operands;

    if (options_parse(table, argc, argv, &operands, help, why) != 0)
        return (int)why->code;
    if (*help) {
        fputs(usage, stdout);
        options_print(table, stdout);
        return 0;
    }
    if (operands.count != 2 || strcmp(operands.values[0], "image-pull") != 0 ||
        !out->store || !out->work)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "a store, a work folder and one image are needed");
    out->reference = operands.values[1];
    return 0;
}

static int pull_main(const struct pull_options *options)
{
    struct pull pull = {
        .options = options,
        .store = {-1},
        .work = -1,
        .nursery = NURSERY_NONE,
        .source = {.layout = {-1}},
    };
    struct error why = {0};
    struct error unheard;
    int failed;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    failed = pull_run(&pull, &why);
    pull_fini(&pull);
    if (!failed)
        return EXIT_DONE;
    record_send_error(STDOUT_FILENO, &why, &unheard);
    return EXIT_FAILED;
}

int image_pull_main(int argc, char **argv)
{
    struct pull_options options = {0};
    struct error why;
    bool help = false;

    if (parse_options(argc, argv, &options, &help, &why) != 0) {
        fprintf(stderr, "kpull: %s\n`kpull --help` shows how\n", why.message);
        return EXIT_USAGE;
    }
    return help ? EXIT_DONE : pull_main(&options);
}
