/* format.h - from when on commands of a newer format are proposed.
 *
 *   the programs of all masters know it
 *     --> the leader proposes a command of that format, which does nothing else
 *     --> applied: the state has reached it, for good
 *     --> commands of it are proposed
 *
 * So masters are upgraded one by one, in any order, and back until the last:
 * none meets what it does not know. */
#pragma once

#include "base/error.h"
#include "raft/replica.h"

struct master;

/* The command that raises it. */
struct format_raise {
    struct replica_proposal proposal;
    bool under_way;
    uint64_t again_ms; /* not before; after a failure */
    uint64_t lead_ms;  /* when we began to lead */
};

/* We began to lead. */
void format_lead(struct master *master);

/* Raise the format when that can be done; at the end of a loop turn. */
void format_step(struct master *master);

/* May a command of `format` be proposed? 0, or FAILED_PRECONDITION, which names
 * a master that keeps the cluster from it; UNAVAILABLE: perhaps very soon. */
int format_check(struct master *master, uint32_t format, struct error *why);
