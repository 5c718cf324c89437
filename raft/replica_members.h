/* replica_members.h - who belongs to the cluster, and who leads it on purpose.
 * Of a replica's public part. */
#pragma once

#include "raft/replica.h"

/* Who belongs to the cluster, as our log has it, with a change that was
 * proposed in this turn. Borrowed until the loop's next turn or the next of
 * these calls. */
const Kontor__V1__RaftConfiguration *replica_members(struct replica *replica);

/* As leader: what all members' programs can apply. */
struct replica_formats {
    uint32_t least;     /* of all; 0 while one is not heard */
    const char *oldest; /* whose it is; borrowed as above */
    bool heard;         /* that one is, so its program says so itself */
};
/* Learners count. A member's program is known while it is heard; who comes
 * again may come with another. */
struct replica_formats replica_formats(struct replica *replica);

/* Change one member. 0: it is proposed, and completes as a command does, at the
 * index of the configuration. UNAVAILABLE: not the leader;
 * FAILED_PRECONDITION: another change is under way, the leader is to be
 *   removed (hand over first), or those left could not commit anything;
 * ALREADY_EXISTS, NOT_FOUND: the name; INVALID_ARGUMENT: name or address;
 * RESOURCE_EXHAUSTED: there are RAFT_MEMBERS_MAX. */
enum replica_change_kind { REPLICA_ADD, REPLICA_REMOVE };
struct replica_change {
    enum replica_change_kind kind;
    const char *name;
    const char *address; /* REPLICA_ADD */
    uint32_t id;         /* REPLICA_REMOVE; 0: whoever has the name */
};
/* One that is added is a learner; the leader makes it a voter when it has
 * caught up, if its program can apply what was. */
int replica_change(struct replica *replica, struct replica_proposal *proposal,
                   const struct replica_change *change, struct error *why);

/* As leader: are the members that replica_members() tells committed, so that
 * they stay, and another change may be proposed? */
bool replica_members_settled(const struct replica *replica);

/* Hand leadership to `name`, or to whoever has most of the log (NULL).
 * 0: it is under way, machine.changed tells; nothing can be proposed until it
 * is over, or has failed, within an election timeout. NOT_FOUND,
 * FAILED_PRECONDITION (no voter, not heard; to somebody already, and `name` is
 * given), UNAVAILABLE (not the leader). */
int replica_transfer(struct replica *replica, const char *name,
                     struct error *why);
