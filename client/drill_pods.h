/* drill_pods.h - what became of pods and nodes. */
#pragma once

#include "client/contact.h"
#include "client/drill_clients.h"

struct drill_pod {
    uint64_t id;
    uint64_t value; /* that a client of a drill wrote; 0: not one of those */
    uint32_t generation;
    uint32_t restarts;
    bool ended;
    bool running;
    char name[DRILL_NAME_MAX];
};

struct drill_pods {
    struct drill_pod *pods; /* owned; in order of id */
    size_t count;
};

/* All pods that the cluster knows. */
int drill_pods_list(struct drill_pods *out, struct contact *contact,
                    struct error *why);
void drill_pods_fini(struct drill_pods *pods);

/* Stop those of drills. CANCELLED: Ctrl-C. */
int drill_pods_stop(struct contact *contact, struct error *why);

struct drill_counts {
    unsigned acknowledged; /* writes */
    unsigned refused;
    unsigned unknown;
    unsigned reads;      /* that were answered */
    unsigned lost;       /* of those acknowledged, not there any more */
    unsigned duplicated; /* writes, acknowledged or not, done again */
    unsigned pods;       /* that ran before */
    unsigned restarted;  /* of them, or that run no more */
    unsigned nodes;
    unsigned nodes_ready;
};

/* Compare what the clients were told with what is there. O(n log n). */
void drill_count_writes(struct drill_counts *counts,
                        const struct drill_history *history,
                        const struct drill_pods *after);

/* Compare the pods that ran before with what is there. */
void drill_count_pods(struct drill_counts *counts,
                      const struct drill_pods *before,
                      const struct drill_pods *after);

/* How many nodes there are, and how many are Ready; waits ten seconds for
 * all of them to be. */
int drill_count_nodes(struct drill_counts *counts, struct contact *contact,
                      struct error *why);
