/* propose.h - a command on its way into the log. */
#pragma once

#include "kontor/v1/command.pb-c.h"
#include "raft/replica.h"

/* Stamp the command with the wall clock and propose it. `proposal` belongs to
 * the replica until its `done` runs; the command is serialised at once. */
void propose(struct replica *replica, struct replica_proposal *proposal,
             Kontor__V1__Command *command);
