/* node label, node taint: words of a node, some to set and some to remove. */
#include "base/label.h"
#include "client/ask.h"
#include "client/show.h"
#include "client/taint.h"
#include "client/verbs.h"

#include <string.h>

/* A request and what it points to: labels or taints. */
struct labelling {
    Kontor__V1__LabelNodeRequest request;
    Kontor__V1__RequestId id;
    Kontor__V1__LabelChanges changes;
    Kontor__V1__Label labels[LABELS_MAX];
    Kontor__V1__Label *set[LABELS_MAX];
    char *removed[LABELS_MAX];
    size_t *set_count; /* into `changes` */
    size_t *removed_count;
    bool taints;
};

/* "key-", and of a taint all that it was set with before the "-". */
static int read_removal(struct labelling *labelling, char *word,
                        struct error *why)
{
    Kontor__V1__Label label;
    size_t length = strlen(word) - 1;

    word[length] = '\0';
    if ((labelling->taints ? taint_cut(word, &label, why)
                           : label_check_key(word, length, why)) != 0)
        return (int)why->code;
    labelling->removed[(*labelling->removed_count)++] = word;
    return 0;
}

static int read_setting(struct labelling *labelling, char *word,
                        struct error *why)
{
    Kontor__V1__Label *label = &labelling->labels[*labelling->set_count];
    char *equals = strchr(word, '=');

    if (!labelling->taints && !equals)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "it is neither KEY=VALUE nor KEY-");
    if (labelling->taints && !strchr(word, ':'))
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "a taint is KEY=VALUE:" TAINT_EFFECT
                         ", or KEY- to remove it");
    labelling->set[(*labelling->set_count)++] = label;
    if (labelling->taints)
        return taint_cut(word, label, why);
    kontor__v1__label__init(label);
    label->key = word;
    label->value = equals + 1;
    *equals = '\0';
    if (label_check_key(word, strlen(word), why) != 0)
        return (int)why->code;
    return label_check_value(label->value, strlen(label->value), why);
}

static int read_words(const struct operands *operands,
                      ProtobufCMessage *message, struct error *why)
{
    struct labelling *labelling =
        container_of(message, struct labelling, request.base);

    labelling->request.node = operands->values[0];
    for (int i = 1; i < operands->count; i++) {
        char *word = operands->values[i];
        bool removal = word[0] && word[strlen(word) - 1] == '-' &&
                       (labelling->taints || !strchr(word, '='));
        char said[2 * LABEL_PART_MAX];

        snprintf(said, sizeof said, "%s", word);
        if ((removal ? read_removal : read_setting)(labelling, word, why) != 0)
            return error_wrap(why, "%s", said);
    }
    return 0;
}

static void show(const ProtobufCMessage *message,
                 const ProtobufCMessage *request)
{
    const Kontor__V1__LabelChanges *asked =
        ((const Kontor__V1__LabelNodeRequest *)request)->changes;
    const Kontor__V1__NodeInfo *node =
        ((const Kontor__V1__LabelNodeResponse *)message)->node;
    char text[SHOW_REASON_MAX];

    if (node && asked->n_taints + asked->n_taints_removed > 0)
        output_line(stdout, "%s  taints %s", node->name,
                    show_labels(text, node->taints, node->n_taints));
    else if (node)
        output_line(stdout, "%s  labels %s", node->name,
                    show_labels(text, node->labels, node->n_labels));
}

static int run(struct words *words, bool taints)
{
    struct labelling labelling = {
        .request = KONTOR__V1__LABEL_NODE_REQUEST__INIT,
        .changes = KONTOR__V1__LABEL_CHANGES__INIT,
        .id = contact_request_id(),
        .taints = taints,
    };
    Kontor__V1__LabelChanges *changes = &labelling.changes;
    const struct ask what = {
        "LabelNode", &labelling.request.base, {NULL}, show, NULL};

    labelling.request.request_id = &labelling.id;
    labelling.request.changes = changes;
    labelling.set_count = taints ? &changes->n_taints : &changes->n_labels;
    *(taints ? &changes->taints : &changes->labels) = labelling.set;
    labelling.removed_count =
        taints ? &changes->n_taints_removed : &changes->n_labels_removed;
    *(taints ? &changes->taints_removed : &changes->labels_removed) =
        labelling.removed;
    return ask_in_words(words, &what, read_words);
}

static int run_label(struct words *words)
{
    return run(words, false);
}

static int run_taint(struct words *words)
{
    return run(words, true);
}

const struct verb verb_node_label = {
    .name = "node label",
    .summary = "Set labels of a node, or remove them",
    .example = "kctl node label n2 zone=b disk=ssd\n"
               "kctl node label n2 disk-",
    .synopsis = "kctl node label NODE KEY=VALUE... KEY-... [-o json]",
    .details =
        "What is set stands above what the node registers with (knode "
        "--label), also when it\nregisters again; KEY- gives way to that. "
        "Pods that wait for a label are placed; those\nthat run stay where "
        "they are.",
    .operands_min = 2,
    .operands_max = 1 + LABELS_MAX,
    .run = run_label,
};

const struct verb verb_node_taint = {
    .name = "node taint",
    .summary = "Keep pods off a node that do not tolerate it",
    .example = "kctl node taint n2 gpu=yes:NoSchedule\n"
               "kctl node taint n2 gpu-",
    .synopsis = "kctl node taint NODE KEY[=VALUE]:NoSchedule... KEY-... "
                "[-o json]",
    .details = "Pods with --toleration KEY or KEY=VALUE are placed there all "
               "the same. Those that run\nstay where they are.",
    .operands_min = 2,
    .operands_max = 1 + LABELS_MAX,
    .run = run_taint,
};
