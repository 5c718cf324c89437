/* torture.h - one run of a store on a disk that fails. */
#pragma once

#include "raft/store_file.h"
#include "test/sim/disk/disk.h"
#include "test/sim/disk/expected.h"
#include "test/sim/story.h"

#include "base/random.h"

/* What is played. */
enum torture_theme {
    TORTURE_DRAWN, /* as the seed has it */
    /* A log that is started again while the one before it still stands there,
     * and what may become of that. */
    TORTURE_RESTART,
    /* Half a checkpoint, then rot: what stands in raft.db needs the log. */
    TORTURE_CHECKPOINT,
    TORTURE_TAIL, /* rot in transactions that no mark is of any more */
};

/* Where trouble comes from: the seed, or one fault at one operation of a run
 * that is otherwise undisturbed. */
struct torture_plan {
    uint64_t seed;
    enum disk_fault only;     /* DISK_SOUND: the seed draws faults and rot */
    uint64_t at;              /* operation, from 1 */
    enum torture_theme theme; /* else `only` is the power, at `at` of it */
};

/* What runs have seen. */
struct torture_counts {
    uint64_t transactions;
    uint64_t openings;
    uint64_t cuts;
    uint64_t deaths; /* of the process alone */
    uint64_t found;  /* a transaction under way that was there */
    uint64_t lost;   /* and one that was not */
    uint64_t rots;
    uint64_t refused;    /* of them */
    uint64_t exposed;    /* taken for the end of a log */
    uint64_t operations; /* of the disk */
};

struct torture {
    struct torture_plan plan;
    struct disk *disk;
    struct random random; /* what is done; the disk has its own */
    struct story story;
    struct torture_counts counts;

    struct store_file file;
    bool open;
    struct raft_payload *members[2]; /* owned; configurations to take */
    struct expected acknowledged;
    struct expected under_way; /* acknowledged + what commit was called for */
    bool committing;           /* under_way may be there */
    struct expected before;    /* acknowledged less its last transaction */
    bool unsettled;            /* that one is not proof against a power cut */
    bool exposed;              /* which came */
    bool rotten;
    bool over;      /* damage was refused: there is nothing to go on with */
    uint64_t stamp; /* in every payload, so that none is like another */
};

/* Run `plan`. True: every check held; else story.failure tells. `torture`
 * stays the caller's to read. */
bool torture_run(struct torture *torture, const struct torture_plan *plan,
                 enum story_telling telling);

/* ---- torture_work.c: what is asked of the store ---- */

/* One transaction of random writes and compactions; true when it returned.
 * What it leaves is in acknowledged, or may be in under_way. */
bool torture_transact(struct torture *torture, struct error *why);
