#include "node/image/docker_archive.h"

#include "base/buffer.h"
#include "base/fd.h"
#include "base/memory.h"
#include "node/image/layout.h"
#include "node/image/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
/* Docker's, which leaves open how it is compressed. */
#define LAYER_TYPE "application/vnd.docker.image.rootfs.diff.tar"

enum { READ_BYTES = 256 << 10, NAMES_TEXT_MAX = 200 };

static void json_drop(json_t **json)
{
    json_decref(*json);
}

/* ---- which image --------------------------------------------------------- */

static bool same_name(const char *text, const struct reference *wanted)
{
    struct reference named;
    struct error unheard;

    return text && reference_parse(text, &named, &unheard) == 0 &&
           named.kind == REFERENCE_REGISTRY &&
           strcmp(named.host, wanted->host) == 0 &&
           strcmp(named.name, wanted->name) == 0 &&
           strcmp(named.tag, wanted->tag) == 0;
}

/* Whether an image goes by the name; the names it has are appended. */
static bool is_named(const json_t *image, const struct reference *wanted,
                     char names[NAMES_TEXT_MAX])
{
    const json_t *tags = json_object_get(image, "RepoTags");

    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *text = json_string_value(json_array_get(tags, i));
        size_t used = strlen(names);

        if (same_name(text, wanted))
            return true;
        snprintf(names + used, NAMES_TEXT_MAX - used, "%s%s", used ? ", " : "",
                 text ? text : "?");
    }
    return false;
}

static int choose(const json_t *images, const struct reference *wanted,
                  const json_t **out, struct error *why)
{
    size_t count = json_array_size(images);
    char names[NAMES_TEXT_MAX] = "";

    if (!json_is_array(images) || count == 0 || count > INDEX_ENTRIES_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "manifest.json is no list of 1 to %d images",
                         INDEX_ENTRIES_MAX);
    *out = json_array_get(images, 0);
    if (!wanted->name[0] && count == 1)
        return 0;
    for (size_t i = 0; i < count; i++) {
        *out = json_array_get(images, i);
        if (is_named(*out, wanted, names) && wanted->name[0])
            return 0;
    }
    if (!wanted->name[0])
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "it holds %zu images: name one of %s", count, names);
    return error_set(why, ERROR_NOT_FOUND, "it holds no image %s:%s but %s",
                     wanted->name, wanted->tag, names);
}

/* ---- its files ----------------------------------------------------------- */

static int digest_file(int fd, struct digest *out, struct error *why)
{
    CLEANUP(free_pointer) uint8_t *bytes = memory_new(READ_BYTES);
    CLEANUP(digest_stream_fini) struct digest_stream stream;
    ssize_t got;

    digest_stream_init(&stream);
    while ((got = read(fd, bytes, READ_BYTES)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(why, "read");
        digest_stream_add(&stream, bytes, (size_t)got);
    }
    digest_stream_end(&stream, out);
    return 0;
}

static void blob_path(const struct digest *digest,
                      char out[DIGEST_TEXT_MAX + 16])
{
    snprintf(out, DIGEST_TEXT_MAX + 16, "blobs/sha256/%s", digest_hex(digest));
}

static json_t *descriptor(const char *type, const struct digest *digest,
                          uint64_t size)
{
    return json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest",
                     digest->text, "size", (json_int_t)size);
}

/* Give a file of the archive its place among the blobs. One that comes twice,
 * which old versions of docker write as a link, is there already. */
static int add_file(int from, int to, const json_t *name, const char *type,
                    json_t **out, struct error *why)
{
    const char *path = json_string_value(name);
    CLEANUP(fd_close) int fd = -1;
    char blob[DIGEST_TEXT_MAX + 16];
    struct digest digest;
    uint64_t size = 0;

    if (!path)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "manifest.json: a file's name is missing");
    if (layout_file_open(from, path, &fd, &size, why) != 0)
        return (int)why->code;
    if (digest_file(fd, &digest, why) != 0)
        return error_wrap(why, "%.200s", path);
    blob_path(&digest, blob);
    if (linkat(fd, "", to, blob, AT_EMPTY_PATH) != 0 && errno != EEXIST)
        return error_errno(why, "link %.200s", path);
    *out = descriptor(type, &digest, size);
    return 0;
}

/* ---- the layout ---------------------------------------------------------- */

static int put_json(int to, const char *path, const json_t *json,
                    struct error *why)
{
    CLEANUP(free_pointer) char *text = json_dumps(json, JSON_COMPACT);

    return file_exchange(to, path, text, strlen(text), 0600, why);
}

/* The manifest as a blob, and the index that leads to it. */
static int put_manifest(int to, const json_t *manifest, struct error *why)
{
    CLEANUP(free_pointer) char *text = json_dumps(manifest, JSON_COMPACT);
    CLEANUP(json_drop) json_t *index = NULL;
    CLEANUP(json_drop)
    json_t *version = json_pack("{s:s}", "imageLayoutVersion", "1.0.0");
    char blob[DIGEST_TEXT_MAX + 16];
    struct digest digest;

    digest_of(text, strlen(text), &digest);
    blob_path(&digest, blob);
    index = json_pack("{s:i, s:[o]}", "schemaVersion", 2, "manifests",
                      descriptor(MANIFEST_TYPE, &digest, strlen(text)));
    if (file_exchange(to, blob, text, strlen(text), 0600, why) != 0 ||
        put_json(to, "index.json", index, why) != 0)
        return (int)why->code;
    return put_json(to, "oci-layout", version, why);
}

static int convert(const json_t *image, int from, int to, struct error *why)
{
    const json_t *layers = json_object_get(image, "Layers");
    CLEANUP(json_drop) json_t *list = json_array();
    CLEANUP(json_drop) json_t *manifest = NULL;
    json_t *config = NULL;

    if (!json_is_array(layers) || json_array_size(layers) > IMAGE_LAYERS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "manifest.json: no list of at most %d layers",
                         IMAGE_LAYERS_MAX);
    if (mkdirat(to, "blobs", 0700) != 0 ||
        mkdirat(to, "blobs/sha256", 0700) != 0)
        return error_errno(why, "make a layout");
    for (size_t i = 0; i < json_array_size(layers); i++) {
        json_t *layer = NULL;

        if (add_file(from, to, json_array_get(layers, i), LAYER_TYPE, &layer,
                     why) != 0)
            return (int)why->code;
        json_array_append_new(list, layer);
    }
    if (add_file(from, to, json_object_get(image, "Config"), CONFIG_TYPE,
                 &config, why) != 0)
        return (int)why->code;
    manifest =
        json_pack("{s:i, s:s, s:o, s:O}", "schemaVersion", 2, "mediaType",
                  MANIFEST_TYPE, "config", config, "layers", list);
    return put_manifest(to, manifest, why);
}

int docker_archive_convert(const struct reference *reference, int from, int to,
                           struct error *why)
{
    CLEANUP(buffer_fini) struct buffer text = {.limit = MANIFEST_MAX_BYTES};
    CLEANUP(json_drop) json_t *images = NULL;
    const json_t *image = NULL;

    if (layout_file_read(from, "manifest.json", &text, why) != 0)
        return (int)why->code;
    images = json_loadb((const char *)buffer_data(&text), buffer_length(&text),
                        JSON_REJECT_DUPLICATES, NULL);
    if (choose(images, reference, &image, why) != 0)
        return (int)why->code;
    return convert(image, from, to, why);
}
