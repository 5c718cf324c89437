/* master.h - one simulated master: the real core, a disk, a state machine. */
#pragma once

#include "test/sim/disk.h"
#include "test/sim/event.h"
#include "test/sim/machine.h"

/* A message that waits until a write is durable. */
struct held {
    uint64_t store_id;
    struct raft_message message; /* owned */
};

struct waiting_read {
    uint64_t id;
    uint64_t must_see; /* committed when it was asked */
};

/* A command that its client waits for. */
struct waiting_command {
    uint64_t index;
    uint64_t term;
};

enum { OLD_VOTES_MAX = 8 };

/* Answers that it got long ago. */
struct old_answers {
    struct raft_message votes[OLD_VOTES_MAX]; /* a ring */
    size_t vote_count;
    struct raft_message match[RAFT_MEMBERS_MAX]; /* each one's highest */
    struct raft_message newest[RAFT_MEMBERS_MAX];
};

/* A snapshot stream coming in. */
struct incoming {
    uint64_t stream_id; /* 0: none */
    uint64_t chunks;    /* that arrived in order */
};

/* The snapshot that was last streamed to somebody, and how often. */
struct streamed {
    uint64_t term;
    uint64_t index;
    unsigned times;
};

struct master {
    unsigned position; /* its number is one more */
    bool exists;       /* it is or was a member */
    bool away;         /* down until all have come back */
    bool retired;      /* its machine was taken away */
    bool up;
    uint64_t incarnation;
    int64_t clock_offset_ms;
    uint64_t clock_rate_permille; /* of true time */
    uint64_t stalled_until_us;    /* the process does not run */

    struct raft *raft; /* NULL when down */
    struct raft_output out;
    bool flush_due;
    uint64_t tick_at_us; /* scheduled; UINT64_MAX: none */
    struct disk disk;

    void *machine; /* its state; NULL when down */
    uint64_t applied;
    bool compacting;

    struct held *held;
    size_t held_count, held_capacity;
    struct waiting_read *reads;
    size_t read_count, read_capacity;
    struct waiting_command *commands; /* by index */
    size_t command_first, command_count, command_capacity;
    uint64_t streams_to[RAFT_MEMBERS_MAX]; /* ids; 0: none under way */
    uint64_t streams_index[RAFT_MEMBERS_MAX];
    struct incoming incoming;

    struct old_answers old;
    bool votes_late; /* those that it asks for */

    /* For the checks. */
    uint64_t checked_term, checked_commit;
    enum raft_role checked_role;
    struct streamed streamed[RAFT_MEMBERS_MAX];
};

/* A machine with an empty disk. Takes the reference. */
void master_init(struct sim *sim, unsigned position,
                 struct raft_payload *founders);
void master_fini(struct master *master);
void master_start(struct sim *sim, struct master *master);
void master_crash(struct sim *sim, struct master *master);

uint64_t master_now_ms(const struct sim *sim, const struct master *master);

/* An event reached the core: check, and do what it wants, now or in a moment
 * together with what comes until then, as a loop turn would. */
void master_stepped(struct sim *sim, struct master *master);
void master_flush(struct sim *sim, struct master *master);

/* A client's call. */
void master_propose(struct sim *sim, struct master *master, unsigned count);
void master_read(struct sim *sim, struct master *master);
