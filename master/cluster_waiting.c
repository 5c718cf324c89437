#include "master/cluster_waiting.h"

#include "base/memory.h"
#include "master/cluster_pods.h"

#include <assert.h>

void waiting_init(struct waiting *waiting)
{
    *waiting = (struct waiting){0};
    map_init(&waiting->by_spec);
    list_init(&waiting->all);
}

static void group_free(struct waiting *waiting, struct waiting_group *group)
{
    map_remove(&waiting->by_spec, &group->by_spec);
    list_remove(&group->all);
    free(group);
}

void waiting_fini(struct waiting *waiting)
{
    list_for_each(link, next, &waiting->all)
        group_free(waiting, container_of(link, struct waiting_group, all));
    map_fini(&waiting->by_spec);
}

/* A gang's number is that of a pod of its app, and its spec names the app. */
static uint64_t hash_of(const struct pod *pod)
{
    return map_hash_id((uintptr_t)pod->facts.spec) + pod->gang;
}

static struct waiting_group *find(const struct waiting *waiting,
                                  const struct pod *pod)
{
    uint64_t hash = hash_of(pod);
    struct map_link *link = map_chain(&waiting->by_spec, hash);

    for (; link; link = link->next) {
        struct waiting_group *group =
            container_of(link, struct waiting_group, by_spec);

        if (group->spec == pod->facts.spec && group->gang == pod->gang)
            return group;
    }
    return NULL;
}

static struct waiting_group *group_new(struct waiting *waiting,
                                       const struct pod *pod)
{
    struct waiting_group *group = memory_new(sizeof *group);

    group->spec = pod->facts.spec;
    group->gang = pod->gang;
    list_init(&group->displaced);
    list_init(&group->fresh);
    list_append(&waiting->all, &group->all);
    map_insert(&waiting->by_spec, &group->by_spec, hash_of(pod));
    return group;
}

void waiting_join(struct waiting *waiting, struct pod *pod)
{
    struct waiting_group *group = find(waiting, pod);

    if (!group)
        group = group_new(waiting, pod);
    list_append(pod->facts.generation > 0 ? &group->displaced : &group->fresh,
                &pod->queue);
    group->count++;
    if (waiting->watcher.joined)
        waiting->watcher.joined(waiting->watcher.data, group, pod);
}

void waiting_leave(struct waiting *waiting, struct pod *pod)
{
    struct waiting_group *group;

    if (list_empty(&pod->queue))
        return;
    group = waiting_group_of(waiting, pod);
    if (waiting->watcher.leaves)
        waiting->watcher.leaves(waiting->watcher.data, group, pod);
    list_remove(&pod->queue);
    if (--group->count == 0)
        group_free(waiting, group);
}

struct waiting_group *waiting_group_of(const struct waiting *waiting,
                                       const struct pod *pod)
{
    struct waiting_group *group = find(waiting, pod);

    assert(group);
    return group;
}

struct pod *waiting_first(const struct waiting_group *group)
{
    return list_empty(&group->displaced)
               ? list_first(&group->fresh, struct pod, queue)
               : list_first(&group->displaced, struct pod, queue);
}

struct pod *waiting_next(const struct waiting_group *group,
                         const struct pod *pod)
{
    struct list *link = pod->queue.next;

    if (link == &group->displaced)
        link = group->fresh.next;
    return link == &group->fresh ? NULL : container_of(link, struct pod, queue);
}
