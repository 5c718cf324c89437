/* event.h - what will happen, by virtual time.
 *
 * Events of the same microsecond happen in the order they were scheduled, so
 * a run depends on its seed only. */
#pragma once

#include "raft/core/raft.h"

struct sim;
struct event;

typedef void (*event_cb)(struct sim *sim, struct event *event);

struct event {
    uint64_t at_us;
    uint64_t sequence;
    event_cb run;
    bool to_process;      /* of `master`, if that is up and not stalled; */
    unsigned master;      /* a position; */
    uint64_t incarnation; /* this life of it, 0: any */
    bool in_order;        /* never overtakes another such one on its link */
    uint64_t a, b, c;     /* as `run` has it */
    struct raft_message message; /* owned; entries NULL when there is none */
    void *data;                  /* owned by whoever `run` says */
    void (*drop)(void *data);    /* when it never happens; or NULL */
};

struct event_queue {
    struct event *heap; /* owned */
    size_t count;
    size_t capacity;
    uint64_t sequence;
};

void event_queue_fini(struct event_queue *queue);

/* Takes the message and the data. O(log n). */
void event_push(struct event_queue *queue, const struct event *event);

/* The next one; false when there is none. The caller owns what it holds. */
bool event_pop(struct event_queue *queue, struct event *event);

/* It does not happen: drop what it holds. */
void event_fini(struct event *event);
