/* replica_parts.h - what the files of the replica call in each other. */
#pragma once

#include "raft/replica_state.h"

/* ---- replica.c ---- */

void replica_part_closed(struct replica *replica);

/* ---- replica_members.c ---- */

/* "m2", "nobody", or "a stranger". */
const char *replica_name(const struct replica *replica, uint32_t member);
/* What an empty folder begins with, and our id in it; the caller's reference.
 * NULL: `why` says what is wrong with the members. */
struct raft_payload *replica_founders(const struct replica_config *config,
                                      uint32_t *self, struct error *why);
/* The core's configuration changed. */
void replica_take_members(struct replica *replica);
/* The disk is nearly full: as leader, hand over to another, whose may not be;
 * at most once in a while, as theirs may be, too. */
void replica_make_way(struct replica *replica);
/* Make a learner that has caught up a voter, as leader. */
void replica_promote(struct replica *replica);

/* ---- replica_output.c ---- */

/* Do what the core wants done, in the order that output.h gives. */
void replica_perform(struct replica *replica);
/* Every write up to `store_id` is durable: tell the core, let messages go. */
void replica_durable(struct replica *replica, uint64_t store_id);
void replica_fail_proposals(struct replica *replica, enum error_code code,
                            const char *text);
/* `proposal` waits for the entry at `index`, the newest of the log. */
void replica_wait(struct replica *replica, struct replica_proposal *proposal,
                  uint64_t index);
void replica_fail_reads(struct replica_reads *reads, const char *text);

/* ---- replica_snapshot.c ---- */

/* What is to stay free on the disk: room for the next one, too, which is
 * written before the last is removed. */
uint64_t replica_reserve_bytes(struct replica *replica);
/* Begin one when enough was applied since the last. */
void replica_snapshot_check(struct replica *replica);
/* Stream the newest one to each of the members. */
void replica_snapshot_send(struct replica *replica, const uint32_t *members,
                           unsigned count);
/* peers_events.install */
void replica_snapshot_receive(void *data, uint32_t member, struct call *call);
void replica_snapshot_close(struct replica *replica);
