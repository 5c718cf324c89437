/* store_mark.h - how much of SQLite's write-ahead log was reported durable.
 *
 * A log's last transaction whose checksum is wrong is either one that a crash
 * cut short, or one that was reported and has rotted since; the log alone
 * cannot tell (Alagappan et al., "Protocol-Aware Recovery", 2018, 3.3). So a
 * file beside it, raft.db-mark, names the log and how many of its frames were
 * reported. It is written after they were synced, so it never claims too much,
 * and is itself synced later, so it costs a commit nothing, but for one in 64
 * (store_wal.h): until then a power cut may bring back what was synced before,
 * and no older one. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { STORE_SALT_BYTES = 8 };

struct store_mark {
    int fd;
    bool known; /* false: there was none, or it was damaged */
    bool unsynced;
    uint8_t salt[STORE_SALT_BYTES]; /* of the log that is meant */
    uint64_t frames;                /* 0: raft.db has all of it */
    uint64_t number; /* while it is unsynced, what was synced has one less */
};

/* Open or create `path`, lock it for this process, and read it.
 * FAILED_PRECONDITION when another process has it. */
int store_mark_open(struct store_mark *mark, const char *path,
                    struct error *why);
void store_mark_close(struct store_mark *mark);

/* Write it, with `salt` as it is; or sync what was written. */
int store_mark_set(struct store_mark *mark, uint64_t frames, struct error *why);
int store_mark_sync(struct store_mark *mark, struct error *why);
