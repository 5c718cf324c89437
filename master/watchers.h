/* watchers.h - those who watch events, each at its own pace.
 *
 * A watcher is a cursor into the ring of events: what it has not taken yet is
 * stored once for all. One that falls behind by more than the ring holds is
 * ended with RESOURCE_EXHAUSTED and the index to go on from. */
#pragma once

#include "base/list.h"
#include "kontor/v1/cluster.pb-c.h"
#include "master/cluster.h"
#include "rpc/call.h"

enum { WATCHERS_MAX = 4096 };

struct watchers {
    struct list all;
    size_t count;
    struct cluster *cluster; /* borrowed */
};

void watchers_init(struct watchers *watchers, struct cluster *cluster);

/* A snapshot took the place of the state; nobody may be watching. */
void watchers_reset(struct watchers *watchers, struct cluster *cluster);

/* Serve a Watch call from now on; ends the call with what is wrong. */
void watchers_add(struct watchers *watchers, struct call *call,
                  const Kontor__V1__WatchRequest *request);

/* Send what is new; at the end of a loop turn. */
void watchers_step(struct watchers *watchers);

/* A pod's image is being pulled: an event that is not kept. Those who are
 * behind miss it. */
void watchers_progress(struct watchers *watchers, const struct pod *pod,
                       const Kontor__V1__PodStatus *status);

/* End every call: we lead no more. */
void watchers_end(struct watchers *watchers);
