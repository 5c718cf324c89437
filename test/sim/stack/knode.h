/* knode.h - simulated nodes: they register, take orders, and say that they
 * did what real ones do. Pods outlive their knode, not their machine.
 *
 *   placed -> pulling -> starting -> running -> ended, if it may
 *      any of them --DeletePods--> stopping -> gone
 *
 * What an order brings is on the node's disk before it is acknowledged. The
 * greatest term is kept, older ones are refused. Now and then orders fail. */
#pragma once

#include "test/sim/stack/world.h"

struct knode;

/* Hosts MASTERS_MAX ... ; `count` of them exist. */
void knodes_init(unsigned count);
void knodes_fini(void);

void knode_start(struct knode *knode);
/* Its process is killed, its pods go on; `machine`: they die with it, and
 * nobody hears of it. */
void knode_crash(struct knode *knode, bool machine);
/* The i-th. */
struct knode *knode_at(unsigned i);
bool knode_is_up(const struct knode *knode);

/* One pod that the node has. */
struct knode_pod {
    uint64_t pod_id;
    uint32_t generation;
    int32_t phase; /* Kontor__V1__PodPhase */
    uint32_t cpu_milli;
    bool over; /* nothing of it runs */
};
enum { KNODE_CPU_MILLI = 4000 };

/* Its pods, one after the other; false after the last. */
bool knode_pod(const struct knode *knode, unsigned i, struct knode_pod *out);
