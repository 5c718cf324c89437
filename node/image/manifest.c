#include "node/image/manifest.h"

#include "base/memory.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define OCI_LAYER "application/vnd.oci.image.layer.v1"
#define OCI_FOREIGN_LAYER "application/vnd.oci.image.layer.nondistributable.v1"
#define DOCKER_LAYER "application/vnd.docker.image.rootfs.diff"
#define REF_NAME "org.opencontainers.image.ref.name"

const char manifest_accept[] =
    OCI_MANIFEST ", " OCI_INDEX ", " DOCKER_MANIFEST ", " DOCKER_LIST;

static const char *const config_types[] = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
};

/* Docker's without a suffix was written for compressed layers as well, which
 * containerd still takes; all others mean what they say. */
static const struct {
    const char *type;
    enum inflate_format format;
} layer_types[] = {
    {OCI_LAYER ".tar", INFLATE_PLAIN},
    {OCI_LAYER ".tar+gzip", INFLATE_GZIP},
    {OCI_LAYER ".tar+zstd", INFLATE_ZSTD},
    {OCI_FOREIGN_LAYER ".tar", INFLATE_PLAIN},
    {OCI_FOREIGN_LAYER ".tar+gzip", INFLATE_GZIP},
    {OCI_FOREIGN_LAYER ".tar+zstd", INFLATE_ZSTD},
    {DOCKER_LAYER ".tar", INFLATE_UNKNOWN},
    {DOCKER_LAYER ".tar.gzip", INFLATE_GZIP},
    {DOCKER_LAYER ".tar.zstd", INFLATE_ZSTD},
};

static bool is_config(const char *type)
{
    for (size_t i = 0; i < ARRAY_LEN(config_types); i++)
        if (strcmp(type, config_types[i]) == 0)
            return true;
    return false;
}

/* The least that an architecture's images may count on, which those that name
 * no variant do. */
static unsigned base_variant(const char *architecture)
{
    if (strcmp(architecture, "arm64") == 0)
        return 8;
    return strcmp(architecture, "arm") == 0 ? 7 : 1;
}

/* Of amd64 the processor is asked; what else is in a level of the x86-64 psABI
 * came with these. */
static unsigned variant_here(const char *architecture)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return 4;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
        __builtin_cpu_supports("fma"))
        return 3;
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"))
        return 2;
#endif
    return base_variant(architecture);
}

struct platform platform_here(void)
{
    static const char *const names[][2] = {
        {"x86_64", "amd64"},    {"aarch64", "arm64"}, {"riscv64", "riscv64"},
        {"ppc64le", "ppc64le"}, {"s390x", "s390x"},
    };
    struct utsname machine;

    if (uname(&machine) == 0)
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            if (strcmp(machine.machine, names[i][0]) == 0)
                return (struct platform){"linux", names[i][1],
                                         variant_here(names[i][1])};
    return (struct platform){"linux", "unknown", 1};
}

void manifest_fini(struct manifest *manifest)
{
    free(manifest->layers);
    *manifest = (struct manifest){0};
}

static void json_drop(json_t **json)
{
    json_decref(*json);
}

static int load(const void *json, size_t length, json_t **out,
                struct error *why)
{
    json_error_t at;

    /* A key that comes twice is read differently by different readers. */
    *out = json_loadb(json, length, JSON_REJECT_DUPLICATES, &at);
    if (!*out)
        return error_set(why, ERROR_INVALID_ARGUMENT, "JSON: %s at byte %d",
                         at.text, at.position);
    if (!json_is_object(*out))
        return error_set(why, ERROR_INVALID_ARGUMENT, "JSON: not an object");
    return 0;
}

/* The type without parameters and without surrounding space. */
static void bare_type(const char *media_type, char out[MEDIA_TYPE_MAX])
{
    size_t skip = strspn(media_type, " \t");
    size_t length = strcspn(media_type + skip, "; \t");

    snprintf(out, MEDIA_TYPE_MAX, "%.*s", (int)length, media_type + skip);
}

static int kind_of_type(const char *type, enum manifest_kind *out,
                        struct error *why)
{
    if (strcmp(type, OCI_MANIFEST) == 0 || strcmp(type, DOCKER_MANIFEST) == 0)
        *out = MANIFEST_IMAGE;
    else if (strcmp(type, OCI_INDEX) == 0 || strcmp(type, DOCKER_LIST) == 0)
        *out = MANIFEST_INDEX;
    else
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "manifest of type \"%s\" is not an image's", type);
    return 0;
}

int manifest_kind(const char *media_type, const void *json, size_t length,
                  enum manifest_kind *out, struct error *why)
{
    CLEANUP(json_drop) json_t *root = NULL;
    char type[MEDIA_TYPE_MAX] = "";
    const char *own;
    bool image;
    bool index;

    if (media_type)
        bare_type(media_type, type);
    if (type[0] && kind_of_type(type, out, why) != 0)
        return (int)why->code;
    if (load(json, length, &root, why) != 0)
        return error_wrap(why, "manifest");
    own = json_string_value(json_object_get(root, "mediaType"));
    image = json_object_get(root, "config") || json_object_get(root, "layers");
    index = json_object_get(root, "manifests") != NULL;
    if (own && type[0] && strcmp(own, type) != 0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "manifest sent as \"%s\" says it is \"%.100s\"", type,
                         own);
    if (own && !type[0] && kind_of_type(own, out, why) != 0)
        return (int)why->code;
    if (!own && !type[0])
        *out = index ? MANIFEST_INDEX : MANIFEST_IMAGE;
    if (image == index || index != (*out == MANIFEST_INDEX))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "manifest's content does not match its type \"%s\"",
                         type[0] ? type : (own ? own : "none"));
    return 0;
}

int manifest_check_sent(const struct descriptor *listed, const char *sent,
                        struct error *why)
{
    char type[MEDIA_TYPE_MAX];
    enum manifest_kind listed_kind = MANIFEST_IMAGE;
    enum manifest_kind sent_kind = MANIFEST_IMAGE;
    struct error no_image;

    bare_type(sent, type);
    if (kind_of_type(type, &sent_kind, &no_image) != 0)
        return 0;
    if (kind_of_type(listed->media_type, &listed_kind, why) != 0)
        return (int)why->code;
    if (sent_kind != listed_kind)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "manifest %s, listed as \"%s\", was sent as \"%s\"",
                         listed->digest.text, listed->media_type, type);
    return 0;
}

/* ---- descriptors --------------------------------------------------------- */

static int parse_descriptor(const json_t *json, const char *what,
                            struct descriptor *out, struct error *why)
{
    const char *type = json_string_value(json_object_get(json, "mediaType"));
    const char *digest = json_string_value(json_object_get(json, "digest"));
    const json_t *size = json_object_get(json, "size");

    if (!type || !digest || !json_is_integer(size) ||
        json_integer_value(size) < 0 || strlen(type) >= MEDIA_TYPE_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s: mediaType, digest or size is missing or wrong",
                         what);
    if (digest_parse(digest, &out->digest, why) != 0)
        return error_wrap(why, "%s", what);
    memcpy(out->media_type, type, strlen(type) + 1);
    out->size_bytes = (uint64_t)json_integer_value(size);
    out->format = INFLATE_UNKNOWN;
    return 0;
}

static bool find_format(const char *type, enum inflate_format *out)
{
    for (size_t i = 0; i < ARRAY_LEN(layer_types); i++)
        if (strcmp(type, layer_types[i].type) == 0) {
            *out = layer_types[i].format;
            return true;
        }
    return false;
}

static int parse_layer(const json_t *json, size_t number,
                       struct descriptor *out, struct error *why)
{
    char what[32];

    snprintf(what, sizeof what, "layer %zu", number);
    if (parse_descriptor(json, what, out, why) != 0)
        return (int)why->code;
    if (!find_format(out->media_type, &out->format))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%s: type \"%s\" is not a layer this node can unpack",
                         what, out->media_type);
    if (out->size_bytes > LAYER_COMPRESSED_MAX_BYTES)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "%s: %llu bytes are more than the limit of %llu", what,
                         (unsigned long long)out->size_bytes,
                         (unsigned long long)LAYER_COMPRESSED_MAX_BYTES);
    return 0;
}

static int parse_layers(const json_t *layers, struct manifest *out,
                        struct error *why)
{
    size_t count = json_array_size(layers);
    uint64_t total = 0;

    if (!json_is_array(layers))
        return error_set(why, ERROR_INVALID_ARGUMENT, "layers are missing");
    if (count == 0 || count > IMAGE_LAYERS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "%zu layers, an image has 1 to %d", count,
                         IMAGE_LAYERS_MAX);
    out->layers = memory_array(count, sizeof *out->layers);
    for (size_t i = 0; i < count; i++) {
        if (parse_layer(json_array_get(layers, i), i, &out->layers[i], why) !=
            0)
            return (int)why->code;
        total += out->layers[i].size_bytes;
    }
    if (total > IMAGE_COMPRESSED_MAX_BYTES)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "layers of %llu bytes are more than the limit of %llu",
                         (unsigned long long)total,
                         (unsigned long long)IMAGE_COMPRESSED_MAX_BYTES);
    out->layer_count = count;
    return 0;
}

static int parse_manifest(const json_t *root, struct manifest *out,
                          struct error *why)
{
    const json_t *version = json_object_get(root, "schemaVersion");

    if (!json_is_integer(version) || json_integer_value(version) != 2)
        return error_set(why, ERROR_INVALID_ARGUMENT, "schemaVersion is not 2");
    if (parse_descriptor(json_object_get(root, "config"), "config",
                         &out->config, why) != 0)
        return (int)why->code;
    if (!is_config(out->config.media_type))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "config of type \"%s\": not a container image",
                         out->config.media_type);
    if (out->config.size_bytes > CONFIG_MAX_BYTES)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "config of %llu bytes, the limit is %d",
                         (unsigned long long)out->config.size_bytes,
                         CONFIG_MAX_BYTES);
    return parse_layers(json_object_get(root, "layers"), out, why);
}

int manifest_parse(const void *json, size_t length, struct manifest *out,
                   struct error *why)
{
    CLEANUP(json_drop) json_t *root = NULL;
    struct manifest parsed = {0};

    if (load(json, length, &root, why) != 0 ||
        parse_manifest(root, &parsed, why) != 0) {
        manifest_fini(&parsed);
        return error_wrap(why, "manifest");
    }
    *out = parsed;
    return 0;
}

/* ---- index --------------------------------------------------------------- */

/* What an index offers, for the message when nothing suits. */
struct offers {
    char text[200];
    size_t count;
};

static void offers_add(struct offers *offers, const char *os,
                       const char *architecture, const char *variant)
{
    size_t length = strlen(offers->text);

    snprintf(offers->text + length, sizeof offers->text - length, "%s%s/%s%s%s",
             offers->count ? ", " : "", os, architecture, variant ? "/" : "",
             variant ? variant : "");
    offers->count++;
}

/* "v3" is 3; what is no such word is more than any machine has. */
static unsigned read_variant(const char *variant, const char *architecture)
{
    unsigned number;
    int end = 0;

    if (!variant || !variant[0])
        return base_variant(architecture);
    if (sscanf(variant, "v%3u%n", &number, &end) != 1 || variant[end] != '\0')
        return UINT_MAX;
    return number;
}

/* How well an entry suits: 0 not at all, else one more than its variant. One
 * without a platform may be the one only when it is alone, as builders for
 * one platform write it. */
static unsigned entry_suits(const json_t *entry, size_t count,
                            const struct platform *platform,
                            struct offers *offers)
{
    const json_t *wanted = json_object_get(entry, "platform");
    const char *os = json_string_value(json_object_get(wanted, "os"));
    const char *architecture =
        json_string_value(json_object_get(wanted, "architecture"));
    const char *variant = json_string_value(json_object_get(wanted, "variant"));
    unsigned number;

    if (!os || !architecture)
        return !wanted && count == 1;
    offers_add(offers, os, architecture, variant);
    number = read_variant(variant, architecture);
    if (strcmp(os, platform->os) != 0 ||
        strcmp(architecture, platform->architecture) != 0 ||
        number > platform->variant)
        return 0;
    return number + 1;
}

static const json_t *choose_by_platform(const json_t *entries,
                                        const struct platform *platform,
                                        struct error *why)
{
    struct offers offers = {0};
    size_t count = json_array_size(entries);
    const json_t *found = NULL;
    unsigned best = 0;

    for (size_t i = 0; i < count; i++) {
        const json_t *entry = json_array_get(entries, i);
        unsigned suits = entry_suits(entry, count, platform, &offers);

        if (suits > best) {
            best = suits;
            found = entry;
        }
    }
    if (found)
        return found;
    error_set(why, ERROR_NOT_FOUND, "no manifest for %s/%s, there %s %s",
              platform->os, platform->architecture,
              offers.count == 1 ? "is" : "are",
              offers.count ? offers.text : "none with a platform");
    return NULL;
}

static bool is_named(const json_t *entry, const char *tag)
{
    const char *name = json_string_value(
        json_object_get(json_object_get(entry, "annotations"), REF_NAME));

    return name && strcmp(name, tag) == 0;
}

static const json_t *choose_by_tag(const json_t *entries, const char *tag,
                                   struct error *why)
{
    const json_t *found = NULL;
    size_t count = json_array_size(entries);

    if (tag[0] == '\0' && count == 1)
        return json_array_get(entries, 0);
    if (tag[0] == '\0') {
        error_set(why, ERROR_INVALID_ARGUMENT,
                  "the layout holds %zu images: name one as oci:FOLDER:TAG",
                  count);
        return NULL;
    }
    for (size_t i = 0; i < count && !found; i++)
        if (is_named(json_array_get(entries, i), tag))
            found = json_array_get(entries, i);
    if (!found)
        error_set(why, ERROR_NOT_FOUND, "no image is tagged \"%s\"", tag);
    return found;
}

int index_choose(const void *json, size_t length,
                 const struct platform *platform, const char *tag,
                 struct descriptor *out, struct error *why)
{
    CLEANUP(json_drop) json_t *root = NULL;
    const json_t *entries;
    const json_t *entry;

    if (load(json, length, &root, why) != 0)
        return error_wrap(why, "index");
    entries = json_object_get(root, "manifests");
    if (!json_is_array(entries) || json_array_size(entries) > INDEX_ENTRIES_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "index: manifests are missing or more than %d",
                         INDEX_ENTRIES_MAX);
    entry = tag ? choose_by_tag(entries, tag, why)
                : choose_by_platform(entries, platform, why);
    if (!entry || parse_descriptor(entry, "manifest", out, why) != 0)
        return error_wrap(why, "index");
    if (out->size_bytes > MANIFEST_MAX_BYTES)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "index: manifest of %llu bytes, the limit is %d",
                         (unsigned long long)out->size_bytes,
                         MANIFEST_MAX_BYTES);
    return 0;
}
