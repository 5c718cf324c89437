/* store_load.h - read and verify what raft.db holds. */
#pragma once

#include "raft/store_file.h"

enum {
    STORE_APPLICATION_ID = 0x4b4e5452, /* "KNTR" */
    STORE_VERSION = 1,                 /* of the tables */
};

/* Verify the file (its pages, whose it is, its state, every entry), fill in
 * `file`'s state and `content`. DATA_LOSS names what is damaged. */
int store_load(struct store_file *file, const struct store_options *options,
               struct store_content *content, struct error *why);

/* CRC-32 over the fields and the bytes; the state's goes on from the
 * identity's. */
uint32_t store_entry_checksum(uint64_t index, const struct raft_entry *entry);
uint32_t store_identity_checksum(const char *self, uint32_t id);
uint32_t store_state_checksum(const struct store_state *state,
                              uint32_t identity);

/* What SQLite's `result` means, naming the file. */
int store_file_error(const struct store_file *file, int result,
                     struct error *why);
