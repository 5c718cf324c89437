/* cluster_pods.h - every pod that is remembered, and how it is found.
 *
 * Pure. A pod lives until it has ended for good; ended ones are kept, the
 * oldest forgotten beyond PODS_ENDED_MAX. Ids never return.
 *
 * Invariants: `all` is in order of id. A pod is on exactly one of the queues
 * (of a group that waits, ended) or on its node's list, through `queue`. */
#pragma once

#include "base/list.h"
#include "master/cluster_details.h"
#include "master/cluster_names.h"
#include "master/cluster_spec.h"
#include "master/cluster_text.h"
#include "master/cluster_waiting.h"

enum {
    PODS_LIVING_MAX = 1000000,
    PODS_ENDED_MAX = 4096,
};

/* All that is told about a pod; copied into events. */
struct pod_facts {
    uint64_t id;
    uint64_t node_id; /* 0: pending; an ended pod keeps its last */
    uint64_t created_at_ms;
    uint64_t changed_index;
    uint64_t started_at_ms;
    uint64_t finished_at_ms;
    struct text *name; /* these five are counted */
    struct text *reason;
    struct text *address;
    struct details *details;
    struct spec *spec;
    uint32_t generation; /* grows with each placement; 0: never placed */
    uint32_t restarts;
    int32_t phase; /* Kontor__V1__PodPhase */
    int32_t pid;
    int32_t exit_code;
    int32_t signal;
    bool oom_killed;
    bool stop_requested;
};

/* The pods with one app's name. */
struct app {
    struct map_link by_name;
    struct list pods; /* numbers ascend; empty: the app is forgotten */
    unsigned living;
    char name[]; /* terminated */
};

struct pod {
    struct pod_facts facts;
    struct map_link by_id;
    struct map_link by_name;
    struct list all;
    struct list queue;
    struct list of_app;
    struct app *app;
    struct departure *departure; /* owned; NULL: none */
    uint32_t number;             /* the name is app-number */
    uint32_t gang; /* that of the first it waits with; 0: with none */
};

struct pods {
    struct map by_id;
    struct map by_name;
    struct map apps;
    struct list all;
    struct waiting waiting; /* the pending ones */
    struct list ended;      /* oldest first */
    size_t ended_count;
};

void pods_init(struct pods *pods);
void pods_fini(struct pods *pods, struct specs *specs);

struct pod *pods_find(const struct pods *pods, uint64_t id);
struct pod *pods_find_name(const struct pods *pods, const char *name);
struct app *pods_find_app(const struct pods *pods, const char *name);

/* The first pod with a greater id, or NULL. O(1) while pod `id` is there. */
struct pod *pods_after(const struct pods *pods, uint64_t id);

/* The only one of the app's pods that lives; app->living is 1. */
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

/* One that must not run twice. */
bool pod_runs_once(const struct pod *pod);

/* A copy with references of its own, and the end of one. */
struct pod_facts pod_facts_copy(const struct pod_facts *facts);
void pod_facts_fini(struct pod_facts *facts, struct specs *specs);
