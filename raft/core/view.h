/* view.h - what may be asked of a core. Nothing here changes it. */
#pragma once

#include "raft/core/configuration.h"

struct raft;

enum raft_role {
    RAFT_FOLLOWER,
    RAFT_PRE_CANDIDATE,
    RAFT_CANDIDATE,
    RAFT_LEADER,
};

enum raft_role raft_role(const struct raft *raft);
uint64_t raft_term(const struct raft *raft);
uint32_t raft_vote(const struct raft *raft);   /* or RAFT_NOBODY */
uint32_t raft_leader(const struct raft *raft); /* or RAFT_NOBODY */
uint64_t raft_first_index(const struct raft *raft);
uint64_t raft_last_index(const struct raft *raft);
uint64_t raft_commit_index(const struct raft *raft);
/* Committed and durable here. */
uint64_t raft_settled_index(const struct raft *raft);
/* A leader's first entry of its term, UINT64_MAX when it leads not. */
uint64_t raft_term_start_index(const struct raft *raft);
/* A leader may serve once its first entry is committed (section 8). */
bool raft_leader_ready(const struct raft *raft);
/* May commands be proposed: it leads, and nobody is about to take over. */
bool raft_accepts(const struct raft *raft);
/* raft_transfer() has begun, and has not ended. */
bool raft_hands_over(const struct raft *raft);
/* May raft_transfer() begin: it leads, and hands nothing over yet. */
bool raft_may_transfer(const struct raft *raft);
/* May another configuration be proposed: a leader that hands nothing over, has
 * committed in its own term (the bug of chapter 4's erratum) and whose present
 * configuration is committed. */
bool raft_may_change(const struct raft *raft);
/* In effect. Borrowed until the next event. */
const struct raft_configuration *raft_configuration(const struct raft *raft);
/* In effect at `index`, not before the snapshot. Borrowed. */
const struct raft_configuration *raft_configuration_at(const struct raft *raft,
                                                       uint64_t index);
/* Is this member a voter, as it knows? */
bool raft_votes(const struct raft *raft);
/* Its oldest write is under way for so long that it may not lead. */
bool raft_disk_hangs(const struct raft *raft);
/* As leader: was the member heard within an election timeout? */
bool raft_hears(const struct raft *raft, uint32_t member);
/* Borrowed until the next event; first_index <= index <= last_index. */
const struct raft_entry *raft_entry_at(const struct raft *raft, uint64_t index);
/* The index up to which `member` is known to have the log durably; as
 * leader. */
uint64_t raft_match_index(const struct raft *raft, uint32_t member);
