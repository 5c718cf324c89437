/* planner.h - what would become of pods, tried out on a copy of the leader's
 * view, with room that is held for proposals under way.
 *
 * Pure. Valid until the state changes. O(nodes and pods) for the copy. */
#pragma once

#include "master/placement/even.h"
#include "master/placer.h"

enum plan_fate {
    PLAN_PLACED,  /* it gets a node */
    PLAN_PENDING, /* it fits nowhere */
    PLAN_FAILS,   /* it may run only once, and ends */
    PLAN_STAYS,   /* it may run only once, and goes on */
    PLAN_FATES
};

struct plan_pod {
    const struct pod *pod; /* borrowed; NULL: it is not there yet */
    uint32_t number;       /* of its app's, of one that is not there yet */
    uint32_t winner;       /* such a one for which it makes room; 0: none */
    const struct pod *for_whom; /* or one that is there; NULL: none */
    uint64_t from_id;           /* 0: none */
    uint64_t to_id;             /* 0: none */
    enum plan_fate fate;
};

struct plan {
    const struct cluster *cluster; /* borrowed */
    struct placement *copy;        /* owned; as it would be */
    struct plan_pod *pods;         /* owned */
    size_t count;
    size_t fates[PLAN_FATES]; /* how many of each */
    size_t nodes_before;      /* that have pods */
    size_t nodes_after;
    uint32_t nodes_added;
    uint32_t gang;      /* pods of a new gang that does not fit; 0: none */
    size_t gang_fit;    /* so many of them do */
    size_t preempted;   /* pods that make room */
    bool preempts_more; /* that was not worked out to the end */
    bool even;          /* these two are told: */
    struct evenness even_before, even_after;
};

void plan_init(struct plan *plan, const struct placer *placer);
void plan_fini(struct plan *plan);

/* Each once, after plan_init(). */

struct plan_wanted {
    const Kontor__V1__PodSpec *spec; /* borrowed for as long as the plan */
    uint32_t pods;
    uint32_t number; /* of its app's, of the first */
    bool gang;
};

/* New pods: where they would go; who would have to make room for those that fit
 * nowhere else, and what would become of them. */
void plan_schedule(struct plan *plan, const struct plan_wanted *wanted);
/* With `force` what may run only once fails. */
void plan_drain(struct plan *plan, const struct node *node, bool force);
/* What the placer would do when it is told: what was there is placed by
 * priority, lower ones make room for it, and go where they fit. Pods that wait
 * already are left out. */
void plan_lose(struct plan *plan, const struct node *node);

struct plan_nodes {
    struct resources capacity;        /* of each */
    Kontor__V1__Label *const *labels; /* borrowed for the call */
    size_t label_count;               /* NODE_LABELS_MAX at most */
    uint32_t count;
};

/* Nodes more: who of the pending pods would be placed. */
void plan_add(struct plan *plan, const struct plan_nodes *nodes);
/* Moves that fit when all are done together. What is about to end or to move,
 * or may run only once, keeps its node out of it. */
void plan_rebalance(struct plan *plan, size_t moves_max);
/* Moves that fit in any order. What is about to end or to move, or may run only
 * once, stays. */
void plan_even(struct plan *plan, size_t moves_max);
