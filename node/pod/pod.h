/* pod.h - one pod: the operation that it is, from order to nothing.
 *
 *          order
 *            v
 *      +--> NEW -> PULL -> CLAIM -> LAUNCH -> RUN <-> CHECK
 *      |     ^      |        |        |                |
 *      |     |   transient failure: WAIT               | kpod is gone
 *      |     |      | permanent: POD_FAILED            v
 *      |     |      +----------------------------->  CLEAN --> KEPT
 *      |     |                                       | | ^      |
 *      |     +-- supervisor died: WAIT --------------+ | |      |
 *      +-- a newer generation took its place ----------+ |      |
 *                                                        |      |
 *      delete or replace, from any state  ---------------+------+
 *                                  CLEAN -> GONE -> freed
 *
 * Invariants:
 * 1. What the pod needs to be found again is in its folder before anything
 *    else of it exists: order.pb before the group, the bundle before kpod.
 * 2. Nothing of the pod's is removed while a kpod may live: CLEAN is entered
 *    from RUN only by way of CHECK, which looks at the lock.
 * 3. POD_STOPPED is told once, when nothing is left.
 * 4. While `busy`, the state belongs to the pull or the worker; everything
 *    else is noted and acted upon when that comes back. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "kontor/v1/bundle.pb-c.h"
#include "kontor/v1/node.pb-c.h"
#include "node/pod/clean.h"
#include "node/pod/kpod.h"
#include "node/pod/launch.h"
#include "node/pod/site.h"

enum pod_state {
    POD_STATE_NEW,
    POD_STATE_PULL,
    POD_STATE_CLAIM,
    POD_STATE_LAUNCH,
    POD_STATE_RUN,
    POD_STATE_CHECK,
    POD_STATE_CLEAN,
    POD_STATE_KEPT,
    POD_STATE_WAIT,
    POD_STATE_GONE,
};

struct pod {
    struct pod_site *site;
    struct map_link map; /* the engine's */
    struct list link;    /* the engine's, in order of id */
    bool unsaved;        /* the engine's: not yet synced */

    uint64_t id;
    char *folder;
    char *cgroup;
    Kontor__V1__PodOrder *order; /* of the present generation; has a spec */
    Kontor__V1__PodOrder *next;  /* of a newer one, or NULL */
    int64_t delete_generation;   /* this one and older are to go; -1 */

    enum pod_state state;
    enum pod_state after_wait;
    bool busy;        /* a pull or a worker is under way */
    bool cancelled;   /* the pull */
    bool closing;     /* let go, leave it running */
    bool ended;       /* for good: the status says how */
    bool stop_sent;   /* over the present connection */
    bool has_address; /* `address` is in the bundle or claimed */
    bool claimed;
    unsigned attempts; /* that failed since the last success */
    uint64_t running_since_ms;
    struct in_addr address;
    uint32_t first_id;          /* of its user namespace, claimed; 0: none */
    Kontor__V1__Bundle *bundle; /* from pull to launch */
    Kontor__V1__PodStatus status;

    uv_timer_t timer;
    struct image_pull pull;
    struct kpod kpod;
    uv_work_t work;
    union {
        struct pod_launch launch;
        struct pod_clean clean;
    } job; /* the worker's */
};

/* A pod for an order that is in the folder. Takes `order`. */
struct pod *pod_new(struct pod_site *site, Kontor__V1__PodOrder *order);

/* Find out from the folder where a pod of an earlier life of knode stands.
 * Fails only when the folder cannot be read. */
int pod_find(struct pod_site *site, uint64_t id, struct pod **out,
             struct error *why);

/* Go on from where it is: after pod_new() and pod_find(), after `next` or
 * `delete_generation` was set, after site->net was. */
void pod_step(struct pod *pod);

/* The address that the pod already has is taken from site->net. */
void pod_adopt_address(struct pod *pod);

/* Let go of it, leaving it running; site->freed follows. */
void pod_close(struct pod *pod);

/* Is the worker about to remove the folder with all orders? */
bool pod_vanishing(const struct pod *pod);
