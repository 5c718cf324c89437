/* master_asks.h - one line a request of the Cluster service, and what is waited
 * for; in the world of master_world.h. For tests. */
#pragma once

#include "master_world.h"

#include "kontor/v1/cluster.pb-c.h"

#define PHASE(name) KONTOR__V1__POD_PHASE__POD_##name

/* To the first master. */
extern struct channel *admin;

/* For cmocka: a world of one master, and `admin`. */
int set_up_one(void **state);

/* ---- requests in one line ---- */

struct ask {
    const char *app;  /* NULL: named after the image */
    const char *with; /* an app; NULL: none */
    uint32_t cpu_milli;
    uint64_t memory_bytes; /* 0: what is usual */
    uint32_t replicas;
    bool gang;
    bool userns;
    int32_t priority;
    uint64_t id;
};

void ask_schedule(struct world_asked *asked, struct channel *channel,
                  struct ask ask);
/* And wait. The answer is the caller's; NULL: `why` says. */
Kontor__V1__ScheduleResponse *schedule_pod(struct channel *channel,
                                           struct ask ask, struct error *why);
/* Schedule, and expect the pod's name and node; returns the index. */
uint64_t expect_scheduled(struct channel *channel, struct ask ask,
                          const char *name_and_node);
/* "web-1", "web-2" ... that nothing is known of but that they are there. */
void schedule_many(unsigned count);

Kontor__V1__StopResponse *try_stop(const char *pod, struct error *why);
void stop_pod(const char *pod);

void expect_refused(struct error why, enum error_code code, const char *part);

/* ---- what is waited for ---- */

/* In the leader's state. */
void until_pod(const char *name, int32_t phase);
void until_node_has(const struct fake_node *node, size_t count);

struct fake_node *node_up(unsigned i);
/* n1 with web-1 on it. */
struct fake_node *node_with_a_pod(void);
