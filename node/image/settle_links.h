/* settle_links.h - hard links of a layer to files that only lower layers have.
 *
 * A layer is stored without them (layer.h); the image's settling layer gets a
 * copy of the file for each, unless a layer above hides the link. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct link_layers {
    const int *folders; /* borrowed; lowest first */
    int count;
};

/* Whether `path`, which layer `layer` has, is covered or removed above it. */
bool settle_link_hidden(const struct link_layers *layers, int layer,
                        const char *path);

/* Copy `target`, as the layers below `layer` show it, to the new file `path`
 * beneath `out`, whose folders are there: content, owner, mode, time, user.*
 * and security.capability. INVALID_ARGUMENT when no layer below has a file or
 * symbolic link there. */
int settle_link_copy(const struct link_layers *layers, int layer,
                     const char *target, int out, const char *path,
                     struct error *why);
