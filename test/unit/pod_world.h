/* pod_world.h - an engine with real parts for tests of whole pods: an image
 * of Debian's busybox in an OCI layout, a store, a bridge in a network
 * namespace of the test's own, a control group, kpod from the build. Root.
 *
 * The store's child processes are the test program, run anew: its main hands
 * "image-pull" to image_pull_main(). */
#pragma once

#include "base/memory.h"
#include "node/pod/engine.h"

#include <stdbool.h>

enum { POD_WORLD_WAIT_MS = 20000 };

struct pod_world {
    char *folder; /* owned, as are the other strings */
    char *pods;
    char *images;
    char *cgroup;
    char *kpod;
    char *layout; /* "oci:FOLDER/layout:1" */
    char *image;  /* the same, as if it had come from a registry */
    uv_loop_t loop;
    struct image_store *store;
    struct net *net;
    struct pod_engine *engine;
    bool timed_out;
    Kontor__V1__PodStatus *last; /* of the pod last reported; owned */
    /* Every phase that was reported, in order: "1:PULLING 1:RUNNING ". */
    char seen[4096];
};

/* For cmocka's setup and teardown of a whole group: the image and a network
 * namespace; then of each test: loop, store, net and engine. The teardown
 * fails when a mount, process, control group or interface is left. */
int pod_world_make(void **state);
int pod_world_unmake(void **state);
int pod_world_open(void **state);
int pod_world_close(void **state);

/* The two halves of open and close: what a knode's life is. */
void pod_world_begin_life(struct pod_world *world, bool with_net);
void pod_world_end_life(struct pod_world *world);

/* An order to be freed with kontor__v1__pod_order__free_unpacked(): /bin/sh
 * -c `script` in the image, restart never. */
Kontor__V1__PodOrder *pod_world_order(const struct pod_world *world,
                                      uint64_t id, const char *script);

void pod_world_create(struct pod_world *world,
                      const Kontor__V1__PodOrder *order);
void pod_world_delete(struct pod_world *world, uint64_t id,
                      uint32_t generation);

/* Create, and wait until it runs. Its pid. */
int pod_world_run(struct pod_world *world, uint64_t id, const char *script);

/* Run the loop until the pod is in this phase (STOPPED: forgotten); fails
 * after POD_WORLD_WAIT_MS. The status is in world->last. */
void pod_world_await(struct pod_world *world, uint64_t id,
                     Kontor__V1__PodPhase phase);

/* Run the loop until `found` says so. */
void pod_world_await_that(struct pod_world *world,
                          bool (*found)(struct pod_world *world));

/* "FOLDER/pods/ID/NAME" is there. */
bool pod_world_has(const struct pod_world *world, uint64_t id,
                   const char *name);

/* The output of a pod so far; freed with free(). */
char *pod_world_log(const struct pod_world *world, uint64_t id);
