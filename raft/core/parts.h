/* parts.h - what the files of the core call in each other. */
#pragma once

#include "raft/core/state.h"

/* ---- raft.c: roles ---- */

/* `term` is the present one or newer; a newer one clears the vote. */
void raft_become_follower(struct raft *raft, uint64_t term, uint32_t leader,
                          struct raft_output *out);
/* Enter a newer term, with a vote or without. */
void raft_adopt_term(struct raft *raft, uint64_t term, uint32_t vote,
                     struct raft_output *out);
/* The leader of `term`, present or newer, was heard. */
void raft_follow(struct raft *raft, uint64_t term, uint32_t leader,
                 struct raft_output *out);
/* Time does not go back. */
void raft_pass_time(struct raft *raft, uint64_t now_ms);

/* ---- members.c: peers by the configuration in effect ---- */

/* The peer of `member`; NULL for a stranger. */
struct raft_peer *raft_peer_of(struct raft *raft, uint32_t member);
bool raft_is_self(const struct raft *raft, const struct raft_peer *peer);
/* What the quorum-th best voter has of what `values` says by peer. */
uint64_t raft_quorum_value(const struct raft *raft,
                           const uint64_t values[RAFT_MEMBERS_MAX]);
/* Append to the log, and cut it, with the configurations in it; then let
 * raft_members_settle() look at them. */
void raft_append_entry(struct raft *raft, const struct raft_entry *entry);
void raft_truncate(struct raft *raft, uint64_t from);
void raft_members_settle(struct raft *raft, struct raft_output *out);

/* ---- send.c ---- */

/* Takes the entries. Fills in from and, where it is 0, the term. */
void raft_send(struct raft *raft, struct raft_message *message,
               struct raft_output *out);

/* ---- durable.c: writes under way ---- */

void raft_store_state(struct raft *raft, struct raft_output *out);
/* The log changed from `from` on. */
void raft_store_entries(struct raft *raft, uint64_t from,
                        struct raft_output *out);
/* The log was truncated to `last_index`. */
void raft_store_truncated(struct raft *raft, uint64_t last_index);
bool raft_state_durable(const struct raft *raft);

/* ---- election.c (section 5.2, chapters 6.2 and 9.6) ---- */

void raft_election_reset_timer(struct raft *raft);
void raft_election_start(struct raft *raft, struct raft_output *out);
/* A vote is asked for; is it to be taken as not heard (chapter 4.2.3)? */
bool raft_election_disturbs(const struct raft *raft,
                            const struct raft_message *in);
/* The leader seems to be gone. */
void raft_election_hurry(struct raft *raft, struct raft_output *out);
/* The leader hands over. */
void raft_on_timeout_now(struct raft *raft, const struct raft_message *in,
                         struct raft_output *out);
void raft_on_pre_vote(struct raft *raft, const struct raft_message *in,
                      struct raft_output *out);
void raft_on_vote(struct raft *raft, const struct raft_message *in,
                  struct raft_output *out);
void raft_on_vote_result(struct raft *raft, const struct raft_message *in,
                         struct raft_output *out);
/* The own vote may have become durable. */
void raft_election_check(struct raft *raft, struct raft_output *out);

/* ---- leader.c: beginning and end of a reign ---- */

void raft_become_leader(struct raft *raft, struct raft_output *out);
void raft_leader_beat(struct raft *raft, struct raft_output *out);
void raft_leader_tick(struct raft *raft, struct raft_output *out);
uint64_t raft_leader_next_tick_ms(const struct raft *raft);

/* ---- transfer.c (chapter 3.10) ---- */

/* `peer` told what it has: is it time to hand over to it? */
void raft_transfer_check(struct raft *raft, const struct raft_peer *peer,
                         struct raft_output *out);
/* It did not take over in time: go on. */
void raft_transfer_expire(struct raft *raft, struct raft_output *out);

/* ---- replication.c: the leader's side of section 5.3 ---- */

void raft_peer_start(const struct raft *raft, struct raft_peer *peer);
/* Guess anew, after a loss or a refusal; never below what it has. */
void raft_peer_probe(struct raft_peer *peer, uint64_t next_index);
/* Is what it needs next, and the term before that, still in the log? */
bool raft_peer_reachable(const struct raft *raft, const struct raft_peer *peer);
void raft_peer_disconnected(struct raft_peer *peer);
/* Send `peer` what it lacks, as far as limits allow. */
void raft_replicate(struct raft *raft, struct raft_peer *peer,
                    struct raft_output *out);
void raft_replicate_all(struct raft *raft, struct raft_output *out);
void raft_heartbeat_all(struct raft *raft, struct raft_output *out);
void raft_on_append_result(struct raft *raft, const struct raft_message *in,
                           struct raft_output *out);

/* ---- append.c: the follower's side of section 5.3 ---- */

void raft_on_append(struct raft *raft, const struct raft_message *in,
                    struct raft_output *out);
/* More became durable: tell the leader. */
void raft_append_acknowledge(struct raft *raft, struct raft_output *out);

/* ---- commit.c (sections 5.3, 5.4.2) ---- */

void raft_commit_to(struct raft *raft, uint64_t index, struct raft_output *out);
void raft_commit_count(struct raft *raft, struct raft_output *out);

/* ---- read.c (chapter 6.4) ---- */

void raft_read_check(struct raft *raft, struct raft_output *out);
void raft_read_lose(struct raft *raft, struct raft_output *out);
