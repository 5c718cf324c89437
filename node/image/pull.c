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
#include "node/image/filters.h"
#include "node/image/image.h"
#include "node/image/layer_pull.h"
#include "node/image/layer_store.h"
#include "node/image/record.h"
#include "node/image/settle.h"

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
    INDEX_DEPTH_MAX = 2, /* a layout's index may lead to an image's index */
};

#define SETTLED "settled" /* in the work folder */

struct pull_options {
    const char *store;
    const char *work;
    const char *auth_file; /* or NULL */
    const char *reference;
    struct option_strings insecure;
};

struct pull {
    const struct pull_options *options;
    struct reference reference;
    struct platform platform;
    struct layer_store store;
    int work; /* the work folder */
    struct http http;
    struct image_registry registry;
    struct layout layout;
    struct digest digest; /* of the manifest */
    struct manifest manifest;
    struct image_config config;
    /* Owned; each layer once, lowest first, and the one that settles them. */
    struct digest *stack;
    size_t stack_count;
    struct layer_pull *layers; /* those to be fetched */
    size_t layer_count;
    uint64_t total_bytes;
    uint64_t progress_ms; /* when it was told last */
};

/* ---- what the image is --------------------------------------------------- */

static bool from_layout(const struct pull *pull)
{
    return pull->reference.kind == REFERENCE_LAYOUT;
}

/* A document that a descriptor names, verified. */
static int get_document(struct pull *pull, const struct descriptor *document,
                        bool manifest, struct buffer *out, struct error *why)
{
    char media_type[HTTP_HEADER_MAX];
    int failed;

    if (from_layout(pull))
        failed = layout_blob(&pull->layout, document, out, why);
    else if (manifest)
        failed = image_registry_manifest(&pull->registry, document->digest.text,
                                         out, media_type, why);
    else
        failed = image_registry_blob(&pull->registry, document, out, why);
    if (!failed && buffer_length(out) != document->size_bytes)
        failed = error_set(why, ERROR_DATA_LOSS, "%s has %zu bytes, not %llu",
                           document->digest.text, buffer_length(out),
                           (unsigned long long)document->size_bytes);
    return failed;
}

/* The document that the reference itself names, and its type. A layout's
 * reference gets its digest here: it is remembered under it, not under a tag
 * that may move. */
static int get_first(struct pull *pull, struct buffer *out,
                     char media_type[HTTP_HEADER_MAX], struct error *why)
{
    struct reference *reference = &pull->reference;
    struct descriptor found;

    if (!from_layout(pull))
        return image_registry_manifest(
            &pull->registry,
            reference->digest.text[0] ? reference->digest.text : reference->tag,
            out, media_type, why);
    if (layout_find(&pull->layout, reference->tag, &found, why) != 0 ||
        get_document(pull, &found, true, out, why) != 0)
        return error_wrap(why, "OCI layout %s", reference->folder);
    snprintf(media_type, HTTP_HEADER_MAX, "%s", found.media_type);
    reference->digest = found.digest;
    return 0;
}

/* Follow indexes to the manifest for this platform; its bytes are in
 * `document` then. */
static int find_manifest(struct pull *pull, struct buffer *document,
                         struct error *why)
{
    char media_type[HTTP_HEADER_MAX];

    if (get_first(pull, document, media_type, why) != 0)
        return (int)why->code;
    for (int depth = 0;; depth++) {
        const uint8_t *bytes = buffer_data(document);
        size_t length = buffer_length(document);
        struct descriptor chosen;
        enum manifest_kind kind;

        if (manifest_kind(media_type, bytes, length, &kind, why) != 0)
            return (int)why->code;
        if (kind == MANIFEST_IMAGE) {
            digest_of(bytes, length, &pull->digest);
            return 0;
        }
        if (depth == INDEX_DEPTH_MAX)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "indexes within indexes");
        if (index_choose(bytes, length, &pull->platform, NULL, &chosen, why) !=
            0)
            return (int)why->code;
        buffer_consume(document, length);
        if (get_document(pull, &chosen, true, document, why) != 0)
            return (int)why->code;
        snprintf(media_type, sizeof media_type, "%s", chosen.media_type);
    }
}

static int resolve(struct pull *pull, struct error *why)
{
    CLEANUP(buffer_fini) struct buffer document = {.limit = MANIFEST_MAX_BYTES};
    CLEANUP(buffer_fini) struct buffer config = {.limit = CONFIG_MAX_BYTES};

    if (find_manifest(pull, &document, why) != 0 ||
        manifest_parse(buffer_data(&document), buffer_length(&document),
                       &pull->manifest, why) != 0)
        return (int)why->code;
    if (get_document(pull, &pull->manifest.config, false, &config, why) != 0 ||
        image_config_parse(buffer_data(&config), buffer_length(&config),
                           &pull->platform, &pull->config, why) != 0)
        return (int)why->code;
    if (pull->config.diff_id_count != pull->manifest.layer_count)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "the manifest has %zu layers, the config %zu diff_ids",
                         pull->manifest.layer_count,
                         pull->config.diff_id_count);
    return 0;
}

/* ---- its layers ---------------------------------------------------------- */

/* Whether a layer comes again further up. There it does all that it does
 * here, and overlayfs refuses one folder twice. */
static bool comes_again(const struct pull *pull, size_t number)
{
    for (size_t i = number + 1; i < pull->config.diff_id_count; i++)
        if (digest_equal(&pull->config.diff_ids[i],
                         &pull->config.diff_ids[number]))
            return true;
    return false;
}

static void plan(struct pull *pull)
{
    size_t count = pull->config.diff_id_count;

    pull->layers = memory_array(count, sizeof *pull->layers);
    pull->stack = memory_array(count + 1, sizeof *pull->stack);
    for (size_t i = 0; i < count; i++) {
        struct layer_pull *layer = &pull->layers[pull->layer_count];

        if (comes_again(pull, i))
            continue;
        pull->stack[pull->stack_count++] = pull->config.diff_ids[i];
        if (layer_store_has_layer(&pull->store, &pull->config.diff_ids[i]))
            continue;
        layer_pull_init(layer, i);
        layer->blob = &pull->manifest.layers[i];
        layer->diff_id = &pull->config.diff_ids[i];
        layer->registry = from_layout(pull) ? NULL : &pull->registry;
        layer->layout = from_layout(pull) ? &pull->layout : NULL;
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

/* Start what may be started; returns how many are under way. */
static size_t start_some(struct pull *pull)
{
    size_t active = 0;

    for (size_t i = 0; i < pull->layer_count; i++)
        active += is_active(&pull->layers[i]);
    for (size_t i = 0; i < pull->layer_count && active < PARALLEL_MAX; i++) {
        struct layer_pull *layer = &pull->layers[i];

        if (layer->state != LAYER_PULL_WAITING)
            continue;
        layer_pull_start(layer, pull->work);
        active += is_active(layer);
    }
    return active;
}

static const struct layer_pull *find_failed(const struct pull *pull)
{
    for (size_t i = 0; i < pull->layer_count; i++)
        if (pull->layers[i].state == LAYER_PULL_FAILED)
            return &pull->layers[i];
    return NULL;
}

static int wait_for_any(struct pull *pull, struct error *why)
{
    struct curl_waitfd fds[PARALLEL_MAX * LAYER_PULL_FDS];
    uint64_t wait_ms = WAIT_MS;
    unsigned count = 0;

    for (size_t i = 0; i < pull->layer_count; i++) {
        if (!is_active(&pull->layers[i]))
            continue;
        count += layer_pull_fds(&pull->layers[i], fds + count);
        wait_ms = layer_pull_wait_ms(&pull->layers[i], wait_ms);
    }
    return http_run(&pull->http, fds, count, (int)wait_ms, why);
}

static int fetch_layers(struct pull *pull, struct error *why)
{
    while (start_some(pull) > 0) {
        const struct layer_pull *failed;

        if (wait_for_any(pull, why) != 0)
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
    return 0;
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
                                     layer->diff_id, why) != 0)
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
    struct digest *name = &pull->stack[pull->stack_count];
    CLEANUP(fd_close) int folder = -1;
    bool needed = false;

    settle_name(&layers, name);
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

static void complete_image(struct pull *pull)
{
    Kontor__V1__Image *image = pull->config.image;

    image->reference = memory_string(pull->options->reference);
    image->digest = memory_string(pull->digest.text);
    image->layers = memory_array(pull->stack_count, sizeof *image->layers);
    for (size_t i = 0; i < pull->stack_count; i++) {
        char path[LAYER_STORE_PATH_MAX];

        layer_store_layer_path(&pull->stack[i], path);
        image->layers[image->n_layers++] = memory_string(path);
    }
}

static int send_image(const Kontor__V1__Image *image, struct error *why)
{
    size_t length = kontor__v1__image__get_packed_size(image);
    CLEANUP(free_pointer) uint8_t *packed = memory_new(length);

    kontor__v1__image__pack(image, packed);
    return record_send(STDOUT_FILENO, RECORD_IMAGE, packed, length, why);
}

static int pull_all(struct pull *pull, struct error *why)
{
    struct error publish;
    int failed = resolve(pull, why);

    if (failed)
        return failed;
    plan(pull);
    failed = fetch_layers(pull, why);
    if (publish_layers(pull, failed ? &publish : why) != 0 && !failed)
        return (int)why->code;
    if (failed)
        return failed;
    if (settle_image(pull, why) != 0)
        return (int)why->code;
    complete_image(pull);
    if (layer_store_save_image(&pull->store, pull->work, &pull->reference,
                               pull->config.image, why) != 0)
        return (int)why->code;
    return send_image(pull->config.image, why);
}

/* ---- the process --------------------------------------------------------- */

static bool is_insecure(const struct pull *pull)
{
    const struct option_strings *insecure = &pull->options->insecure;

    for (size_t i = 0; i < insecure->count; i++)
        if (strcmp(insecure->values[i], pull->reference.host) == 0)
            return true;
    return false;
}

static int find_credentials(const struct pull *pull,
                            char credentials[AUTH_CREDENTIALS_MAX],
                            struct error *why)
{
    CLEANUP(buffer_fini) struct buffer text = {.limit = AUTH_FILE_MAX_BYTES};

    credentials[0] = '\0';
    if (!pull->options->auth_file)
        return 0;
    if (file_read(AT_FDCWD, pull->options->auth_file, &text, why) != 0)
        return error_wrap(why, "registry credentials");
    return auth_credentials_find(buffer_data(&text), buffer_length(&text),
                                 pull->reference.host, credentials, why);
}

static int open_source(struct pull *pull, struct error *why)
{
    char credentials[AUTH_CREDENTIALS_MAX];

    if (from_layout(pull))
        return layout_open(&pull->layout, pull->reference.folder, why);
    if (find_credentials(pull, credentials, why) != 0)
        return (int)why->code;
    image_registry_init(&pull->registry, &pull->http, &pull->reference,
                        is_insecure(pull), credentials);
    return 0;
}

static int pull_run(struct pull *pull, struct error *why)
{
    const struct pull_options *options = pull->options;

    if (reference_parse(options->reference, &pull->reference, why) != 0)
        return (int)why->code;
    if (layer_store_open(&pull->store, options->store, why) != 0 ||
        layer_store_work_open(&pull->store, options->work, &pull->work, why) !=
            0 ||
        http_init(&pull->http, why) != 0 || open_source(pull, why) != 0 ||
        pull_all(pull, why) != 0)
        return error_wrap(why, "image %.200s", options->reference);
    return 0;
}

static void pull_fini(struct pull *pull)
{
    for (size_t i = 0; i < pull->layer_count; i++)
        layer_pull_fini(&pull->layers[i]);
    free(pull->layers);
    free(pull->stack);
    image_config_fini(&pull->config);
    manifest_fini(&pull->manifest);
    image_registry_fini(&pull->registry);
    layout_close(&pull->layout);
    if (pull->http.multi)
        http_fini(&pull->http);
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
        {"auth-file", OPTION_STRING, &out->auth_file, "FILE",
         "Docker's config.json"},
        {"insecure", OPTION_STRINGS, &out->insecure, "HOST:PORT",
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
        .platform = platform_here(),
        .store = {-1},
        .work = -1,
        .layout = {-1},
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

    /* In their sandboxes no library could clean up after itself. */
    if (argc == 3 && strcmp(argv[2], "--inflate") == 0)
        _exit(filter_inflate_main());
    if (argc == 3 && strcmp(argv[2], "--untar") == 0)
        _exit(filter_untar_main());
    if (parse_options(argc, argv, &options, &help, &why) != 0) {
        fprintf(stderr, "kpull: %s\n`kpull --help` shows how\n", why.message);
        return EXIT_USAGE;
    }
    return help ? EXIT_DONE : pull_main(&options);
}
