/* LabelNode: the labels and taints that an operator gives a node. */
#include "master/cluster_apply.h"

#include <stdio.h>
#include <string.h>

/* Removed is what was set; what is the node's own stays. */
static int check_removal(const struct node *node, const char *key,
                         struct error *why)
{
    const char *name = text_string(node->name);

    if (labels_find(&node->set_labels, key))
        return 0;
    if (!labels_find(&node->labels, key))
        return error_set(why, ERROR_NOT_FOUND, "node %s has no label %s", name,
                         key);
    return error_set(why, ERROR_FAILED_PRECONDITION,
                     "label %s is node %s's own, from its --label: it can be "
                     "given another value, not removed",
                     key, name);
}

/* So many that are not there yet, and so many fewer. */
static int check_count(const struct node *node, const struct labels *labels,
                       Kontor__V1__Label *const *set, size_t count,
                       size_t removed, struct error *why)
{
    size_t sum = labels->count - removed;

    for (size_t i = 0; i < count; i++)
        sum += !labels_find(labels, set[i]->key);
    if (sum <= NODE_LABELS_MAX)
        return 0;
    return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                     "node %s would have %zu labels or taints set, %d are "
                     "allowed",
                     text_string(node->name), sum, NODE_LABELS_MAX);
}

static int check(const struct node *node,
                 const Kontor__V1__LabelChanges *changes, struct error *why)
{
    if (label_changes_check(changes, why) != 0)
        return why->code;
    for (size_t i = 0; i < changes->n_labels_removed; i++) {
        if (check_removal(node, changes->labels_removed[i], why) != 0)
            return why->code;
    }
    for (size_t i = 0; i < changes->n_taints_removed; i++) {
        if (!labels_find(&node->taints, changes->taints_removed[i]))
            return error_set(why, ERROR_NOT_FOUND, "node %s has no taint %s",
                             text_string(node->name),
                             changes->taints_removed[i]);
    }
    if (check_count(node, &node->set_labels, changes->labels, changes->n_labels,
                    changes->n_labels_removed, why) != 0)
        return why->code;
    return check_count(node, &node->taints, changes->taints, changes->n_taints,
                       changes->n_taints_removed, why);
}

/* Make the changes of one kind; false: all of it was so already. */
static bool change(struct labels *labels, Kontor__V1__Label *const *set,
                   size_t set_count, char *const *removed, size_t removed_count)
{
    bool changed = false;

    for (size_t i = 0; i < set_count; i++)
        changed |= labels_put(labels, set[i]);
    for (size_t i = 0; i < removed_count; i++)
        changed |= labels_remove(labels, removed[i]);
    return changed;
}

/* ---- the event ---- */

struct line {
    char text[TEXT_MAX_BYTES];
    size_t used;
    const char *join;
};

static void say(struct line *line, const char *key, const char *sign,
                const char *value)
{
    size_t room = sizeof line->text - line->used;
    int length = snprintf(line->text + line->used, room, "%s%s%s%s", line->join,
                          key, sign, value);

    if (length > 0)
        line->used += (size_t)length < room ? (size_t)length : room - 1;
    line->join = ", ";
}

/* "label zone=b, disk-, taint gpu=yes" */
static struct text *said(const Kontor__V1__LabelChanges *changes)
{
    struct line line = {.join = "label "};

    for (size_t i = 0; i < changes->n_labels; i++)
        say(&line, changes->labels[i]->key, "=", changes->labels[i]->value);
    for (size_t i = 0; i < changes->n_labels_removed; i++)
        say(&line, changes->labels_removed[i], "-", "");
    line.join = line.used > 0 ? ", taint " : "taint ";
    for (size_t i = 0; i < changes->n_taints; i++)
        say(&line, changes->taints[i]->key,
            changes->taints[i]->value[0] ? "=" : "", changes->taints[i]->value);
    for (size_t i = 0; i < changes->n_taints_removed; i++)
        say(&line, changes->taints_removed[i], "-", "");
    return text_new(line.text);
}

void apply_label_node(struct apply *apply, const Kontor__V1__LabelNode *in)
{
    const Kontor__V1__LabelChanges *changes = in->changes;
    struct node *node = apply_find_node(apply, in->node_id);
    bool changed;

    if (!node || check(node, changes, &apply->result->error) != 0)
        return;
    changed = change(&node->set_labels, changes->labels, changes->n_labels,
                     changes->labels_removed, changes->n_labels_removed);
    changed |= change(&node->taints, changes->taints, changes->n_taints,
                      changes->taints_removed, changes->n_taints_removed);
    if (!changed)
        return;
    node_settle_labels(node);
    nodes_touch(&apply->cluster->nodes, node);
    node_event(apply, node, KONTOR__V1__EVENT_KIND__EVENT_NODE_LABELED,
               said(changes));
}
