/* check_state.h - what must always hold in the cluster's state, on the nodes
 * and in the answers that clients got.
 *
 * 1. Masters apply the same at the same index, and have the same bytes then:
 *    looked at every so many indexes, in some seeds at each, and whenever a
 *    snapshot was loaded.
 * 2. No node is over-committed. A pod is placed anew only when its node was
 *    lost or drained, or it made room for one of a higher priority; one that
 *    may not run twice never.
 * 3. A request is done once: what one made, one command made, and an app is
 *    scaled to what was asked. No gang is half placed, no move or drain half
 *    done (check_moves.h).
 * 4. Nodes start only what was placed on them, in that generation, and what
 *    runs nowhere else but on nodes that were given up for lost. They have
 *    room for all that is there and not given up.
 * 5. Those who watch are told of every event, in order, whoever leads.
 * 6. What was acknowledged is there for ever after; a read sees all that was
 *    acknowledged, or read, before it was asked. */
#pragma once

#include "master/cluster.h"
#include "master/master.h"
#include "test/sim/stack/world.h"

void check_state_init(void);
void check_state_fini(void);

void check_state_turn(struct host *host, const struct master *master);

/* A node takes one pod more. */
void check_accepted(const struct host *node);
/* A node's pod begins to run. */
void check_started(const struct host *node, uint64_t pod_id,
                   uint32_t generation, bool never_again);

/* ---- clients ---- */

/* The newest index that any client has seen: a read that begins now must not
 * be older. */
uint64_t check_seen_index(void);
/* The newest format that any master's state has reached. */
uint32_t check_format(void);
/* A read that began when that was `seen` is answered from the state at
 * `index`. */
void check_read(uint64_t seen, uint64_t index);
/* Schedule, sent with `id`, is acknowledged. */
void check_scheduled(struct request_id id, uint64_t pod_id, uint64_t index);
/* Scale, sent with `id`, is. */
void check_scaled(struct request_id id, uint64_t index);
/* Stop is. */
void check_stopped(uint64_t pod_id, uint64_t index);
/* How many events the command at `index` brought. */
unsigned check_events_at(uint64_t index);
/* Has somebody been told that the pod is to stop? */
bool check_is_stopped(uint64_t pod_id);

/* Has somebody been told that the pod was made? */
bool check_is_acknowledged(uint64_t pod_id);
uint64_t check_newest_pod(void);

/* Of the bytes that a snapshot of it would have. */
uint64_t check_digest(struct cluster *cluster);

/* What a machine would write into a snapshot. */
struct state_bytes {
    uint8_t *bytes; /* owned */
    size_t length;
};

void state_save(const struct replica_machine *machine,
                struct state_bytes *bytes);
/* They are what a snapshot has of `cluster`. */
void check_saved(const struct cluster *cluster,
                 const struct state_bytes *bytes);
