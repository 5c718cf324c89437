/* settle.h - folders that a layer only implies, as the layers below have them.
 *
 * overlayfs shows a folder with the owner and mode that the uppermost layer
 * gives it. An archive that holds usr/bin/x and not usr/bin itself gives it
 * none: what was made for it is 0755 root:root (layer.h), which would hide
 * what a lower layer says. A layer is stored once for all images, so it
 * cannot be mended there; the image gets one more layer, on top, that holds
 * nothing but such folders, as they should be, and those on the way to them.
 *
 * Which folders are implied is in the store, one list a layer. Their
 * extended attributes stay as they are. The same layer gets the files that hard
 * links of one layer to a file of another stand for (settle_links.h). */
#pragma once

#include "node/image/layer_store.h"

enum { SETTLE_LOOKUPS_MAX = 5000000 }; /* folders opened; some seconds */

struct settle_layers {
    const struct layer_store *store; /* borrowed */
    const struct digest *diff_ids;   /* borrowed; lowest first */
    size_t count;
};

/* The name of the layer that settles these. */
void settle_name(const struct settle_layers *layers, struct digest *out);

/* Fill the empty folder `out`; it stays empty when all is as it should be,
 * which *needed tells. DATA_LOSS when a list is damaged, RESOURCE_EXHAUSTED
 * past the limit. */
int settle(const struct settle_layers *layers, int out, bool *needed,
           struct error *why);
