/* check.h - what must always hold, over all masters at once.
 *
 * 1. Election safety: one leader a term (section 5.2), one vote a term.
 * 2. Log matching: index and term name one entry and one history (5.3).
 * 3. Leader completeness: a leader has what earlier terms committed (5.4).
 * 4. State machine safety: masters apply the same at the same index.
 * 5. Durability: what a message or an acknowledgement claims survives the
 *    crash of everybody at that moment.
 * 6. Reads see all that was committed when they were asked.
 * 7. Terms and, within one life, commit indexes only grow.
 * 8. The configuration in effect is the newest in the log (4.1).
 * 9. A leader whose disk hangs makes room.
 * Each check costs O(1) for each entry that changed, so all of them run after
 * every event; a new leader costs one look at each entry. */
#pragma once

#include "test/sim/master.h"

/* An entry that was seen in some log. */
struct seen {
    uint64_t term;
    uint64_t previous_term;
    uint64_t hash; /* of kind and bytes */
    struct seen *older;
};

struct committed {
    uint64_t term;
    uint64_t in_term; /* in which it was committed first */
    uint64_t digest;  /* of the state after it; 0: nobody applied it yet */
};

struct checks {
    struct seen **seen; /* by index */
    uint64_t seen_capacity;
    struct committed *committed; /* by index */
    uint64_t committed_capacity;
    uint64_t last_committed;
    uint32_t members; /* of the last committed configuration; a bit each */
    uint32_t voters;  /* of those */
    uint64_t members_index;
    uint32_t *leaders; /* by term; 0: none yet */
    uint64_t leaders_capacity;
    uint64_t newest_leader_term;
    uint32_t *votes; /* by term and voter */
    uint64_t votes_capacity;
    /* How much happened: a quiet run shows nothing. */
    uint64_t elections, commits, reads, installs, truncations, crashes;
    uint64_t changes, transfers;
};

void checks_fini(struct checks *checks);

/* `master` begins with what a crash left of its disk. */
void check_restart(struct sim *sim, const struct master *master);
/* After every event that reached the core of `master`. */
void check_core(struct sim *sim, struct master *master);
/* Entries from `from` on were handed out to be stored. */
void check_entries(struct sim *sim, struct master *master, uint64_t from);
/* A message leaves. */
void check_message(struct sim *sim, struct master *master,
                   const struct raft_message *message);
/* `index` was applied, or a snapshot up to it was loaded. */
void check_applied(struct sim *sim, struct master *master, uint64_t index);
/* `master` tells a client that `index` of `term` is committed. */
void check_acknowledged(struct sim *sim, const struct master *master,
                        uint64_t index, uint64_t term);
/* `leader` streamed a snapshot, and `to` has answered. */
void check_streamed(struct sim *sim, struct master *leader, unsigned to);
/* A read asked when `must_see` was committed is served. */
void check_read(struct sim *sim, const struct master *master,
                uint64_t must_see);
