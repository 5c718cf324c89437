#include "rpc/registry.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

void registry_init(struct registry *registry)
{
    map_init(&registry->methods);
    list_init(&registry->services);
}

static uint64_t hash_path(const char *path)
{
    return map_hash_bytes(path, strlen(path));
}

const struct registry_method *registry_find(const struct registry *registry,
                                            const char *path)
{
    uint64_t hash = hash_path(path);

    for (const struct map_link *link = map_chain(&registry->methods, hash);
         link; link = link->next) {
        const struct registry_method *method =
            (const struct registry_method *)(const void *)link;

        if (link->hash == hash && strcmp(method->path, path) == 0)
            return method;
    }
    return NULL;
}

const struct service *registry_find_service(const struct registry *registry,
                                            const char *name)
{
    for (const struct list *link = registry->services.next;
         link != &registry->services; link = link->next) {
        const struct registry_service *entry =
            (const struct registry_service *)(const void *)link;

        if (strcmp(entry->service->name, name) == 0)
            return entry->service;
    }
    return NULL;
}

void registry_add(struct registry *registry, const struct service *service,
                  void *data)
{
    struct registry_service *entry = memory_new(sizeof *entry);

    assert(!registry_find_service(registry, service->name));
    entry->service = service;
    list_append(&registry->services, &entry->link);
    for (size_t i = 0; i < service->method_count; i++) {
        struct registry_method *method = memory_new(sizeof *method);

        method->method = &service->methods[i];
        method->data = data;
        method->path =
            memory_format("/%s/%s", service->name, method->method->name);
        assert(!registry_find(registry, method->path));
        map_insert(&registry->methods, &method->link, hash_path(method->path));
    }
}

/* The methods are found again through the services, as maps do not walk. */
static void free_methods(struct registry *registry,
                         const struct service *service)
{
    for (size_t i = 0; i < service->method_count; i++) {
        CLEANUP(free_pointer)
        char *path =
            memory_format("/%s/%s", service->name, service->methods[i].name);
        uint64_t hash = hash_path(path);
        struct map_link *link = map_chain(&registry->methods, hash);
        struct registry_method *method;

        while (link->hash != hash ||
               strcmp(container_of(link, struct registry_method, link)->path,
                      path) != 0)
            link = link->next;
        method = container_of(link, struct registry_method, link);
        map_remove(&registry->methods, &method->link);
        free(method->path);
        free(method);
    }
}

void registry_fini(struct registry *registry)
{
    list_for_each(link, next, &registry->services)
    {
        struct registry_service *entry =
            container_of(link, struct registry_service, link);

        free_methods(registry, entry->service);
        free(entry);
    }
    list_init(&registry->services);
    map_fini(&registry->methods);
}
