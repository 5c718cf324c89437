/* manifest.h - the JSON documents of an image: index, manifest, config.
 *
 *   index (by platform) -> manifest -> config (how to run; the diffIDs)
 *                                   -> layers (compressed tar archives)
 *
 * Pure. OCI image-spec 1.1 and Docker image manifest v2 schema 2. A document
 * has to be what its media type says and nothing else, so that no two
 * readers can see different images in one digest (CVE-2021-41190). */
#pragma once

#include "kontor/v1/bundle.pb-c.h"
#include "node/image/digest.h"
#include "node/image/inflate.h"

enum {
    MANIFEST_MAX_BYTES = 4 << 20, /* as registries limit it */
    CONFIG_MAX_BYTES = 4 << 20,
    MEDIA_TYPE_MAX = 128,
    IMAGE_LAYERS_MAX = 500, /* overlayfs: OVL_MAX_STACK */
    INDEX_ENTRIES_MAX = 1000,
};

/* One layer's and one image's compressed bytes. */
#define LAYER_COMPRESSED_MAX_BYTES (UINT64_C(16) << 30)
#define IMAGE_COMPRESSED_MAX_BYTES (UINT64_C(64) << 30)

/* What to ask a registry for. */
extern const char manifest_accept[];

enum manifest_kind { MANIFEST_IMAGE, MANIFEST_INDEX };

struct descriptor {
    char media_type[MEDIA_TYPE_MAX];
    struct digest digest;
    uint64_t size_bytes;
    /* A layer's bytes, as its type says; INFLATE_UNKNOWN: it says nothing. */
    enum inflate_format format;
};

struct platform {
    const char *os;           /* "linux" */
    const char *architecture; /* "amd64", in Go's words */
    unsigned variant;         /* the most it can run: 3 for amd64's "v3" */
};

/* This machine. */
struct platform platform_here(void);

struct manifest {
    struct descriptor config;
    struct descriptor *layers; /* owned; lowest first */
    size_t layer_count;
};

void manifest_fini(struct manifest *manifest);

struct image_config {
    /* Entrypoint, command and so on; owned, to be freed with
     * kontor__v1__image__free_unpacked(). */
    Kontor__V1__Image *image;
    struct digest *diff_ids; /* owned; lowest first */
    size_t diff_id_count;
};

void image_config_fini(struct image_config *config);

/* What a media type (parameters after a ';' ignored) stands for. NULL or ""
 * is decided by the document's own mediaType or, without one, its shape.
 * INVALID_ARGUMENT names a type that is no image. */
int manifest_kind(const char *media_type, const void *json, size_t length,
                  enum manifest_kind *out, struct error *why);

/* A registry sent a document of the media type `sent` for what a descriptor
 * lists. INVALID_ARGUMENT when one of the two is an index and the other is
 * not; a type that is neither says nothing. */
int manifest_check_sent(const struct descriptor *listed, const char *sent,
                        struct error *why);

/* INVALID_ARGUMENT says what is wrong with the document. */
int manifest_parse(const void *json, size_t length, struct manifest *out,
                   struct error *why);

/* The manifest for `platform`: of an index, or of a layout's index.json
 * when `tag` is given: then the one whose ref.name it is ("": the only one).
 * Of several variants that the platform can run the greatest is taken.
 * NOT_FOUND says what there is instead. */
int index_choose(const void *json, size_t length,
                 const struct platform *platform, const char *tag,
                 struct descriptor *out, struct error *why);

/* FAILED_PRECONDITION when the image is for another platform. */
int image_config_parse(const void *json, size_t length,
                       const struct platform *platform,
                       struct image_config *out, struct error *why);
