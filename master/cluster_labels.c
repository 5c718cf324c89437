#include "master/cluster_labels.h"

#include "base/label.h"
#include "base/memory.h"

#include <string.h>

void labels_fini(struct labels *labels)
{
    for (size_t i = 0; i < labels->count; i++)
        kontor__v1__label__free_unpacked(labels->all[i], NULL);
    free(labels->all);
    *labels = (struct labels){0};
}

/* Where the key is, or would have to stand. */
static size_t position_of(const struct labels *labels, const char *key)
{
    size_t at = 0;

    while (at < labels->count && strcmp(labels->all[at]->key, key) < 0)
        at++;
    return at;
}

static bool stands_at(const struct labels *labels, size_t at, const char *key)
{
    return at < labels->count && strcmp(labels->all[at]->key, key) == 0;
}

const Kontor__V1__Label *labels_find(const struct labels *labels,
                                     const char *key)
{
    size_t at = position_of(labels, key);

    return stands_at(labels, at, key) ? labels->all[at] : NULL;
}

static Kontor__V1__Label *label_copy(const Kontor__V1__Label *label)
{
    Kontor__V1__Label *copy = memory_new(sizeof *copy);

    kontor__v1__label__init(copy);
    copy->key = memory_string(label->key);
    copy->value = memory_string(label->value);
    return copy;
}

bool labels_put(struct labels *labels, const Kontor__V1__Label *label)
{
    size_t at = position_of(labels, label->key);

    if (!stands_at(labels, at, label->key)) {
        labels->all = memory_resize(
            labels->all, (labels->count + 1) * sizeof(Kontor__V1__Label *));
        memmove(&labels->all[at + 1], &labels->all[at],
                (labels->count - at) * sizeof(Kontor__V1__Label *));
        labels->count++;
    } else if (strcmp(labels->all[at]->value, label->value) == 0) {
        return false;
    } else {
        kontor__v1__label__free_unpacked(labels->all[at], NULL);
    }
    labels->all[at] = label_copy(label);
    return true;
}

bool labels_remove(struct labels *labels, const char *key)
{
    size_t at = position_of(labels, key);

    if (!stands_at(labels, at, key))
        return false;
    kontor__v1__label__free_unpacked(labels->all[at], NULL);
    labels->count--;
    memmove(&labels->all[at], &labels->all[at + 1],
            (labels->count - at) * sizeof(Kontor__V1__Label *));
    return true;
}

/* ---- what may be asked for ---- */

/* One list of labels and one of keys to remove, and what they are called. */
struct part {
    const char *what;
    Kontor__V1__Label *const *set;
    size_t set_count;
    char *const *removed;
    size_t removed_count;
};

static const char *key_at(const struct part *part, size_t at)
{
    return at < part->set_count ? part->set[at]->key
                                : part->removed[at - part->set_count];
}

static int check_part(const struct part *part, struct error *why)
{
    size_t count = part->set_count + part->removed_count;

    if (part->set_count > NODE_LABELS_MAX ||
        part->removed_count > NODE_LABELS_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "more than %d %ss are named", NODE_LABELS_MAX,
                         part->what);
    for (size_t i = 0; i < count; i++) {
        const char *key = key_at(part, i);

        if (label_check_key(key, strlen(key), why) != 0)
            return error_wrap(why, "%s", part->what);
        if (i < part->set_count &&
            label_check_value(part->set[i]->value, strlen(part->set[i]->value),
                              why) != 0)
            return error_wrap(why, "%s %s", part->what, key);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(key_at(part, k), key) == 0)
                return error_set(why, ERROR_INVALID_ARGUMENT,
                                 "%s %s is named twice", part->what, key);
        }
    }
    return 0;
}

int label_changes_check(const Kontor__V1__LabelChanges *changes,
                        struct error *why)
{
    struct part labels, taints;

    if (!changes || changes->n_labels + changes->n_labels_removed +
                            changes->n_taints + changes->n_taints_removed ==
                        0)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "no label and no taint is named");
    labels = (struct part){"label", changes->labels, changes->n_labels,
                           changes->labels_removed, changes->n_labels_removed};
    taints = (struct part){"taint", changes->taints, changes->n_taints,
                           changes->taints_removed, changes->n_taints_removed};
    if (check_part(&labels, why) != 0)
        return why->code;
    return check_part(&taints, why);
}
