/* store_wal.h - has SQLite's write-ahead log lost anything?
 *
 * SQLite takes the first frame whose checksum is wrong for the end of the
 * log. That is right for the transaction a crash cut short and silent loss
 * for a bit that rotted in one that was reported durable. And what SQLite has
 * recovered hides what stands in raft.db, though that may be newer: a log
 * that was moved into raft.db and then lost a frame brings old pages back.
 *
 * So the log is judged here before SQLite opens it, and after each checkpoint
 * it is marked as done with. */
#pragma once

#include "raft/store_mark.h"

#include <stddef.h>

struct store_wal {
    int fd;
    char *path; /* owned */
    struct store_mark mark;
    bool needed; /* raft.db may lack what the log holds */
};

/* Open or create `path`-wal and `path`-mark, before SQLite does. DATA_LOSS
 * when the log lacks what was reported durable or, where the mark cannot tell,
 * more than the one transaction that may have been under way in a crash.
 *
 * If it is needed it is synced, and stays for SQLite to recover: a process
 * that a failed sync ended leaves pages that this one can read and a power
 * cut still takes away. If not, it is cleared, and made `prepared_bytes` long.
 */
int store_wal_open(struct store_wal *wal, const char *path,
                   size_t prepared_bytes, struct error *why);
void store_wal_close(struct store_wal *wal);

/* Transactions up to `frames`, counted from the log's beginning, are synced,
 * and are about to be reported. One sync for about one call in 64. */
int store_wal_note(struct store_wal *wal, uint64_t frames, struct error *why);

/* Make what was noted proof against a power cut. One sync, if anything is
 * new. */
int store_wal_settle(struct store_wal *wal, struct error *why);

/* raft.db has all that the log holds, and is synced. Before SQLite starts the
 * log again. */
int store_wal_retire(struct store_wal *wal, struct error *why);
