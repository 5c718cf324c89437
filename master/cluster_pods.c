#include "master/cluster_pods.h"

#include "base/memory.h"
#include "master/cluster_departures.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void pods_init(struct pods *pods)
{
    map_init(&pods->by_id);
    map_init(&pods->by_name);
    map_init(&pods->apps);
    list_init(&pods->all);
    waiting_init(&pods->waiting);
    list_init(&pods->ended);
    pods->ended_count = 0;
}

void pods_fini(struct pods *pods, struct specs *specs)
{
    list_for_each(link, next, &pods->all)
        pods_remove(pods, specs, container_of(link, struct pod, all));
    assert(pods->apps.count == 0 && pods->ended_count == 0);
    waiting_fini(&pods->waiting);
    map_fini(&pods->by_id);
    map_fini(&pods->by_name);
    map_fini(&pods->apps);
}

struct pod *pods_find(const struct pods *pods, uint64_t id)
{
    uint64_t hash = map_hash_id(id);
    struct map_link *link = map_chain(&pods->by_id, hash);

    while (link && link->hash != hash) /* distinct ids, distinct hashes */
        link = link->next;
    return link ? container_of(link, struct pod, by_id) : NULL;
}

struct pod *pods_find_name(const struct pods *pods, const char *name)
{
    uint64_t hash = map_hash_bytes(name, strlen(name));
    struct map_link *link = map_chain(&pods->by_name, hash);

    for (; link; link = link->next) {
        struct pod *pod = container_of(link, struct pod, by_name);

        if (link->hash == hash &&
            strcmp(text_string(pod->facts.name), name) == 0)
            return pod;
    }
    return NULL;
}

struct app *pods_find_app(const struct pods *pods, const char *name)
{
    uint64_t hash = map_hash_bytes(name, strlen(name));
    struct map_link *link = map_chain(&pods->apps, hash);

    for (; link; link = link->next) {
        struct app *app = container_of(link, struct app, by_name);

        if (link->hash == hash && strcmp(app->name, name) == 0)
            return app;
    }
    return NULL;
}

struct pod *pods_after(const struct pods *pods, uint64_t id)
{
    struct pod *pod = pods_find(pods, id);
    struct list *link = pod ? pod->all.next : pods->all.next;

    while (link != &pods->all &&
           container_of(link, struct pod, all)->facts.id <= id)
        link = link->next;
    return link == &pods->all ? NULL : container_of(link, struct pod, all);
}

struct pod *app_living_pod(const struct app *app)
{
    struct list *link = app->pods.prev;

    assert(app->living == 1);
    while (pod_ended(container_of(link, struct pod, of_app)))
        link = link->prev;
    return container_of(link, struct pod, of_app);
}

uint32_t pods_next_number(const struct pods *pods, const char *app_name)
{
    const struct app *app = pods_find_app(pods, app_name);
    uint32_t greatest =
        app ? container_of(app->pods.prev, struct pod, of_app)->number : 0;

    return greatest == UINT32_MAX ? 0 : greatest + 1;
}

static struct app *app_of(struct pods *pods, const char *name)
{
    struct app *app = pods_find_app(pods, name);
    size_t length = strlen(name);

    if (app)
        return app;
    app = memory_new(sizeof *app + length + 1);
    memcpy(app->name, name, length);
    list_init(&app->pods);
    map_insert(&pods->apps, &app->by_name, map_hash_bytes(name, length));
    return app;
}

struct pod *pods_add(struct pods *pods, uint64_t id, const char *app_name,
                     uint32_t number, struct spec *spec)
{
    struct pod *pod = memory_new(sizeof *pod);
    const struct text *name;

    pod->facts.id = id;
    pod->facts.spec = spec;
    pod->facts.name = text_format("%s-%u", app_name, number);
    name = pod->facts.name;
    pod->number = number;
    pod->app = app_of(pods, app_name);
    pod->app->living++;
    list_init(&pod->queue);
    list_append(&pod->app->pods, &pod->of_app);
    list_append(&pods->all, &pod->all);
    map_insert(&pods->by_id, &pod->by_id, map_hash_id(id));
    map_insert(&pods->by_name, &pod->by_name,
               map_hash_bytes(name->bytes, name->length));
    return pod;
}

void pods_remove(struct pods *pods, struct specs *specs, struct pod *pod)
{
    struct app *app = pod->app;

    if (pod_ended(pod))
        pods->ended_count--;
    else
        app->living--;
    departure_end(pod);
    list_remove(&pod->queue);
    list_remove(&pod->all);
    list_remove(&pod->of_app);
    map_remove(&pods->by_id, &pod->by_id);
    map_remove(&pods->by_name, &pod->by_name);
    pod_facts_fini(&pod->facts, specs);
    free(pod);
    if (list_empty(&app->pods)) {
        map_remove(&pods->apps, &app->by_name);
        free(app);
    }
}

bool pod_phase_ended(int32_t phase)
{
    return phase == KONTOR__V1__POD_PHASE__POD_SUCCEEDED ||
           phase == KONTOR__V1__POD_PHASE__POD_FAILED ||
           phase == KONTOR__V1__POD_PHASE__POD_STOPPED;
}

bool pod_runs_once(const struct pod *pod)
{
    return pod->facts.spec->message->restart ==
           KONTOR__V1__RESTART_POLICY__RESTART_NEVER;
}

struct pod_facts pod_facts_copy(const struct pod_facts *facts)
{
    struct pod_facts copy = *facts;

    text_take(copy.name);
    text_take(copy.reason);
    text_take(copy.address);
    details_take(copy.details);
    spec_take(copy.spec);
    return copy;
}

void pod_facts_fini(struct pod_facts *facts, struct specs *specs)
{
    text_drop(facts->name);
    text_drop(facts->reason);
    text_drop(facts->address);
    details_drop(facts->details);
    specs_drop(specs, facts->spec);
}
