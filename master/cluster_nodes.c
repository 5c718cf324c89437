#include "master/cluster_nodes.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

void nodes_init(struct nodes *nodes)
{
    map_init(&nodes->by_id);
    map_init(&nodes->by_name);
    list_init(&nodes->all);
    list_init(&nodes->changed);
    nodes->count = 0;
    nodes->watcher = (struct node_watcher){0};
}

void nodes_fini(struct nodes *nodes)
{
    list_for_each(link, next, &nodes->all)
    {
        struct node *node = container_of(link, struct node, all);

        text_drop(node->name);
        text_drop(node->address);
        text_drop(node->version);
        labels_fini(&node->own_labels);
        labels_fini(&node->set_labels);
        labels_fini(&node->labels);
        labels_fini(&node->taints);
        free(node);
    }
    map_fini(&nodes->by_id);
    map_fini(&nodes->by_name);
}

struct node *nodes_find(const struct nodes *nodes, uint64_t id)
{
    uint64_t hash = map_hash_id(id);
    struct map_link *link = map_chain(&nodes->by_id, hash);

    while (link && link->hash != hash) /* distinct ids, distinct hashes */
        link = link->next;
    return link ? container_of(link, struct node, by_id) : NULL;
}

struct node *nodes_find_name(const struct nodes *nodes, const char *name)
{
    uint64_t hash = map_hash_bytes(name, strlen(name));
    struct map_link *link = map_chain(&nodes->by_name, hash);

    for (; link; link = link->next) {
        struct node *node = container_of(link, struct node, by_name);

        if (link->hash == hash && strcmp(text_string(node->name), name) == 0)
            return node;
    }
    return NULL;
}

struct node *nodes_add(struct nodes *nodes, uint64_t id, const char *name)
{
    struct node *node = memory_new(sizeof *node);

    node->id = id;
    node->name = text_new(name);
    node->state = KONTOR__V1__NODE_STATE__NODE_READY;
    list_init(&node->changed);
    list_init(&node->helped);
    list_init(&node->pods);
    departures_init(&node->leaving);
    list_append(&nodes->all, &node->all);
    map_insert(&nodes->by_id, &node->by_id, map_hash_id(id));
    map_insert(&nodes->by_name, &node->by_name,
               map_hash_bytes(name, strlen(name)));
    nodes->count++;
    nodes_touch(nodes, node);
    return node;
}

static void put_all(struct labels *labels, Kontor__V1__Label *const *from,
                    size_t count)
{
    for (size_t i = 0; i < count; i++)
        labels_put(labels, from[i]);
}

void node_settle_labels(struct node *node)
{
    labels_fini(&node->labels);
    put_all(&node->labels, node->own_labels.all, node->own_labels.count);
    put_all(&node->labels, node->set_labels.all, node->set_labels.count);
}

void node_set_own_labels(struct node *node, Kontor__V1__Label *const *labels,
                         size_t count)
{
    assert(count <= NODE_LABELS_MAX);
    labels_fini(&node->own_labels);
    put_all(&node->own_labels, labels, count);
    node_settle_labels(node);
}

void nodes_touch(struct nodes *nodes, struct node *node)
{
    if (list_empty(&node->changed))
        list_append(&nodes->changed, &node->changed);
}

struct node *nodes_take_changed(struct nodes *nodes)
{
    struct node *node = list_first(&nodes->changed, struct node, changed);

    if (node)
        list_remove(&node->changed);
    return node;
}

void node_put(struct nodes *nodes, struct node *node, struct pod *pod)
{
    list_remove(&pod->queue);
    list_append(&node->pods, &pod->queue);
    resources_add(&node->allocated, &pod->facts.spec->want);
    node->pod_count++;
    nodes_touch(nodes, node);
    if (nodes->watcher.put)
        nodes->watcher.put(nodes->watcher.data, node, pod);
}

void node_take(struct nodes *nodes, struct node *node, struct pod *pod)
{
    assert(node->pod_count > 0);
    assert(resources_fit(&node->allocated, &pod->facts.spec->want));
    list_remove(&pod->queue);
    node->allocated = resources_less(&node->allocated, &pod->facts.spec->want);
    node->pod_count--;
    nodes_touch(nodes, node);
    if (nodes->watcher.taken)
        nodes->watcher.taken(nodes->watcher.data, node, pod);
}

static int by_id(const void *left, const void *right)
{
    const struct pod *a = *(struct pod *const *)left;
    const struct pod *b = *(struct pod *const *)right;

    return a->facts.id < b->facts.id ? -1 : 1;
}

struct pod **node_pods(const struct node *node, size_t *count)
{
    struct pod **pods = memory_array(node->pod_count + 1, sizeof(struct pod *));

    *count = 0;
    list_for_each(link, next, &node->pods) pods[(*count)++] =
        container_of(link, struct pod, queue);
    qsort(pods, *count, sizeof(struct pod *), by_id);
    return pods;
}

struct pod **node_pods_leaving(const struct node *node, size_t *count)
{
    struct pod **pods =
        memory_array(node->leaving.count + 1, sizeof(struct pod *));

    *count = 0;
    list_for_each(link, next, &node->leaving.list) pods[(*count)++] =
        container_of(link, struct departure, link)->pod;
    qsort(pods, *count, sizeof(struct pod *), by_id);
    return pods;
}

bool node_crowded(const struct node *node)
{
    struct resources all = node->allocated;

    resources_add(&all, &node->leaving.wants);
    return node->leaving.count > 0 && !resources_fit(&node->capacity, &all);
}

static enum placement_closed closed_of(const struct node *node)
{
    if (node->state == KONTOR__V1__NODE_STATE__NODE_LOST)
        return PLACEMENT_LOST;
    if (node->cordoned)
        return PLACEMENT_CORDONED;
    return node->state == KONTOR__V1__NODE_STATE__NODE_READY
               ? PLACEMENT_OPEN
               : PLACEMENT_SUSPECT;
}

struct placement_node node_placement(const struct node *node)
{
    return (struct placement_node){
        .id = node->id,
        .name = text_string(node->name),
        .labels = {.labels = node->labels.all,
                   .label_count = node->labels.count,
                   .taints = node->taints.all,
                   .taint_count = node->taints.count},
        .capacity = node->capacity,
        .free = resources_less(&node->capacity, &node->allocated),
        .closed = closed_of(node),
    };
}
