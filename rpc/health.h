/* health.h - the service grpc.health.v1.Health. */
#pragma once

#include "base/list.h"
#include "rpc/registry.h"

/* Watchers at once, of one server. */
enum { HEALTH_WATCHERS_MAX = 1024 };

struct health {
    const struct registry *registry; /* borrowed: which services there are */
    bool serving;
    bool stopped;
    struct list watchers;
    unsigned watcher_count;
};

void health_init(struct health *health, const struct registry *registry);

/* For registry_add(), with `struct health *` as its data. */
extern const struct service health_service;

/* Tell the watchers. */
void health_set(struct health *health, bool serving);

/* Not serving, and nobody may wait for that to change: the watches end. */
void health_stop(struct health *health);
