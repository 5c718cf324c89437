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

enum { STORE_SHA256_BYTES = 32 };

/* Kept free on the disk, and as much as a snapshot takes, so that a full one
 * refuses new commands while what is under way and compaction still go
 * through. */
enum { STORE_RESERVE_BYTES = 16 << 20 };

/* What a store held when it was opened. */
struct store_content {
    uint64_t term;
    uint32_t voted_for;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint8_t snapshot_sha256[STORE_SHA256_BYTES];
    uint32_t id;                        /* whose log it is */
    struct raft_payload *configuration; /* owned; at snapshot_index, valid */
    uint64_t first_index;
    struct raft_entry *entries; /* owned; configurations among them valid */
    size_t entry_count;
};

void store_content_fini(struct store_content *content);

/* Length for the write-ahead log that is enough for most. */
#define STORE_PREPARED_BYTES ((size_t)4 << 20)

struct store_options {
    const char *folder; /* made when it is not there */
    const char *self;   /* our name */
    /* The write-ahead log is made this long when it is opened: writing over
     * what is there already syncs in half the time of appending. */
    size_t prepared_bytes;
    /* For a store that is made: our id, and what the cluster, or our life in
     * it, begins with. */
    uint32_t id;
    struct raft_payload *configuration;
    /* Of a restored one: its file is there, and the log goes on after it. */
    uint64_t term;
    uint64_t snapshot_index; /* 0: none */
    uint64_t snapshot_term;
    uint8_t snapshot_sha256[STORE_SHA256_BYTES];
};

/* Is there a store in `folder`? */
bool store_exists(const char *folder);

/* Open or create `folder`/raft.db for master `self`; a store of another one,
 * or one that another process has open, is FAILED_PRECONDITION.
 * DATA_LOSS names what is damaged: the file, a gap in the log, a checksum. */
int store_open(struct store **out, const struct store_options *options,
               struct store_content *content, struct error *why);

/* Begin to take requests; `done` and `closed` run on `loop`. */
void store_start(struct store *store, uv_loop_t *loop);

/* Close one that was not started. */
void store_free(struct store *store);

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
};

/* `write` belongs to the store until `done` runs, on the loop's thread. */
void store_submit(struct store *store, struct store_write *write);

struct store_compaction {
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint8_t snapshot_sha256[STORE_SHA256_BYTES];
    struct raft_payload *configuration; /* at snapshot_index; borrowed until
                                           `done` */
    uint64_t keep_from;                 /* entries before it are dropped */
    bool replaces_log; /* an installed snapshot: drop the whole log, which
                          goes on at snapshot_index + 1 */
    void (*done)(struct store_compaction *compaction);
    void *data;
};

/* Record a snapshot and drop the log's prefix, in one transaction; in order
 * with writes. As store_submit() otherwise. */
void store_compact(struct store *store, struct store_compaction *compaction);

/* Bytes left on the store's disk, as of a transaction that ended not more than
 * some ms before the last one or, where they were fewer than the reserve then,
 * as of now. */
uint64_t store_free_bytes(struct store *store, uint64_t reserve_bytes);

/* Finish what was submitted, then close one that was started. */
void store_close(struct store *store, void (*closed)(void *data), void *data);
