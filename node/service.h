/* service.h - the Node service: orders from the masters, reports to them. */
#pragma once

#include "kontor/v1/node.pb-c.h"
#include "node/pod/engine.h"
#include "node/term.h"
#include "rpc/server.h"

#include <uv.h>

struct node_service;

struct node_service_config {
    struct pod_engine *engine;  /* borrowed */
    struct image_store *images; /* borrowed */
    struct term *term;          /* borrowed */
    /* The masters tell the routes; borrowed. */
    int (*set_routes)(void *data, const Kontor__V1__SetRoutesRequest *request,
                      struct error *why);
    void *data;
};

/* In two steps, because the engine reports to the service from its first
 * moment on, and the service needs the engine to answer. */
struct node_service *node_service_open(uv_loop_t *loop);
void node_service_start(struct node_service *service,
                        const struct node_service_config *config,
                        struct server *server);

/* The engine's `changed`, with the service as data. */
void node_service_changed(void *data, const Kontor__V1__PodStatus *status);

/* How many masters are watching. */
size_t node_service_watchers(const struct node_service *service);

/* This node stops: streams, which would not end by themselves, end. */
void node_service_hang_up(struct node_service *service);

/* The server and the engine must be closed. */
void node_service_close(struct node_service *service,
                        void (*closed)(void *data), void *data);
