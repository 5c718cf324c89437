#include "master/pending.h"

#include "base/memory.h"
#include "master/placement/kinds.h"

#include <assert.h>
#include <string.h>

enum { CPU_SIZES = 24, MEMORY_SIZES = 28 };

/* Shapes whose wants have as many bits. */
struct pending_size {
    struct order shapes; /* by their first seeker, and what they leave */
    struct list used;    /* on the list of those that are not empty */
    unsigned cpu;
    unsigned memory;
};

/* Groups that ask for as much and the same of a node's labels. */
struct shape {
    struct map_link by_text;
    struct order seekers; /* in the index, by their keys */
    size_t count;         /* of seekers, also of those that are not in it */
    struct pending_size *size;
    struct order_item item;
    bool in_order;
    Kontor__V1__PodSpec *spec; /* owned; nothing in it but what is asked for */
    size_t length;
    uint8_t text[]; /* that, serialised */
};

static void init_sizes(struct pending *pending)
{
    list_init(&pending->used);
    pending->sizes =
        memory_array(CPU_SIZES * MEMORY_SIZES, sizeof *pending->sizes);
    for (unsigned i = 0; i < CPU_SIZES * MEMORY_SIZES; i++) {
        pending->sizes[i].cpu = i / MEMORY_SIZES;
        pending->sizes[i].memory = i % MEMORY_SIZES;
        list_init(&pending->sizes[i].used);
    }
}

void pending_init(struct pending *pending)
{
    *pending = (struct pending){0};
    init_sizes(pending);
    map_init(&pending->shapes);
    list_init(&pending->by_age);
    list_init(&pending->later);
    presences_init(&pending->awaited);
}

/* ---- shapes ---- */

/* All that can be judged of a node without its pods. */
static Kontor__V1__PodSpec asked_of_node(const Kontor__V1__PodSpec *spec)
{
    Kontor__V1__PodSpec asked = KONTOR__V1__POD_SPEC__INIT;

    asked.resources = spec->resources;
    asked.node = spec->node;
    asked.constraints = spec->constraints;
    asked.n_constraints = spec->n_constraints;
    asked.tolerations = spec->tolerations;
    asked.n_tolerations = spec->n_tolerations;
    asked.spread = spec->spread;
    features_ask(&asked, spec);
    return asked;
}

/* What is left of more than there can be: who has room for little is to be
 * found, and order.h finds who has much. */
static struct resources left_by(const struct resources *want)
{
    static const struct resources everything = {
        {SPEC_AMOUNT_MAX, SPEC_AMOUNT_MAX, SPEC_AMOUNT_MAX, SPEC_AMOUNT_MAX}};

    return resources_less(&everything, want);
}

/* The bits of an amount, or the last size. */
static unsigned bits_of(uint64_t amount, unsigned sizes)
{
    unsigned bits = 0;

    for (; amount > 0 && bits + 1 < sizes; amount >>= 1)
        bits++;
    return bits;
}

static unsigned cpu_size(const struct resources *resources)
{
    return bits_of(resources->amount[RESOURCE_CPU], CPU_SIZES);
}

/* In MiB. */
static unsigned memory_size(const struct resources *resources)
{
    return bits_of(resources->amount[RESOURCE_MEMORY] >> 20, MEMORY_SIZES);
}

static struct shape *shape_of(struct pending *pending, const struct spec *spec)
{
    Kontor__V1__PodSpec asked = asked_of_node(spec->message);
    size_t length = kontor__v1__pod_spec__get_packed_size(&asked);
    struct shape *shape = memory_new(sizeof *shape + length);
    uint64_t hash;

    kontor__v1__pod_spec__pack(&asked, shape->text);
    hash = map_hash_bytes(shape->text, length);
    for (struct map_link *link = map_chain(&pending->shapes, hash); link;
         link = link->next) {
        struct shape *found = container_of(link, struct shape, by_text);

        if (link->hash != hash || found->length != length ||
            memcmp(found->text, shape->text, length) != 0)
            continue;
        free(shape);
        return found;
    }
    shape->length = length;
    shape->spec = kontor__v1__pod_spec__unpack(NULL, length, shape->text);
    assert(shape->spec);
    shape->size = &pending->sizes[cpu_size(&spec->want) * MEMORY_SIZES +
                                  memory_size(&spec->want)];
    shape->item = (struct order_item){
        .room = left_by(&spec->want), .kinds = 1, .what = shape};
    map_insert(&pending->shapes, &shape->by_text, hash);
    return shape;
}

static void shape_drop(struct pending *pending, struct shape *shape)
{
    if (--shape->count > 0)
        return;
    map_remove(&pending->shapes, &shape->by_text);
    kontor__v1__pod_spec__free_unpacked(shape->spec, NULL);
    free(shape);
}

/* Where its first seeker stands, there it stands. */
static void shape_settle(struct pending *pending, struct shape *shape)
{
    struct pending_size *size = shape->size;
    struct order_key key = {0};
    bool any = order_lowest(&shape->seekers, &key);

    if (shape->in_order && any && key.rank == shape->item.key.rank &&
        key.id == shape->item.key.id)
        return;
    if (shape->in_order)
        order_remove(&size->shapes, shape->item.key);
    shape->in_order = any;
    shape->item.key = key;
    if (any)
        order_insert(&size->shapes, &shape->item);
    list_remove(&size->used);
    if (order_lowest(&size->shapes, &key))
        list_append(&pending->used, &size->used);
}

/* ---- seekers in the index ---- */

static struct order_item item_of(struct seeker *seeker)
{
    return (struct order_item){.key = seeker->key, .kinds = 1, .what = seeker};
}

struct order_key pending_key(const struct pod *pod)
{
    int64_t below = INT32_MAX - (int64_t)pod->facts.spec->message->priority;

    return (struct order_key){
        (uint64_t)below << 1 | (pod->facts.generation == 0), pod->facts.id};
}

static void leave_index(struct pending *pending, struct seeker *seeker)
{
    if (!seeker->next)
        return;
    order_remove(&seeker->shape->seekers, seeker->key);
    for (int set = 0; set < PENDING_SETS; set++) {
        if (seeker->is_in[set])
            order_remove(&pending->sets[set], seeker->key);
    }
}

static void enter_index(struct pending *pending, struct seeker *seeker)
{
    const struct order_item item = item_of(seeker);

    order_insert(&seeker->shape->seekers, &item);
    for (int set = 0; set < PENDING_SETS; set++) {
        if (seeker->is_in[set])
            order_insert(&pending->sets[set], &item);
    }
}

/* It stands where its next pod does. Of one that stood nowhere it is not known
 * where it fits. */
static void seek(struct pending *pending, struct seeker *seeker,
                 struct pod *next)
{
    bool stood = seeker->next != NULL;

    if (next == seeker->next)
        return;
    leave_index(pending, seeker);
    seeker->next = next;
    if (next) {
        seeker->is_in[PENDING_UNSURE] |= !stood;
        seeker->key = pending_key(next);
        enter_index(pending, seeker);
    } else {
        memset(seeker->is_in, 0, sizeof seeker->is_in);
        list_remove(&seeker->later);
        if (pending->favoured == seeker)
            pending->favoured = NULL;
    }
    shape_settle(pending, seeker->shape);
}

/* ---- seekers ---- */

static struct seeker *seeker_new(struct pending *pending,
                                 struct waiting_group *group)
{
    const Kontor__V1__PodSpec *spec = group->spec->message;
    struct seeker *seeker = memory_new(sizeof *seeker);

    seeker->group = group;
    seeker->shape = shape_of(pending, group->spec);
    seeker->shape->count++;
    seeker->since_ms = pending->now_ms;
    list_init(&seeker->later);
    list_append(&pending->by_age, &seeker->by_age);
    for (size_t i = 0; i < spec->n_with; i++)
        presences_add(&pending->awaited, PRESENCE_PODS, spec->with[i], 0);
    pending->count++;
    group->note = seeker;
    return seeker;
}

/* Its group is gone. */
static void seeker_end(struct pending *pending, struct seeker *seeker)
{
    const Kontor__V1__PodSpec *spec = seeker->group->spec->message;

    seek(pending, seeker, NULL);
    for (size_t i = 0; i < spec->n_with; i++)
        presences_take(&pending->awaited, PRESENCE_PODS, spec->with[i], 0);
    list_remove(&seeker->by_age);
    shape_drop(pending, seeker->shape);
    pending->count--;
    seeker->group = NULL;
    if (seeker->flying == 0)
        free(seeker);
}

void pending_fini(struct pending *pending)
{
    list_for_each(link, next, &pending->by_age)
        seeker_end(pending, container_of(link, struct seeker, by_age));
    map_fini(&pending->shapes);
    free(pending->sizes);
    presences_fini(&pending->awaited);
}

void pending_join(struct pending *pending, struct waiting_group *group,
                  struct pod *pod)
{
    struct seeker *seeker =
        group->note ? group->note : seeker_new(pending, group);

    if (seeker->flying == 0)
        seek(pending, seeker, waiting_first(group));
    else if (!seeker->next)
        seek(pending, seeker, pod);
}

void pending_leave(struct pending *pending, struct waiting_group *group,
                   struct pod *pod)
{
    struct seeker *seeker = group->note;

    if (group->count == 1) {
        seeker_end(pending, seeker);
        return;
    }
    if (pod == seeker->next)
        seek(pending, seeker, waiting_next(group, pod));
    if (group->gang && seeker->next) /* those that stay may fit now */
        pending_put_in(pending, seeker, PENDING_UNSURE);
}

void pending_put_in(struct pending *pending, struct seeker *seeker,
                    enum pending_set set)
{
    const struct order_item item = item_of(seeker);

    if (seeker->is_in[set])
        return;
    seeker->is_in[set] = true;
    order_insert(&pending->sets[set], &item);
}

void pending_take_out(struct pending *pending, struct seeker *seeker,
                      enum pending_set set)
{
    if (!seeker->is_in[set])
        return;
    seeker->is_in[set] = false;
    order_remove(&pending->sets[set], seeker->key);
}

struct seeker *pending_first(const struct pending *pending,
                             enum pending_set set)
{
    return order_first(&pending->sets[set], &(struct order_query){.kinds = 1});
}

void pending_fly(struct pending *pending, struct seeker *seeker)
{
    bool gang = seeker->group->gang != 0;

    seeker->flying += gang ? seeker->group->count : 1;
    pending_wait_anew(pending, seeker);
    seek(pending, seeker,
         gang ? NULL : waiting_next(seeker->group, seeker->next));
}

void pending_land(struct pending *pending, struct seeker *seeker)
{
    assert(seeker->flying > 0);
    if (--seeker->flying > 0)
        return;
    if (seeker->group)
        seek(pending, seeker, waiting_first(seeker->group));
    else
        free(seeker);
}

void pending_wait_anew(struct pending *pending, struct seeker *seeker)
{
    seeker->since_ms = pending->now_ms;
    list_remove(&seeker->by_age);
    list_append(&pending->by_age, &seeker->by_age);
}

void pending_defer(struct pending *pending, struct seeker *seeker)
{
    if (list_empty(&seeker->later))
        list_append(&pending->later, &seeker->later);
}

void pending_wake_due(struct pending *pending)
{
    struct seeker *seeker;

    while ((seeker = list_first(&pending->later, struct seeker, later)) &&
           seeker->due_ms <= pending->now_ms) {
        list_remove(&seeker->later);
        pending_put_in(pending, seeker, PENDING_UNSURE);
    }
}

int32_t pending_highest(const struct pending *pending)
{
    struct order_key lowest = {UINT64_MAX, 0};

    list_for_each(link, next, &pending->used)
    {
        const struct pending_size *size =
            container_of(link, struct pending_size, used);
        struct order_key key;

        if (order_lowest(&size->shapes, &key) && order_key_less(key, lowest))
            lowest = key;
    }
    return lowest.rank == UINT64_MAX
               ? INT32_MIN
               : (int32_t)(INT32_MAX - (int64_t)(lowest.rank >> 1));
}

/* ---- who fits ---- */

struct matching {
    struct pending_query *query;
    struct seeker *best;
};

/* Said yes to, the search ends. */
static bool on_seeker(void *data, void *what)
{
    const struct matching *matching = data;
    struct seeker *seeker = what;

    return (matching->best &&
            order_key_less(matching->best->key, seeker->key)) ||
           matching->query->takes(matching->query->data, seeker);
}

/* They come by their first seeker: one that stands behind the best has none
 * that is better. */
static bool on_shape(void *data, void *what)
{
    struct matching *matching = data;
    struct shape *shape = what;
    struct pending_query *query = matching->query;
    struct seeker *seeker;

    if (matching->best && order_key_less(matching->best->key, shape->item.key))
        return true;
    if (!query->suits(query->data, shape->spec))
        return false;
    seeker = order_first(&shape->seekers,
                         &(struct order_query){.kinds = 1,
                                               .accept = on_seeker,
                                               .data = matching,
                                               .looks = &query->looks});
    if (seeker &&
        (!matching->best || order_key_less(seeker->key, matching->best->key)))
        matching->best = seeker;
    return false;
}

struct seeker *pending_match(struct pending *pending,
                             struct pending_query *query)
{
    struct matching matching = {.query = query};
    const struct order_query search = {.want = left_by(&query->room),
                                       .kinds = 1,
                                       .accept = on_shape,
                                       .data = &matching,
                                       .looks = &query->looks};
    unsigned cpu = cpu_size(&query->room);
    unsigned memory = memory_size(&query->room);

    list_for_each(link, next, &pending->used)
    {
        const struct pending_size *size =
            container_of(link, struct pending_size, used);

        query->looks++;
        if (size->cpu <= cpu && size->memory <= memory)
            order_first(&size->shapes, &search);
    }
    return matching.best;
}
