/* source.h - where an image comes from, whatever kind of place that is, and
 * what it is: its manifest and config, followed from the reference. */
#pragma once

#include "base/options.h"
#include "node/image/image_registry.h"
#include "node/image/layout.h"
#include "node/image/unpacker.h"

struct source_options {
    const char *auth_file; /* Docker's config.json, or NULL */
    struct option_strings insecure;
};

/* One that is zeroed, but for layout.fd, which is -1, can be closed. */
struct source {
    struct reference reference;
    struct http http;
    struct image_registry registry; /* of a REFERENCE_REGISTRY */
    struct layout layout;           /* of all others */
};

/* Open what `source->reference` names; an archive is unpacked at
 * `site`. Not for file systems. */
int source_open(struct source *source, const struct source_options *options,
                const struct unpack_site *site, struct error *why);
void source_close(struct source *source);

bool source_is_layout(const struct source *source);

struct source_image {
    struct digest digest; /* of the manifest */
    struct manifest manifest;
    struct image_config config;
};

/* Follow the reference through indexes to the manifest for this platform and
 * to its config. A layout's reference gets its digest here: it is remembered
 * under it, not under a tag that may move. `out` is zeroed before, and let go
 * with source_image_fini() also after a failure. */
int source_resolve(struct source *source, struct source_image *out,
                   struct error *why);
void source_image_fini(struct source_image *image);
