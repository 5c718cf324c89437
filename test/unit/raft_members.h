/* raft_members.h - configurations for tests: m1, m2, ... */
#pragma once

#include "raft/core/configuration.h"

/* A configuration that is being made. All zero at first. */
struct raft_roll {
    unsigned count;
    struct raft_member members[RAFT_MEMBERS_MAX];
};

void raft_roll_add(struct raft_roll *roll, uint32_t id, bool learner);
/* The caller's reference. */
struct raft_payload *raft_roll_pack(const struct raft_roll *roll);

/* m1 to m`voters`, then so many learners, less the member `without`. */
struct raft_payload *raft_members(unsigned voters, unsigned learners,
                                  uint32_t without);
