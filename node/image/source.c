#include "node/image/source.h"

#include "base/fd.h"
#include "node/image/archive.h"
#include "node/image/image_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum {
    INDEX_DEPTH_MAX = 2, /* a layout's index may lead to an image's index */
};

bool source_is_layout(const struct source *source)
{
    return source->reference.kind != REFERENCE_REGISTRY;
}

/* ---- opening ------------------------------------------------------------- */

static bool is_insecure(const struct source_options *options, const char *host)
{
    for (size_t i = 0; i < options->insecure.count; i++)
        if (strcmp(options->insecure.values[i], host) == 0)
            return true;
    return false;
}

static int open_registry(struct source *source,
                         const struct source_options *options,
                         struct error *why)
{
    CLEANUP(buffer_fini) struct buffer text = {.limit = AUTH_FILE_MAX_BYTES};
    const char *host = source->reference.host;
    struct auth_credentials credentials = {0};

    if (options->auth_file) {
        if (file_read(AT_FDCWD, options->auth_file, &text, why) != 0)
            return error_wrap(why, "registry credentials");
        if (auth_credentials_find(buffer_data(&text), buffer_length(&text),
                                  host, &credentials, why) != 0)
            return (int)why->code;
    }
    image_registry_init(&source->registry, &source->http, &source->reference,
                        is_insecure(options, host), &credentials);
    return 0;
}

static int open_archive(struct source *source, const struct unpack_site *site,
                        struct error *why)
{
    CLEANUP(fd_close) int fd = -1;

    if (image_file_open(&source->reference, &fd, why) != 0)
        return (int)why->code;
    return archive_open(&source->layout, &source->reference, fd, site, why);
}

int source_open(struct source *source, const struct source_options *options,
                const struct unpack_site *site, struct error *why)
{
    if (http_init(&source->http, why) != 0)
        return (int)why->code;
    if (!source_is_layout(source))
        return open_registry(source, options, why);
    if (reference_is_file(&source->reference))
        return open_archive(source, site, why);
    return layout_open(&source->layout, AT_FDCWD, source->reference.path, why);
}

void source_close(struct source *source)
{
    image_registry_fini(&source->registry);
    layout_close(&source->layout);
    if (source->http.multi)
        http_fini(&source->http);
}

/* ---- documents ----------------------------------------------------------- */

/* A document that a descriptor names, verified. */
static int get_document(struct source *source,
                        const struct descriptor *document, bool manifest,
                        struct buffer *out, struct error *why)
{
    char media_type[HTTP_HEADER_MAX];
    int failed;

    if (source_is_layout(source)) {
        failed = layout_blob(&source->layout, document, out, why);
    } else if (manifest) {
        failed = image_registry_manifest(
            &source->registry, document->digest.text, out, media_type, why);
        if (!failed)
            failed = manifest_check_sent(document, media_type, why);
    } else {
        failed = image_registry_blob(&source->registry, document, out, why);
    }
    if (!failed && buffer_length(out) != document->size_bytes)
        failed = error_set(why, ERROR_DATA_LOSS, "%s has %zu bytes, not %llu",
                           document->digest.text, buffer_length(out),
                           (unsigned long long)document->size_bytes);
    return failed;
}

static int get_first_of_layout(struct source *source, struct buffer *out,
                               char media_type[HTTP_HEADER_MAX],
                               struct error *why)
{
    struct reference *reference = &source->reference;
    bool file = reference_is_file(reference);
    struct descriptor found;

    if (layout_find(&source->layout,
                    file ? archive_tag(reference) : reference->tag, &found,
                    why) != 0 ||
        get_document(source, &found, true, out, why) != 0)
        return error_wrap(why, file ? "archive %s" : "OCI layout %s",
                          reference->path);
    snprintf(media_type, HTTP_HEADER_MAX, "%s", found.media_type);
    if (!file)
        reference->digest = found.digest;
    return 0;
}

/* The document that the reference itself names, and its type. */
static int get_first(struct source *source, struct buffer *out,
                     char media_type[HTTP_HEADER_MAX], struct error *why)
{
    const struct reference *reference = &source->reference;

    if (source_is_layout(source))
        return get_first_of_layout(source, out, media_type, why);
    return image_registry_manifest(
        &source->registry,
        reference->digest.text[0] ? reference->digest.text : reference->tag,
        out, media_type, why);
}

/* Follow indexes to the manifest for this platform; its bytes are in
 * `document` then. */
static int find_manifest(struct source *source, struct buffer *document,
                         struct error *why)
{
    const struct platform platform = platform_here();
    char media_type[HTTP_HEADER_MAX];

    if (get_first(source, document, media_type, why) != 0)
        return (int)why->code;
    for (int depth = 0;; depth++) {
        const uint8_t *bytes = buffer_data(document);
        size_t length = buffer_length(document);
        struct descriptor chosen;
        enum manifest_kind kind;

        if (manifest_kind(media_type, bytes, length, &kind, why) != 0)
            return (int)why->code;
        if (kind == MANIFEST_IMAGE)
            return 0;
        if (depth == INDEX_DEPTH_MAX)
            return error_set(why, ERROR_INVALID_ARGUMENT,
                             "indexes within indexes");
        if (index_choose(bytes, length, &platform, NULL, &chosen, why) != 0)
            return (int)why->code;
        buffer_consume(document, length);
        if (get_document(source, &chosen, true, document, why) != 0)
            return (int)why->code;
        snprintf(media_type, sizeof media_type, "%s", chosen.media_type);
    }
}

int source_resolve(struct source *source, struct source_image *out,
                   struct error *why)
{
    CLEANUP(buffer_fini) struct buffer document = {.limit = MANIFEST_MAX_BYTES};
    CLEANUP(buffer_fini) struct buffer config = {.limit = CONFIG_MAX_BYTES};
    const struct platform platform = platform_here();

    if (find_manifest(source, &document, why) != 0 ||
        manifest_parse(buffer_data(&document), buffer_length(&document),
                       &out->manifest, why) != 0)
        return (int)why->code;
    digest_of(buffer_data(&document), buffer_length(&document), &out->digest);
    if (get_document(source, &out->manifest.config, false, &config, why) != 0 ||
        image_config_parse(buffer_data(&config), buffer_length(&config),
                           &platform, &out->config, why) != 0)
        return (int)why->code;
    if (out->config.diff_id_count != out->manifest.layer_count)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "the manifest has %zu layers, the config %zu diff_ids",
                         out->manifest.layer_count, out->config.diff_id_count);
    return 0;
}

void source_image_fini(struct source_image *image)
{
    image_config_fini(&image->config);
    manifest_fini(&image->manifest);
}
