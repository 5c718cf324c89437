/* expected.h - what a store must hold. */
#pragma once

#include "raft/store.h"

struct expected {
    uint64_t term;
    uint32_t voted_for;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint8_t snapshot_sha256[STORE_SHA256_BYTES];
    struct raft_payload *configuration; /* owned */
    uint64_t first_index;
    struct raft_entry *entries; /* owned */
    size_t count;
    size_t capacity;
};

/* A store that was just made. */
void expected_init(struct expected *expected,
                   struct raft_payload *configuration);
void expected_fini(struct expected *expected);
/* `to` is initialised, and replaced. */
void expected_copy(struct expected *to, const struct expected *from);

static inline uint64_t expected_last(const struct expected *expected)
{
    return expected->first_index + expected->count - 1;
}

/* 0 before the first. */
uint64_t expected_last_term(const struct expected *expected);

void expected_write(struct expected *expected, const struct store_write *write);
void expected_compact(struct expected *expected,
                      const struct store_compaction *compaction);

/* NULL: `content` is the same to the last byte. Else the first thing that is
 * not; static storage. */
const char *expected_differs(const struct expected *expected,
                             const struct store_content *content);
