/* raft.h - the Raft algorithm as one struct stepped by events.
 *
 * Ongaro, "Consensus: Bridging Theory and Practice" (2014); sections named in
 * the code are the extended paper's, chapters the dissertation's.
 *
 * Pure: no I/O, clock, thread, log or randomness of its own. It never calls
 * out: see output.h for what an event wants done, and how; view.h for what
 * may be asked. */
#pragma once

#include "raft/core/config.h"
#include "raft/core/output.h"
#include "raft/core/view.h"

struct raft;

struct raft *raft_new(const struct raft_config *config,
                      const struct raft_restart *restart, uint64_t now_ms);
void raft_free(struct raft *raft);

/* ---- events; now_ms never goes back ---- */

/* Time passes. Call it at raft_next_tick_ms() or earlier. */
void raft_tick(struct raft *raft, uint64_t now_ms, struct raft_output *out);
uint64_t raft_next_tick_ms(const struct raft *raft);
/* The same for who was held up, and has yet to hear what was said meanwhile:
 * a leader says that it is there, and nobody's silence is judged. */
void raft_beat(struct raft *raft, uint64_t now_ms, struct raft_output *out);

/* A message from another member; what makes no sense is ignored. Payloads
 * are shared: the message stays the caller's. */
void raft_receive(struct raft *raft, const struct raft_message *message,
                  uint64_t now_ms, struct raft_output *out);

/* Append commands to the log; only when raft_accepts() (assert). Returns the
 * index of the first; they are committed, in the current term, or lost.
 * Payloads are shared: the caller keeps its references. One call for all
 * commands of a loop turn makes one message for each follower. */
uint64_t raft_propose(struct raft *raft, struct raft_payload *const *commands,
                      size_t count, struct raft_output *out);

/* Every write up to `store_id` is durable (chapter 10.2.1: a leader's disk
 * write runs in parallel). Writes have ids because index and term could not
 * tell an entry from itself, truncated and appended again (ABA). */
void raft_stored(struct raft *raft, uint64_t store_id, struct raft_output *out);

/* The connection from `member`'s process was closed: when that is the leader,
 * its process is gone; pre-vote at once instead of waiting for the timeout
 * (one member at once, the others a little later, so that they do not split
 * the vote). Only a hint: wrong ones cost a pre-vote round. */
void raft_peer_lost(struct raft *raft, uint32_t member, uint64_t now_ms,
                    struct raft_output *out);

/* Append a configuration, which must differ from the present one in one
 * member that is added, removed, made a voter or a learner, and must not
 * remove this leader's own vote; only when raft_may_change() (assert). The
 * payload is shared. Returns its index. */
uint64_t raft_propose_configuration(struct raft *raft,
                                    struct raft_payload *payload,
                                    struct raft_output *out);

/* Hand leadership to `member`, another voter (chapter 3.10); only when
 * raft_may_transfer() (assert). From when it has what is
 * in the log now, nothing is accepted; until it leads, or an election timeout
 * has passed without that. */
void raft_transfer(struct raft *raft, uint32_t member, uint64_t now_ms,
                   struct raft_output *out);

/* Linearizable read (ReadIndex, chapter 6.4, or by lease); only as leader
 * (assert). Returns the read's id, for any number of reads; see reads_ready.
 * With leases now_ms is to be read after the newest of them was asked. */
uint64_t raft_read(struct raft *raft, uint64_t now_ms, struct raft_output *out);

/* A local snapshot up to `index` is durable: entries up to `keep_from` - 1
 * are dropped (keep_from <= index + 1: a tail stays for slow followers). */
void raft_compact(struct raft *raft, uint64_t index, uint64_t keep_from);

/* A chunk of a snapshot stream arrived from the leader of `term`: adopts the
 * term, counts as a heartbeat. False: the term is old, refuse it. */
bool raft_snapshot_incoming(struct raft *raft, uint32_t from, uint64_t term,
                            uint64_t now_ms, struct raft_output *out);
/* A snapshot arrived whole. False: the log has all of it (and now knows that
 * it is committed), or it cannot be one of what is committed; drop it and
 * answer the stream with raft_settled_index().
 * True: in the same turn, without any event between, load the state, call
 * raft_installed() and submit its write. */
bool raft_snapshot_arrived(struct raft *raft, uint64_t index, uint64_t term,
                           struct raft_output *out);
/* A snapshot that was asked for became the state, and its file is durable.
 * `out` must be empty; its write is to drop the whole log and record the
 * snapshot, in one transaction. `configuration`, valid, is shared. */
void raft_installed(struct raft *raft, uint64_t index, uint64_t term,
                    struct raft_payload *configuration,
                    struct raft_output *out);
/* The snapshot stream to `member` ended; `index` is what it has durably now,
 * 0 when the stream failed. */
void raft_snapshot_sent(struct raft *raft, uint32_t member, uint64_t index,
                        uint64_t now_ms, struct raft_output *out);
