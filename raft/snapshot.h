/* snapshot.h - the state machine's state in a file: saved by a forked child,
 * verified before it is used.
 *
 * `folder`/snapshot-INDEX is the state after entry INDEX. The store says
 * which one counts and what its SHA-256 is; any other file of that kind is
 * left over from a crash and removed at the next start. */
#pragma once

#include "raft/replica.h"
#include "raft/store.h"

#include <openssl/evp.h>

/* A snapshot that the store has recorded. index 0: none. */
struct snapshot {
    uint64_t index;
    uint64_t term;
    uint8_t sha256[STORE_SHA256_BYTES];
    struct raft_payload *configuration; /* as of index; counted */
};

/* Let go of what it holds. */
void snapshot_fini(struct snapshot *snapshot);

/* "FOLDER/snapshot-INDEX" and `suffix`; freed with free(). */
char *snapshot_path(const char *folder, uint64_t index, const char *suffix);

/* Open it for reading. NOT_FOUND names the file. */
int snapshot_open(const char *folder, uint64_t index, int *fd,
                  struct error *why);

/* Read the file whole, compare its SHA-256, then let `machine` load it.
 * *loaded is the caller's: to exchange or drop. DATA_LOSS names the file.
 * Takes seconds for a large state; on any thread. */
int snapshot_load(const char *folder, const struct snapshot *snapshot,
                  const struct replica_machine *machine, void **loaded,
                  struct error *why);

/* Free a state that is not in use, off the loop's thread. NULL is none. */
void snapshot_drop(uv_loop_t *loop, const struct replica_machine *machine,
                   void *state);

/* Write what `machine` saves, durably, and its SHA-256. Blocks; see below. */
int snapshot_write(const char *folder, uint64_t index,
                   const struct replica_machine *machine,
                   uint8_t sha256[STORE_SHA256_BYTES], struct error *why);

/* Remove what is not snapshot `keep` (0: all). */
int snapshot_clean(const char *folder, uint64_t keep, struct error *why);

/* Remove snapshot `index`, off the loop's thread: a large file takes its
 * time. One that is not there is no matter. */
void snapshot_remove(uv_loop_t *loop, const char *folder, uint64_t index);

/* ---- saving ---- */

/* One at a time; all zero at first. */
struct snapshot_save {
    uint64_t index;
    uint8_t sha256[STORE_SHA256_BYTES];
    /* code 0: the file is durable under its name and sha256 is filled in. */
    void (*done)(struct snapshot_save *save, const struct error *why);
    void *data;
    bool running;

    pid_t child; /* the rest is the operation's */
    uv_poll_t *poll;
    int result_fd;
};

/* Fork; the child saves the state as it is now, after entry `save->index`.
 * RESOURCE_EXHAUSTED and the like when no child could be made; `done` is not
 * called then. The parent pays for copying its page tables only. */
int snapshot_save_start(struct snapshot_save *save, uv_loop_t *loop,
                        const char *folder,
                        const struct replica_machine *machine,
                        struct error *why);

/* Kill the child; `done` is not called. Harmless when none is running. */
void snapshot_save_cancel(struct snapshot_save *save);

/* ---- hashing ---- */

EVP_MD_CTX *snapshot_hash_new(void);
void snapshot_hash_add(EVP_MD_CTX *hash, const void *bytes, size_t length);
void snapshot_hash_end(EVP_MD_CTX *hash, uint8_t sha256[STORE_SHA256_BYTES]);
