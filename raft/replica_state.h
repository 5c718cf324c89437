/* replica_state.h - what the files of the replica share. Nobody else includes
 * it.
 *
 * Invariants:
 * 1. Every event of a loop turn appends to one `out`; it is performed at the
 *    end of the turn, and of a tick (replica.c).
 * 2. Writes reach the store in the order of their ids, before messages of the
 *    same output leave. A message in `held` leaves when durable_id reaches its
 *    id.
 * 3. applied_index <= the core's commit index; all that is applied was
 *    submitted to the store before.
 * 4. `pending` is in order of index, each of the term that we lead in.
 * 5. `snapshot` is the one that the store has recorded: its file is what a
 *    start would load and what is sent to others.
 * 6. A save is begun when none is running, none is being recorded (compacting),
 *    and no snapshot that came is whole and waits to be installed. An install
 *    kills a save that runs. One that is being recorded then is recorded first,
 *    as the store does one thing after another: so `snapshot` only grows.
 * 7. proposal_bytes is what the commands of this turn that have a payload, and
 *    those pending, say together.
 */
#pragma once

#include "raft/codec.h"
#include "raft/install.h"
#include "raft/peers.h"
#include "raft/replica_members.h"
#include "raft/replica_queues.h"
#include "raft/snapshot.h"
#include "raft/store.h"

/* What machine.changed was last told of. */
struct replica_known {
    enum raft_role role;
    uint64_t term;
    uint32_t leader;
    bool ready, hands_over;
    const struct raft_payload *members; /* compared, not looked at */
};

/* A snapshot's way to a member. */
struct replica_send {
    uint32_t member; /* RAFT_NOBODY: free */
    struct install_send send;
};

struct replica {
    uv_loop_t *loop;
    char *folder;
    struct replica_machine machine;
    uint64_t snapshot_entries;
    uint64_t snapshot_bytes;
    unsigned apply_entries;
    uint64_t apply_left_ns; /* in this turn of the loop */
    uint32_t format;
    uint32_t self;
    char name[RAFT_NAME_MAX];               /* our own */
    Kontor__V1__RaftConfiguration *members; /* owned; as the core has it */

    struct raft *raft;
    struct raft_output out;
    bool stepped;               /* `out` may hold something */
    uint64_t contradicted_term; /* that an error was logged for */
    struct replica_known known;

    uv_timer_t tick;
    uint64_t tick_at_ms;    /* what `tick` is set to, sooner with work left; 0:
                               nothing */
    uint64_t tick_due_ms;   /* when the core's is, or is put off to */
    unsigned tick_put_offs; /* in succession */
    uv_prepare_t prepare;
    uv_check_t check;

    struct store *store;
    uint64_t submitted_id; /* newest write given to the store */
    uint64_t durable_id;
    struct replica_held *held; /* owned; a ring would be of no use: it is */
    size_t held_first;         /* empty most of the time, then starts anew */
    size_t held_count;
    size_t held_capacity;
    struct peers *peers;

    struct replica_command *commands; /* owned: of this turn */
    size_t command_count;
    size_t command_capacity;
    struct replica_proposals pending;
    size_t proposal_bytes;          /* of all these */
    struct replica_reads new_reads; /* of this turn */
    struct replica_reads reads;     /* that the core knows */

    uint64_t commit_index; /* what is to be applied, maybe not at once */
    uint64_t applied_index;
    uint64_t applied_bytes; /* since the last snapshot */
    struct snapshot snapshot;
    uint64_t sized_index; /* of the snapshot whose size is ... */
    uint64_t sized_bytes;
    struct snapshot_save save;
    uint64_t save_term;
    uint64_t save_bytes; /* of what was applied, those that it has */
    uint64_t save_started_ms;
    uint64_t save_again_ms; /* after a failure not before then */
    uint64_t way_again_ms;  /* nor the next replica_make_way() */
    bool compacting;
    struct replica_send sends[RAFT_MEMBERS_MAX];
    struct install_receive *receive; /* NULL: none */
    bool receive_of_stranger;        /* by name none of the members */

    bool closing;
    unsigned open_parts;
    void (*closed)(void *data);
    void *closed_data;
};
