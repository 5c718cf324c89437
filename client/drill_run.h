/* drill_run.h - one fault after the other, under clients that go on. */
#pragma once

#include "client/drill_faults.h"
#include "client/drill_pods.h"

enum { DRILL_COUNT_MAX = 1000 };

/* One fault. */
struct drill_round {
    unsigned master;    /* that it was done to */
    uint64_t gap_ns;    /* to the first acknowledgement of a later write */
    uint64_t silent_ns; /* the longest time without any around it */
};

struct drill {
    const struct drill_fault *fault;
    uint64_t count;
    uint64_t budget_ms;
    struct dev dev;
    struct dev_words words[DEV_MASTERS_MAX]; /* owned */
    struct drill_history history;
    struct drill_round *rounds; /* owned; `count` */
    unsigned done;              /* of them */
    struct drill_counts counts;
};

/* Find the dev cluster that `contact` speaks to, and lock it until *lock is
 * closed. FAILED_PRECONDITION: it is no such cluster, or not one that this can
 * be done to. */
int drill_find(struct drill *drill, const struct contact *contact, int *lock,
               struct error *why);

/* All of it; progress goes to stderr. The cluster is as it was afterwards,
 * also after an error (of the first thing that went wrong) and Ctrl-C
 * (CANCELLED). */
int drill_run(struct drill *drill, const struct contact_options *to,
              struct error *why);
void drill_fini(struct drill *drill);
