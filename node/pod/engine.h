/* engine.h - the pods of this node: made, watched, stopped, adopted.
 *
 * Every pod is one operation (pod.c) that walks
 *
 *   pull -> claim address -> prepare (network, cgroup, bundle) -> kpod
 *     -> running ... -> ended -> clean -> gone
 *
 * What must survive is in the pod's folder before it happens, so that after
 * a crash pod_engine_open() finds each pod where it was: adopts the ones
 * whose kpod lives, finishes those half made or half removed.
 *
 * Everything runs on the loop's thread; what blocks is done by libuv's
 * workers. `changed` may be called from inside these functions, and may call
 * none of them. */
#pragma once

#include "base/error.h"
#include "kontor/v1/bundle.pb-c.h"
#include "kontor/v1/node.pb-c.h"
#include "node/image/image.h"
#include "node/net/net.h"

struct pod_engine;
struct pod_site;

struct pod_engine_config {
    const char *folder;         /* pods/ of the node's data; made if missing */
    const char *image_folder;   /* the store's, absolute, for layer paths */
    const char *kpod;           /* path of the supervisor program */
    const char *cgroup;         /* "kontor/n1" */
    struct image_store *images; /* borrowed; NULL: pods are only removed */
    uint64_t log_limit_bytes;
    /* A pod's status changed; borrowed. POD_STOPPED: nothing is left of it
     * and it is forgotten after this. */
    void (*changed)(void *data, const Kontor__V1__PodStatus *status);
    void *data;
};

/* Find the pods that are there and go on with them. Strings are copied. */
int pod_engine_open(struct pod_engine **out, uv_loop_t *loop,
                    const struct pod_engine_config *config, struct error *why);

/* The network is known (after registration): pods that wait for it go on.
 * `net` is borrowed; to be called once. */
void pod_engine_set_net(struct pod_engine *engine, struct net *net);

/* Take an order; pod_engine_sync() tells when it is on disk. The same order
 * again is success; an older generation FAILED_PRECONDITION; a newer one
 * replaces what runs. What is wrong with the pod itself is no error here but
 * ends in POD_FAILED with the reason. */
int pod_engine_create(struct pod_engine *engine,
                      const Kontor__V1__PodOrder *order, struct error *why);

/* Stop (signal, grace, SIGKILL) and remove. Not there is success; a pod of a
 * newer generation is left alone. */
int pod_engine_delete(struct pod_engine *engine, uint64_t pod_id,
                      uint32_t generation, struct error *why);

/* Embedded by who waits for the disk. */
struct pod_sync {
    void (*done)(struct pod_sync *sync, const struct error *why);
    struct list link; /* the engine's */
};

/* `done` comes when all that was accepted before is on disk; those who ask
 * while a sync is under way share the next one. */
void pod_engine_sync(struct pod_engine *engine, struct pod_sync *sync);

/* Every pod's status, in order of id. */
void pod_engine_each(struct pod_engine *engine,
                     void (*each)(void *data,
                                  const Kontor__V1__PodStatus *status),
                     void *data);

/* One pod's, or NULL when there is no such pod. Borrowed until the loop
 * turns. */
const Kontor__V1__PodStatus *pod_engine_status(const struct pod_engine *engine,
                                               uint64_t pod_id);

/* Name the layers of all pods that have a root file system, or are about to
 * get one, as image_store_config.each_used asks for them. Reads their
 * bundles. */
int pod_engine_each_layer(const struct pod_engine *engine, image_used_cb *used,
                          void *to, struct error *why);

/* kpod_exec() in a pod; NOT_FOUND when it is not on this node. */
int pod_engine_exec(struct pod_engine *engine, uint64_t pod_id,
                    const Kontor__V1__StartExec *asked, const int *fds,
                    size_t fd_count, struct error *why);

/* What its pods share; borrowed. */
const struct pod_site *pod_engine_site(const struct pod_engine *engine);

/* The place of a container in the pod's order, as its log has it; "" is the
 * first that is there to stay. -1: there is none of that name. */
int pod_engine_container(const struct pod_engine *engine, uint64_t pod_id,
                         const char *name);

/* The folder of a pod, for its log; NULL when there is no such pod. */
const char *pod_engine_folder(const struct pod_engine *engine, uint64_t pod_id);

/* Let go of everything; pods go on running. The image store must still be
 * open: pulls are cancelled. */
void pod_engine_close(struct pod_engine *engine, void (*closed)(void *data),
                      void *data);
