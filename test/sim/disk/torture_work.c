/* torture_work.c - transactions as a core could ask for. */
#include "test/sim/disk/torture.h"

#include "base/memory.h"

#include <string.h>

enum {
    ENTRIES_MAX = 24,  /* of one write */
    REQUESTS_MAX = 12, /* of one transaction */
    SMALL_BYTES = 300,
    LARGE_BYTES = 30000, /* several pages */
};

static uint64_t below(struct torture *torture, uint64_t bound)
{
    return random_below(&torture->random, bound);
}

static bool one_in(struct torture *torture, uint64_t n)
{
    return below(torture, n) == 0;
}

static struct raft_entry draw_entry(struct torture *torture, uint64_t term)
{
    static uint8_t bytes[LARGE_BYTES];
    size_t length =
        (size_t)below(torture, one_in(torture, 30) ? LARGE_BYTES : SMALL_BYTES);
    struct random content = {.state = ++torture->stamp};

    if (one_in(torture, 20))
        return (struct raft_entry){.term = term, .kind = RAFT_ENTRY_NOOP};
    if (one_in(torture, 20))
        return (struct raft_entry){
            .term = term,
            .kind = RAFT_ENTRY_CONFIGURATION,
            .payload = raft_payload_take(torture->members[below(torture, 2)]),
        };
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)random_next(&content);
    return (struct raft_entry){
        .term = term,
        .kind = RAFT_ENTRY_COMMAND,
        .payload = raft_payload_new(bytes, length),
    };
}

/* Entries of the newest term, at the end or in place of an uncommitted part
 * of the log; with a term, or a vote alone. */
static int write_something(struct torture *torture, struct error *why)
{
    struct expected *expected = &torture->under_way;
    struct raft_entry entries[ENTRIES_MAX];
    struct store_write write = {.term = expected->term,
                                .voted_for = expected->voted_for,
                                .entries = entries};
    int code;

    if (one_in(torture, 3)) {
        write.has_state = true;
        write.term += below(torture, 3);
        write.voted_for = (uint32_t)below(torture, 4);
    }
    if (!one_in(torture, 6)) {
        uint64_t last = expected_last(expected);

        write.from = last + 1;
        if (one_in(torture, 6) && last > expected->snapshot_index)
            write.from -= below(torture, last - expected->snapshot_index + 1);
        write.entry_count = 1 + (size_t)below(torture, ENTRIES_MAX);
    }
    for (size_t i = 0; i < write.entry_count; i++)
        entries[i] = draw_entry(torture, write.term);
    expected_write(expected, &write);
    code = store_file_write(&torture->file, &write, why);
    for (size_t i = 0; i < write.entry_count; i++)
        raft_payload_drop(entries[i].payload);
    return code;
}

/* A snapshot of ours, with some log before it kept, or one that was sent. */
static int compact_something(struct torture *torture, struct error *why)
{
    struct expected *expected = &torture->under_way;
    uint64_t last = expected_last(expected);
    struct store_compaction compaction = {
        .snapshot_term = expected_last_term(expected),
        .configuration = torture->members[below(torture, 2)],
        .replaces_log = one_in(torture, 4),
    };

    memset(compaction.snapshot_sha256, (int)++torture->stamp & 0xff,
           sizeof compaction.snapshot_sha256);
    if (compaction.replaces_log) {
        compaction.snapshot_index = last + below(torture, 50);
    } else {
        uint64_t room = last - expected->snapshot_index;
        uint64_t kept = below(torture, 20);

        compaction.snapshot_index =
            expected->snapshot_index + below(torture, room + 1);
        compaction.keep_from = compaction.snapshot_index + 1;
        if (compaction.keep_from > kept)
            compaction.keep_from -= kept;
    }
    expected_compact(expected, &compaction);
    return store_file_compact(&torture->file, &compaction, why);
}

bool torture_transact(struct torture *torture, struct error *why)
{
    uint64_t requests =
        one_in(torture, 4) ? 1 + below(torture, REQUESTS_MAX) : 1;
    unsigned pages = torture->file.wal_pages;
    int code;

    expected_copy(&torture->under_way, &torture->acknowledged);
    code = store_file_begin(&torture->file, why);
    for (uint64_t i = 0; !code && i < requests; i++)
        code = one_in(torture, 12) ? compact_something(torture, why)
                                   : write_something(torture, why);
    if (!code) {
        torture->committing = true;
        code = store_file_commit(&torture->file, why);
    }
    if (code)
        return false;
    if (disk_is_off(torture->disk)) {
        error_set(why, ERROR_UNAVAILABLE, "the power went first");
        return false;
    }
    torture->committing = false;
    torture->counts.transactions++;
    torture->unsettled = store_file_is_unsettled(&torture->file);
    if (torture->file.wal_pages != pages)
        expected_copy(&torture->before, &torture->acknowledged);
    expected_copy(&torture->acknowledged, &torture->under_way);
    return true;
}
