/* archive.h - an image in a tar archive, which may be compressed.
 *
 *   oci-archive:     an OCI layout      --> work/archive, read as a layout
 *   docker-archive:  of `docker save`   --> work/archive --> work/layout
 *
 * It is unpacked by the sandboxed processes that unpack layers, so what it
 * names stays in its folder; its blobs are then verified as a layout's. */
#pragma once

#include "node/image/layout.h"
#include "node/image/unpacker.h"

/* Unpack the open file `fd` into the work folder of `site` and open the layout
 * that comes of it. DATA_LOSS when it is damaged, INVALID_ARGUMENT when it is
 * no such archive. */
int archive_open(struct layout *layout, const struct reference *reference,
                 int fd, const struct unpack_site *site, struct error *why);

/* Which tag of that layout the reference means. */
const char *archive_tag(const struct reference *reference);
