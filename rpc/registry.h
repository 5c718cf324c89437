/* registry.h - what a server offers: services and their methods by path. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "rpc/server.h"

struct registry {
    struct map methods;
    struct list services;
};

/* A method as it is called. */
struct registry_method {
    struct map_link link;
    char *path; /* "/kontor.v1.Cluster/Schedule"; owned */
    const struct method *method;
    void *data; /* the service's */
};

struct registry_service {
    struct list link;
    const struct service *service; /* borrowed */
};

void registry_init(struct registry *registry);
void registry_fini(struct registry *registry);

/* `service` is borrowed; its name must be new. */
void registry_add(struct registry *registry, const struct service *service,
                  void *data);

/* NULL when there is none. */
const struct registry_method *registry_find(const struct registry *registry,
                                            const char *path);
const struct service *registry_find_service(const struct registry *registry,
                                            const char *name);
