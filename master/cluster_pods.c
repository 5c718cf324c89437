#include "master/cluster_pods.h"

#include "base/memory.h"
#include "base/utf8.h"
#include "master/cluster_departures.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void pods_init(struct pods *pods)
{
    pods->all = (struct series){0};
    map_init(&pods->apps);
    waiting_init(&pods->waiting);
    list_init(&pods->ended);
    pods->ended_count = 0;
}

void pods_fini(struct pods *pods, struct specs *specs)
{
    struct pod *pod;

    while ((pod = series_before(&pods->all, UINT64_MAX)))
        pods_remove(pods, specs, pod);
    assert(pods->apps.count == 0 && pods->ended_count == 0);
    waiting_fini(&pods->waiting);
    series_fini(&pods->all);
    map_fini(&pods->apps);
}

struct pod *pods_find(const struct pods *pods, uint64_t id)
{
    return series_find(&pods->all, id);
}

struct pod *pods_find_name(const struct pods *pods, const char *name)
{
    const char *dash = strrchr(name, '-');
    size_t length = dash ? (size_t)(dash - name) : 0;
    char app_name[APP_NAME_MAX + 1];
    const struct app *app;

    if (!dash || length > APP_NAME_MAX)
        return NULL;
    memcpy(app_name, name, length);
    app_name[length] = '\0';
    app = pods_find_app(pods, app_name);
    return app ? series_find(&app->pods, pod_name_number(name, app_name))
               : NULL;
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
    return series_after(&pods->all, id);
}

struct pod *app_newest_pod(const struct app *app)
{
    return series_before(&app->pods, UINT64_MAX);
}

struct pod *app_living_pod(const struct app *app)
{
    struct pod *pod = app_newest_pod(app);

    assert(app->living == 1);
    while (pod_ended(pod))
        pod = series_before(&app->pods, pod->number);
    return pod;
}

uint32_t pods_next_number(const struct pods *pods, const char *app_name)
{
    const struct app *app = pods_find_app(pods, app_name);
    uint32_t greatest = app ? app_newest_pod(app)->number : 0;

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
    map_insert(&pods->apps, &app->by_name, map_hash_bytes(name, length));
    return app;
}

struct pod *pods_add(struct pods *pods, uint64_t id, const char *app_name,
                     uint32_t number, struct spec *spec)
{
    char name[POD_NAME_MAX + 1];
    int length = snprintf(name, sizeof name, "%s-%u", app_name, number);
    struct pod *pod;

    assert(length > 0 && (size_t)length < sizeof name);
    pod = memory_new(sizeof *pod + (size_t)length + 1);
    memcpy(pod->name, name, (size_t)length);
    pod->facts.id = id;
    pod->facts.spec = spec;
    pod->number = number;
    pod->app = app_of(pods, app_name);
    pod->app->living++;
    list_init(&pod->queue);
    series_append(&pod->app->pods, number, pod);
    series_append(&pods->all, id, pod);
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
    series_remove(&pods->all, pod->facts.id);
    series_remove(&app->pods, pod->number);
    pod_facts_fini(&pod->facts, specs);
    free(pod);
    if (series_count(&app->pods) == 0) {
        map_remove(&pods->apps, &app->by_name);
        series_fini(&app->pods);
        free(app);
    }
}

bool pod_phase_ended(int32_t phase)
{
    return phase == KONTOR__V1__POD_PHASE__POD_SUCCEEDED ||
           phase == KONTOR__V1__POD_PHASE__POD_FAILED ||
           phase == KONTOR__V1__POD_PHASE__POD_STOPPED;
}

/* What is kept of an address that a node tells. */
static void clean_address(char clean[POD_ADDRESS_MAX + 1], const char *address)
{
    bool fits = strlen(address) <= POD_ADDRESS_MAX;

    utf8_clean(clean, POD_ADDRESS_MAX + 1, fits ? address : "");
}

bool pod_has_address(const struct pod_facts *facts, const char *address)
{
    char clean[POD_ADDRESS_MAX + 1];

    clean_address(clean, address);
    return strcmp(facts->address, clean) == 0;
}

bool pod_set_address(struct pod_facts *facts, const char *address)
{
    if (pod_has_address(facts, address))
        return false;
    clean_address(facts->address, address);
    return true;
}

bool pod_runs_once(const struct pod *pod)
{
    return pod->facts.spec->message->restart ==
           KONTOR__V1__RESTART_POLICY__RESTART_NEVER;
}

struct pod_facts pod_facts_copy(const struct pod_facts *facts)
{
    struct pod_facts copy = *facts;

    text_take(copy.reason);
    details_take(copy.details);
    spec_take(copy.spec);
    return copy;
}

void pod_facts_fini(struct pod_facts *facts, struct specs *specs)
{
    text_drop(facts->reason);
    details_drop(facts->details);
    specs_drop(specs, facts->spec);
}
