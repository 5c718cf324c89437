/* disk.h - a master's disk: what a crash leaves of its writes.
 *
 * Writes become durable in their order, all that wait when a sync ends share
 * the next one. A crash loses what waits; of the sync under way some, none or
 * all may have made it. */
#pragma once

#include "base/random.h"
#include "raft/core/raft.h"

/* The state at `index`, as the machine saved it. Counted. */
struct snapshot {
    unsigned references;
    uint64_t index;
    uint64_t term;
    uint64_t digest;
    struct raft_payload *configuration; /* owned */
    size_t length;
    uint8_t bytes[];
};

struct snapshot *snapshot_take(struct snapshot *snapshot); /* NULL-safe */
void snapshot_drop(struct snapshot *snapshot);             /* NULL-safe */

struct disk_write {
    uint64_t store_id; /* 0: a compaction */
    uint64_t since_us;
    bool has_state;
    uint64_t term;
    uint32_t voted_for;
    uint64_t from; /* 0: no entries */
    struct raft_entry *entries;
    size_t entry_count;
    struct snapshot *snapshot; /* recorded, when not NULL */
    bool replaces_log;
    uint64_t keep_from;
    unsigned stream_from; /* installed: whom to tell, */
    uint64_t stream_id;   /* and of which stream */
};

struct disk {
    /* Durable. */
    struct raft_payload *founders; /* owned: what it began with */
    uint64_t term;
    uint32_t voted_for;
    struct snapshot *snapshot; /* or NULL */
    uint64_t first_index;
    struct raft_entry *entries;
    size_t entry_count;
    size_t entry_capacity;

    /* Under way: the first `syncing` of the waiting. */
    struct disk_write *waiting;
    size_t waiting_count;
    size_t waiting_capacity;
    size_t syncing;
    uint64_t submitted_id;
    uint64_t durable_id;
    uint64_t hangs_until_us;
};

/* Empty, of a member of `founders`; takes the reference. */
void disk_init(struct disk *disk, struct raft_payload *founders);
void disk_fini(struct disk *disk);

/* Takes what `write` owns. */
void disk_submit(struct disk *disk, const struct disk_write *write);

/* Begin to sync all that waits; false when nothing does or one runs. */
bool disk_sync_begin(struct disk *disk);
/* The first `syncing` writes are durable. False: they do not follow what the
 * disk holds. The caller looks at them, then lets go of them. */
bool disk_sync_end(struct disk *disk);
void disk_sync_forget(struct disk *disk);
void disk_crash(struct disk *disk, struct random *random);

uint64_t disk_last_index(const struct disk *disk);
/* Is the entry, or a snapshot that contains it, durable? */
bool disk_has(const struct disk *disk, uint64_t index, uint64_t term);
/* What a restart finds. Borrowed. */
struct raft_restart disk_content(const struct disk *disk);
