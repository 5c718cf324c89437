/* kinds.h - nodes alike in labels and taints are of one kind: what a request
 * says of labels is judged once a kind and not once a node.
 *
 * Pure. A kind lives as long as a node is of it; its number is used again. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "kontor/v1/types.pb-c.h"

#include <stdbool.h>

struct kind_pair {
    const char *key;
    const char *value;
};

struct kind {
    struct map_link by_text;
    uint32_t number;
    uint32_t nodes;
    uint32_t label_count;
    uint32_t taint_count;
    uint32_t lacking;        /* features (base/feature.h) as bits */
    struct kind_pair *pairs; /* owned, into text: labels, then taints */
    size_t length;
    char text[];
};

/* The kinds by their values of one label. */
struct kind_groups {
    struct list link;
    uint32_t count; /* of values */
    uint32_t *of;   /* owned; by a kind's number its group, from 1; 0: none */
    char key[];
};

struct kinds {
    struct map by_text;
    struct kind **all;    /* owned; by number, NULL where none is */
    uint32_t count;       /* of numbers */
    uint32_t tainted;     /* kinds with taints */
    struct list *grouped; /* owned; what kinds_group() has made */
};

void kinds_init(struct kinds *kinds);
void kinds_fini(struct kinds *kinds);

/* With the same numbers; `to` is empty. */
void kinds_copy(struct kinds *to, const struct kinds *from);

struct kind_labels {
    Kontor__V1__Label *const *labels;
    size_t label_count;
    Kontor__V1__Label *const *taints;
    size_t taint_count;
};

/* The kind with these, for one more node. Copies them. */
struct kind *kinds_take(struct kinds *kinds, const struct kind_labels *labels);
void kinds_drop(struct kinds *kinds, struct kind *kind);

/* Made when it is first asked for and kept for the next time; borrowed until a
 * kind comes or goes. O(kinds log kinds) then, else O(labels asked for). */
const struct kind_groups *kinds_group(const struct kinds *kinds,
                                      const char *key);

/* The value of a label, or NULL. */
const char *kind_label(const struct kind *kind, const char *key);

/* A bit that stands for the kind, and beyond 64 kinds for others, too. */
static inline uint64_t kind_bit(const struct kind *kind)
{
    return UINT64_C(1) << kind->number % 64;
}

/* What a pod asks of its node's knode and kernel, as bits. NULL: nothing. */
uint32_t features_asked(const Kontor__V1__PodSpec *spec);

/* Ask for the same in `out`, which asks for nothing yet. Borrows from neither.
 */
void features_ask(Kontor__V1__PodSpec *out, const Kontor__V1__PodSpec *spec);

/* Those that some kind lacks. O(kinds) */
uint32_t kinds_lacking(const struct kinds *kinds);

/* How many constraints and taints keep the pod off. */
uint32_t kind_obstacles(const struct kind *kind,
                        const Kontor__V1__PodSpec *spec);

/* The constraint that keeps the pod off, or NULL. */
const Kontor__V1__Constraint *kind_breaks(const struct kind *kind,
                                          const Kontor__V1__PodSpec *spec);

/* The taint that keeps the pod off, or NULL. `spec` NULL tolerates none. */
const struct kind_pair *kind_repels(const struct kind *kind,
                                    const Kontor__V1__PodSpec *spec);
