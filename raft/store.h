/* store.h - the log on disk: one SQLite file, one thread.
 *
 * Requests are written in the order they were submitted; all that wait when
 * a transaction ends share the next one (group commit). A failed write or
 * sync ends the process: after a failed fsync nothing may be retried
 * (Rebello et al., "Can Applications Recover from fsync Failures?", 2020). */
#pragma once

#include "base/error.h"
#include "raft/core/raft.h"

#include <uv.h>

struct store;

/* What a store held when it was opened. */
struct store_content {
    uint64_t term;
    uint32_t voted_for;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint64_t first_index;
    struct raft_entry *entries; /* owned */
    size_t entry_count;
};

void store_content_fini(struct store_content *content);

/* Open or create `folder`/raft.db for master `self` of `cluster`; a store of
 * another one is FAILED_PRECONDITION. DATA_LOSS names what is damaged: the
 * file, a gap in the log, a checksum. */
int store_open(struct store **out, uv_loop_t *loop, const char *folder,
               const char *self, struct store_content *content,
               struct error *why);

struct store_write {
    bool has_state;
    uint64_t term;
    uint32_t voted_for;
    uint64_t from;              /* 0: no entries */
    struct raft_entry *entries; /* borrowed until `done`; replace the log
                                   from `from` on */
    size_t entry_count;
    void (*done)(struct store_write *write); /* durable */
    void *data;
    struct store_write *next; /* the store's */
};

/* `write` belongs to the store until `done` runs, on the loop's thread. */
void store_submit(struct store *store, struct store_write *write);

struct store_compaction {
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint8_t snapshot_sha256[32];
    uint64_t keep_from; /* entries before it are dropped */
    bool replaces_log;  /* an installed snapshot: drop the whole log */
    void (*done)(struct store_compaction *compaction);
    void *data;
    struct store_compaction *next;
};

/* Record a snapshot and drop the log's prefix, in one transaction. */
void store_compact(struct store *store, struct store_compaction *compaction);

/* Finish what was submitted, then close. */
void store_close(struct store *store, void (*closed)(void *data), void *data);
