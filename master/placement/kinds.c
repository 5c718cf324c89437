#include "master/placement/kinds.h"

#include "base/feature.h"
#include "base/memory.h"

#include <assert.h>
#include <string.h>

enum { GROUPED_MAX = 32 }; /* labels that are remembered */

void kinds_init(struct kinds *kinds)
{
    *kinds = (struct kinds){.grouped = memory_new(sizeof *kinds->grouped)};
    map_init(&kinds->by_text);
    list_init(kinds->grouped);
}

/* ---- by a label ---- */

static void groups_free(struct kind_groups *groups)
{
    list_remove(&groups->link);
    free(groups->of);
    free(groups);
}

static void forget_groups(const struct kinds *kinds)
{
    list_for_each(link, next, kinds->grouped)
        groups_free(container_of(link, struct kind_groups, link));
}

struct valued {
    const char *value;
    uint32_t number;
};

static int by_value(const void *left, const void *right)
{
    return strcmp(((const struct valued *)left)->value,
                  ((const struct valued *)right)->value);
}

static struct kind_groups *groups_new(const struct kinds *kinds,
                                      const char *key)
{
    size_t length = strlen(key) + 1;
    struct kind_groups *groups = memory_new(sizeof *groups + length);
    struct valued *all = memory_array(kinds->count + 1, sizeof *all);
    size_t count = 0;

    memcpy(groups->key, key, length);
    groups->of = memory_array(kinds->count + 1, sizeof *groups->of);
    for (uint32_t i = 0; i < kinds->count; i++) {
        const char *value =
            kinds->all[i] ? kind_label(kinds->all[i], key) : NULL;

        if (value)
            all[count++] = (struct valued){value, i};
    }
    qsort(all, count, sizeof *all, by_value);
    for (size_t i = 0; i < count; i++) {
        groups->count += i == 0 || by_value(&all[i - 1], &all[i]) != 0;
        groups->of[all[i].number] = groups->count;
    }
    free(all);
    return groups;
}

const struct kind_groups *kinds_group(const struct kinds *kinds,
                                      const char *key)
{
    struct kind_groups *groups;
    size_t count = 0;

    list_for_each(link, next, kinds->grouped)
    {
        groups = container_of(link, struct kind_groups, link);
        if (strcmp(groups->key, key) == 0)
            return groups;
        if (++count == GROUPED_MAX)
            groups_free(groups);
    }
    groups = groups_new(kinds, key);
    list_append(kinds->grouped->next, &groups->link); /* before the first */
    return groups;
}

/* ---- kinds ---- */

static void kind_free(struct kind *kind)
{
    if (kind)
        free(kind->pairs);
    free(kind);
}

void kinds_fini(struct kinds *kinds)
{
    for (uint32_t i = 0; i < kinds->count; i++)
        kind_free(kinds->all[i]);
    forget_groups(kinds);
    free(kinds->grouped);
    free(kinds->all);
    map_fini(&kinds->by_text);
}

static struct kind *kind_copy(const struct kind *kind)
{
    size_t pairs = kind->label_count + kind->taint_count;
    struct kind *copy = memory_copy(kind, sizeof *kind + kind->length);

    copy->pairs = memory_array(pairs + 1, sizeof *copy->pairs);
    for (size_t i = 0; i < pairs; i++) {
        copy->pairs[i].key = copy->text + (kind->pairs[i].key - kind->text);
        copy->pairs[i].value = copy->text + (kind->pairs[i].value - kind->text);
    }
    return copy;
}

void kinds_copy(struct kinds *to, const struct kinds *from)
{
    to->count = from->count;
    to->tainted = from->tainted;
    to->all = memory_array(from->count + 1, sizeof(struct kind *));
    for (uint32_t i = 0; i < from->count; i++) {
        if (!from->all[i])
            continue;
        to->all[i] = kind_copy(from->all[i]);
        map_insert(&to->by_text, &to->all[i]->by_text,
                   from->all[i]->by_text.hash);
    }
}

static size_t length_of(Kontor__V1__Label *const *labels, size_t count)
{
    size_t length = 0;

    for (size_t i = 0; i < count; i++)
        length += strlen(labels[i]->key) + strlen(labels[i]->value) + 2;
    return length;
}

static const char *append(struct kind *kind, const char *string)
{
    char *at = &kind->text[kind->length];
    size_t length = strlen(string) + 1;

    memcpy(at, string, length);
    kind->length += length;
    return at;
}

static void append_all(struct kind *kind, struct kind_pair *pairs,
                       Kontor__V1__Label *const *labels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pairs[i].key = append(kind, labels[i]->key);
        pairs[i].value = append(kind, labels[i]->value);
    }
}

static uint32_t features_lacking(const struct kind *kind)
{
    uint32_t lacking = 0;

    for (int i = 0; i < FEATURE_COUNT; i++) {
        const char *value = kind_label(kind, feature_label((enum feature)i));

        if (!value || strcmp(value, FEATURE_KNOWN) != 0)
            lacking |= 1u << i;
    }
    return lacking;
}

static struct kind *kind_new(const struct kind_labels *in)
{
    size_t length = length_of(in->labels, in->label_count) +
                    length_of(in->taints, in->taint_count);
    struct kind *kind = memory_new(sizeof *kind + length);

    kind->label_count = (uint32_t)in->label_count;
    kind->taint_count = (uint32_t)in->taint_count;
    kind->pairs = memory_array(in->label_count + in->taint_count + 1,
                               sizeof *kind->pairs);
    append_all(kind, kind->pairs, in->labels, in->label_count);
    append_all(kind, kind->pairs + in->label_count, in->taints,
               in->taint_count);
    kind->lacking = features_lacking(kind);
    return kind;
}

static struct kind *find(const struct kinds *kinds, const struct kind *like,
                         uint64_t hash)
{
    struct map_link *link = map_chain(&kinds->by_text, hash);

    for (; link; link = link->next) {
        struct kind *kind = container_of(link, struct kind, by_text);

        if (link->hash == hash && kind->label_count == like->label_count &&
            kind->taint_count == like->taint_count &&
            kind->length == like->length &&
            memcmp(kind->text, like->text, like->length) == 0)
            return kind;
    }
    return NULL;
}

static void give_number(struct kinds *kinds, struct kind *kind)
{
    uint32_t number = 0;

    while (number < kinds->count && kinds->all[number])
        number++;
    if (number == kinds->count) {
        kinds->count++;
        kinds->all =
            memory_resize(kinds->all, kinds->count * sizeof(struct kind *));
    }
    kind->number = number;
    kinds->all[number] = kind;
}

struct kind *kinds_take(struct kinds *kinds, const struct kind_labels *labels)
{
    struct kind *made = kind_new(labels);
    uint64_t hash = map_hash_bytes(made->text, made->length);
    struct kind *kind = find(kinds, made, hash);

    if (kind) {
        kind_free(made);
    } else {
        kind = made;
        map_insert(&kinds->by_text, &kind->by_text, hash);
        give_number(kinds, kind);
        forget_groups(kinds);
        kinds->tainted += kind->taint_count > 0;
    }
    kind->nodes++;
    return kind;
}

void kinds_drop(struct kinds *kinds, struct kind *kind)
{
    assert(kind->nodes > 0);
    if (--kind->nodes > 0)
        return;
    map_remove(&kinds->by_text, &kind->by_text);
    kinds->all[kind->number] = NULL;
    forget_groups(kinds);
    kinds->tainted -= kind->taint_count > 0;
    kind_free(kind);
}

const char *kind_label(const struct kind *kind, const char *key)
{
    for (uint32_t i = 0; i < kind->label_count; i++) {
        if (strcmp(kind->pairs[i].key, key) == 0)
            return kind->pairs[i].value;
    }
    return NULL;
}

uint32_t features_asked(const Kontor__V1__PodSpec *spec)
{
    uint32_t asked = 0;

    if (!spec)
        return 0;
    if (spec->userns)
        asked |= 1u << FEATURE_USERNS;
    if (spec->io_bytes)
        asked |= 1u << FEATURE_IO;
    for (size_t i = 0; i < spec->n_containers; i++) {
        if (spec->containers[i]->health || spec->containers[i]->ready)
            asked |= 1u << FEATURE_HEALTH;
    }
    return asked;
}

void features_ask(Kontor__V1__PodSpec *out, const Kontor__V1__PodSpec *spec)
{
    static Kontor__V1__HealthCheck check = KONTOR__V1__HEALTH_CHECK__INIT;
    static Kontor__V1__ContainerSpec container = {
        .base =
            PROTOBUF_C_MESSAGE_INIT(&kontor__v1__container_spec__descriptor),
        .health = &check,
    };
    static Kontor__V1__ContainerSpec *containers[] = {&container};

    out->userns = spec->userns;
    out->io_bytes = spec->io_bytes > 0;
    if (features_asked(spec) & 1u << FEATURE_HEALTH) {
        out->containers = containers;
        out->n_containers = 1;
    }
}

uint32_t kinds_lacking(const struct kinds *kinds)
{
    uint32_t lacking = 0;

    for (uint32_t i = 0; i < kinds->count; i++)
        lacking |= kinds->all[i] ? kinds->all[i]->lacking : 0;
    return lacking;
}

static bool one_of(const Kontor__V1__Constraint *constraint, const char *value)
{
    for (size_t i = 0; value && i < constraint->n_values; i++) {
        if (strcmp(constraint->values[i], value) == 0)
            return true;
    }
    return false;
}

static bool breaks(const struct kind *kind,
                   const Kontor__V1__Constraint *constraint)
{
    const char *value = kind_label(kind, constraint->key);

    return one_of(constraint, value) == (constraint->none_of != 0);
}

const Kontor__V1__Constraint *kind_breaks(const struct kind *kind,
                                          const Kontor__V1__PodSpec *spec)
{
    for (size_t i = 0; spec && i < spec->n_constraints; i++) {
        if (breaks(kind, spec->constraints[i]))
            return spec->constraints[i];
    }
    return NULL;
}

static bool tolerated(const struct kind_pair *taint,
                      const Kontor__V1__PodSpec *spec)
{
    for (size_t i = 0; spec && i < spec->n_tolerations; i++) {
        const Kontor__V1__Label *toleration = spec->tolerations[i];

        if (strcmp(toleration->key, taint->key) == 0 &&
            (toleration->value[0] == '\0' ||
             strcmp(toleration->value, taint->value) == 0))
            return true;
    }
    return false;
}

const struct kind_pair *kind_repels(const struct kind *kind,
                                    const Kontor__V1__PodSpec *spec)
{
    for (uint32_t i = 0; i < kind->taint_count; i++) {
        const struct kind_pair *taint = &kind->pairs[kind->label_count + i];

        if (!tolerated(taint, spec))
            return taint;
    }
    return NULL;
}

uint32_t kind_obstacles(const struct kind *kind,
                        const Kontor__V1__PodSpec *spec)
{
    uint32_t count = 0;

    for (size_t i = 0; spec && i < spec->n_constraints; i++)
        count += breaks(kind, spec->constraints[i]);
    for (uint32_t i = 0; i < kind->taint_count; i++)
        count += !tolerated(&kind->pairs[kind->label_count + i], spec);
    return count;
}
