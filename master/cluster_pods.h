/* cluster_pods.h - every pod that is remembered, and how it is found.
 *
 * Pure. A pod lives until it has ended for good; ended ones are kept, the
 * oldest forgotten beyond PODS_ENDED_MAX. Ids never return.
 *
 * Invariant: a pod is on exactly one of the queues (of a group that waits,
 * ended) or on its node's list, through `queue`. */
#pragma once

#include "base/list.h"
#include "base/series.h"
#include "master/cluster_details.h"
#include "master/cluster_names.h"
#include "master/cluster_spec.h"
#include "master/cluster_text.h"
#include "master/cluster_waiting.h"

enum {
    PODS_LIVING_MAX = 1000000,
    PODS_ENDED_MAX = 4096,
    POD_ADDRESS_MAX = 15, /* as long as an IPv4 address is */
};

/* All that is told about a pod but its name; copied into events. */
struct pod_facts {
    uint64_t id;
    uint64_t node_id; /* 0: pending; an ended pod keeps its last */
    uint64_t created_at_ms;
    uint64_t changed_index;
    uint64_t started_at_ms;
    uint64_t finished_at_ms;
    struct text *reason; /* these three are counted */
    struct details *details;
    struct spec *spec;
    char address[POD_ADDRESS_MAX + 1]; /* terminated */
    uint32_t generation; /* grows with each placement; 0: never placed */
    uint32_t restarts;
    int32_t pid;
    int32_t exit_code;
    int32_t signal;
    uint8_t phase; /* Kontor__V1__PodPhase */
    bool oom_killed;
    bool stop_requested;
};

/* The pods with one app's name. */
struct app {
    struct map_link by_name;
    struct series pods; /* by their numbers; empty: the app is forgotten */
    uint32_t living;
    char name[]; /* terminated */
};

struct pod {
    struct pod_facts facts;
    struct list queue;
    struct app *app;
    struct departure *departure; /* owned; NULL: none */
    uint32_t number;
    uint32_t gang; /* that of the first it waits with; 0: with none */
    char name[];   /* app-number, terminated */
};

struct pods {
    struct series all; /* by id */
    struct map apps;
    struct waiting waiting; /* the pending ones */
    struct list ended;      /* oldest first */
    size_t ended_count;
};

void pods_init(struct pods *pods);
void pods_fini(struct pods *pods, struct specs *specs);

/* NULL: there is none. pods_after(): the first with a greater id. */
struct pod *pods_find(const struct pods *pods, uint64_t id);
struct pod *pods_find_name(const struct pods *pods, const char *name);
struct app *pods_find_app(const struct pods *pods, const char *name);
struct pod *pods_after(const struct pods *pods, uint64_t id);

/* The one with the greatest number; the only one that lives. */
struct pod *app_newest_pod(const struct app *app);
struct pod *app_living_pod(const struct app *app);

/* The number that the app's next pod gets: one more than the greatest that is
 * remembered. 0: there are no more. */
uint32_t pods_next_number(const struct pods *pods, const char *app);

/* A new pending pod, greatest in id and in its app's numbers, counted as
 * living; on no queue yet. Takes the reference to `spec`. */
struct pod *pods_add(struct pods *pods, uint64_t id, const char *app,
                     uint32_t number, struct spec *spec);

/* Forget a pod that is on no node. */
void pods_remove(struct pods *pods, struct specs *specs, struct pod *pod);

bool pod_phase_ended(int32_t phase);
static inline bool pod_ended(const struct pod *pod)
{
    return pod_phase_ended(pod->facts.phase);
}

/* Is this the placement that the pod, or NULL, has? */
static inline bool pod_is_placed(const struct pod *pod, uint64_t node_id,
                                 uint32_t generation)
{
    return pod && pod->facts.node_id == node_id &&
           pod->facts.generation == generation;
}

/* True when it changed. One that is too long is taken as none. */
bool pod_has_address(const struct pod_facts *facts, const char *address);
bool pod_set_address(struct pod_facts *facts, const char *address);

/* One that must not run twice. */
bool pod_runs_once(const struct pod *pod);

/* A copy with references of its own, and the end of one. */
struct pod_facts pod_facts_copy(const struct pod_facts *facts);
void pod_facts_fini(struct pod_facts *facts, struct specs *specs);
