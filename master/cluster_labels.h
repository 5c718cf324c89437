/* cluster_labels.h - labels by their keys, and what may be done to them.
 *
 * Pure. A node has its own labels, as it registers with them, and those that
 * an operator set. Who runs the cluster knows better than a command line that
 * a machine was once set up with, so what is set counts, and goes on to count
 * when the node registers again; when it is removed, the node's own shows
 * again. That one goes only with the node's --label: it would be back with
 * the next registration. */
#pragma once

#include "base/error.h"
#include "kontor/v1/types.pb-c.h"

#include <stdbool.h>

enum { NODE_LABELS_MAX = 64 }; /* of its own, that are set, taints */

struct labels {
    Kontor__V1__Label **all; /* owned, with their strings */
    size_t count;
};

void labels_fini(struct labels *labels);

/* NULL: there is none. Borrowed until the next change. */
const Kontor__V1__Label *labels_find(const struct labels *labels,
                                     const char *key);

/* A copy of `label`, in the order of keys, in place of one with its key. True:
 * that was not there already. */
bool labels_put(struct labels *labels, const Kontor__V1__Label *label);

/* False: there was none. */
bool labels_remove(struct labels *labels, const char *key);

/* Words that can be labels, none of them twice, something at all.
 * INVALID_ARGUMENT. */
int label_changes_check(const Kontor__V1__LabelChanges *changes,
                        struct error *why);
