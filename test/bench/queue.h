/* queue.h - what it costs the placement of others that pods wait. */
#pragma once

#include "test/bench/samples.h"

enum queue_of {
    QUEUE_EMPTY,
    QUEUE_ALIKE,  /* of one spec */
    QUEUE_UNLIKE, /* each of another */
    QUEUE_GANGS,  /* pairs, each of another spec */
    QUEUE_KINDS
};

/* A line's beginning. */
extern const char *const queue_told[QUEUE_KINDS];

/* On a full cluster of 250 nodes 100,000 more pods wait, and nodes give back
 * less than any of them wants. Sampled is how long the leader looks at who
 * waits each time that a pod ends, before another takes its place. The
 * caller's to samples_fini(). */
struct samples queue_measure(enum queue_of queue);
