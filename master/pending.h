/* pending.h - who waits for a node, in order, and who of them a node could
 * take: what the leader keeps so that it never walks the whole queue.
 *
 * Pure. Who waits is known by groups (cluster_waiting.h): the highest priority
 * first, then those that lost their node, then the oldest. Groups that ask for
 * as much, and the same of a node's labels, are of one shape. Shapes stand in
 * an index by what they want: by the bits of cpu and of memory, and within one
 * size in an order (order.h). So the first group that a node with so much room
 * could take is found by looking at few others.
 *
 * A seeker is a group as the leader sees it. One that stands in the index and
 * is not unsure fits on no node but on those that are still to be looked at. */
#pragma once

#include "master/cluster_pods.h"
#include "master/placement/order.h"
#include "master/placement/presence.h"

/* Seekers that are to be looked at by themselves. */
enum pending_set {
    PENDING_UNSURE,   /* may fit somewhere */
    PENDING_PREEMPTS, /* fits nowhere, but others may have to make room */
    PENDING_SETS
};

struct shape;
struct pending_size;

struct seeker {
    const struct waiting_group *group; /* NULL: nobody waits any more */
    struct shape *shape;               /* it is counted there */
    struct order_key key;
    struct pod *next; /* the first that is not being placed; NULL: all are, and
                         it stands nowhere */
    uint32_t flying;  /* being placed; 0: `next` is the first */
    bool is_in[PENDING_SETS];
    uint64_t due_ms;   /* a gang: to be tried, but not sooner */
    uint64_t since_ms; /* when one of it was last placed, or it came */
    size_t turns;      /* for which room was kept for it */
    struct list later; /* a gang that is to be tried when it is due */
    struct list by_age;
};

struct pending {
    struct map shapes;          /* by what they ask for */
    struct pending_size *sizes; /* owned; see pending.c */
    struct list used;           /* sizes of which there are shapes */
    struct order sets[PENDING_SETS];
    struct list by_age;       /* all seekers, the longest waiting first */
    struct list later;        /* the first due first */
    struct presences awaited; /* apps that some want to be with */
    size_t count;             /* of seekers */
    struct seeker *favoured;  /* room is kept for it; or NULL */
    uint64_t now_ms;          /* as last told */
};

void pending_init(struct pending *pending);
void pending_fini(struct pending *pending);

/* Where a pod that waits stands in the order. */
struct order_key pending_key(const struct pod *pod);

/* A pod joined a group, or is about to leave it. */
void pending_join(struct pending *pending, struct waiting_group *group,
                  struct pod *pod);
void pending_leave(struct pending *pending, struct waiting_group *group,
                   struct pod *pod);

void pending_put_in(struct pending *pending, struct seeker *seeker,
                    enum pending_set set);
void pending_take_out(struct pending *pending, struct seeker *seeker,
                      enum pending_set set);

/* The first of a set, or NULL. O(log seekers). */
struct seeker *pending_first(const struct pending *pending,
                             enum pending_set set);

/* The next pod of a seeker, or all of a gang, is being placed. */
void pending_fly(struct pending *pending, struct seeker *seeker);

/* What became of it is known; the last one's frees a seeker of which nobody
 * waits any more. */
void pending_land(struct pending *pending, struct seeker *seeker);

/* Try a gang when it is due. */
void pending_defer(struct pending *pending, struct seeker *seeker);

/* As if it had just come. */
void pending_wait_anew(struct pending *pending, struct seeker *seeker);

/* Those that are due are unsure. */
void pending_wake_due(struct pending *pending);

/* The highest priority in the index; INT32_MIN: it is empty. O(sizes that there
 * are). */
int32_t pending_highest(const struct pending *pending);

/* Who is asked which seeker a node can take. */
struct pending_query {
    struct resources room;
    /* Its labels are right for all that ask for the same. */
    bool (*suits)(void *data, const Kontor__V1__PodSpec *spec);
    bool (*takes)(void *data, struct seeker *seeker);
    void *data;
    uint64_t looks; /* items of the index that were looked at are added */
};

/* The first seeker that is taken and wants no more than the room, or NULL.
 * Nothing about seekers may change meanwhile. */
struct seeker *pending_match(struct pending *pending,
                             struct pending_query *query);

static inline int32_t seeker_priority(const struct seeker *seeker)
{
    return seeker->next->facts.spec->message->priority;
}
