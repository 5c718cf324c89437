/* store_file.h - the SQLite file beneath store.h: what stands in it, how it
 * is verified, and its transactions. One thread at a time. */
#pragma once

#include "raft/store.h"
#include "raft/store_wal.h"

#include <sqlite3.h>

/* Prepared once, used for every transaction. */
enum store_statement {
    STORE_BEGIN,
    STORE_COMMIT,
    STORE_STATE,
    STORE_INSERT,
    STORE_TRUNCATE,
    STORE_TRIM,
    STORE_STATEMENT_COUNT,
};

/* The one row that changes beside the entries. */
struct store_state {
    uint64_t term;
    uint32_t voted_for;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint8_t snapshot_sha256[STORE_SHA256_BYTES];
    struct raft_payload *configuration; /* at snapshot_index; owned, a copy:
                                           counts are of one thread */
    uint64_t first_index;
};

struct store_file {
    char *path; /* owned */
    struct store_wal wal;
    sqlite3 *db;
    sqlite3_stmt *statements[STORE_STATEMENT_COUNT];
    uint32_t identity; /* checksum of whose it is */
    struct store_state state;
    bool state_changed;  /* in this transaction */
    uint64_t last_index; /* first_index - 1 when the log is empty */
    uint64_t trimmed_to; /* rows before it are gone */
    unsigned wal_pages;  /* in the write-ahead log */
};

/* As store_open(). */
int store_file_open(struct store_file *file,
                    const struct store_options *options,
                    struct store_content *content, struct error *why);
/* Moves what the write-ahead log holds into the file. */
void store_file_close(struct store_file *file);
/* Writes nothing more, as if the process died. */
void store_file_abandon(struct store_file *file);

/* One transaction: begin, any number of writes and compactions, commit. After
 * an error, here or below, nothing but store_file_abandon() is allowed. */
int store_file_begin(struct store_file *file, struct error *why);
int store_file_write(struct store_file *file, const struct store_write *write,
                     struct error *why);
int store_file_compact(struct store_file *file,
                       const struct store_compaction *compaction,
                       struct error *why);
int store_file_commit(struct store_file *file, struct error *why);

/* Rows before first_index that are still to be deleted. */
static inline bool store_file_has_garbage(const struct store_file *file)
{
    return file->trimmed_to < file->state.first_index;
}

/* Move what the write-ahead log holds into the file. */
int store_file_checkpoint(struct store_file *file, struct error *why);

/* Have the last transactions been committed since store_file_settle()? Until
 * then, should a power cut come first, damage to the very last one would be
 * taken for its end (store_mark.h). */
static inline bool store_file_is_unsettled(const struct store_file *file)
{
    return file->wal.mark.unsynced;
}

int store_file_settle(struct store_file *file, struct error *why);
