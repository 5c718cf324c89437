/* docker_archive.h - what `docker save` writes, turned into an OCI layout.
 *
 * manifest.json lists images: each a config, layers and the names it goes by.
 * It has no digests, so they are computed here; the config's diffIDs then
 * verify the layers. (Docker: image/tarexport; the newest versions put an OCI
 * layout beside it, whose files these are.) */
#pragma once

#include "node/image/reference.h"

/* Fill the empty folder `to` from the unpacked archive `from`, with the image
 * that `reference` names: its name and tag, or the only one. Files are linked,
 * not copied. NOT_FOUND says which images there are; INVALID_ARGUMENT what is
 * wrong with manifest.json. */
int docker_archive_convert(const struct reference *reference, int from, int to,
                           struct error *why);
