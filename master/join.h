/* join.h - a new master learns which cluster it is to be part of. */
#pragma once

#include "kontor/v1/cluster.pb-c.h"
#include "raft/replica.h"

/* The masters of a cluster, as one of them told. */
struct join_members {
    struct replica_member members[RAFT_MEMBERS_MAX];
    unsigned count;
    char names[RAFT_MEMBERS_MAX][RAFT_NAME_MAX];
    char addresses[RAFT_MEMBERS_MAX][RAFT_ADDRESS_MAX];
};

/* Does the answer of one master say that `name` has been added? It must list
 * it as a learner: a voter of that name is one before it, which whoever takes
 * its id would vote for without its log. And it must be as new as the
 * leader's log: ids of members that were removed may stand in any other. */
bool join_is_told(const Kontor__V1__MastersResponse *told, const char *name);

/* Ask `masters`, all but the one called `name`, until one of them says that
 * `name` has been added. Blocks, on a loop of its own, for as long as that
 * takes; INVALID_ARGUMENT when there is nobody to ask. */
int join_wait(const struct replica_member *masters, unsigned count,
              const char *name, struct tls_context *tls,
              struct join_members *out, struct error *why);
