#include "test/sim/disk/expected.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

void expected_init(struct expected *expected,
                   struct raft_payload *configuration)
{
    *expected = (struct expected){
        .configuration = raft_payload_take(configuration),
        .first_index = 1,
    };
}

static void drop_from(struct expected *expected, size_t from)
{
    for (size_t i = from; i < expected->count; i++)
        raft_payload_drop(expected->entries[i].payload);
    expected->count = from;
}

static void drop_before(struct expected *expected, size_t count)
{
    for (size_t i = 0; i < count; i++)
        raft_payload_drop(expected->entries[i].payload);
    expected->count -= count;
    memmove(expected->entries, expected->entries + count,
            expected->count * sizeof *expected->entries);
}

static void append(struct expected *expected, const struct raft_entry *entry)
{
    if (expected->count == expected->capacity) {
        expected->capacity = 2 * expected->capacity + 64;
        expected->entries = memory_resize(
            expected->entries, expected->capacity * sizeof *expected->entries);
    }
    expected->entries[expected->count] = *entry;
    if (entry->payload)
        raft_payload_take(entry->payload);
    expected->count++;
}

void expected_fini(struct expected *expected)
{
    drop_from(expected, 0);
    free(expected->entries);
    raft_payload_drop(expected->configuration);
    *expected = (struct expected){0};
}

void expected_copy(struct expected *to, const struct expected *from)
{
    struct expected copy = *from;

    copy.entries = NULL;
    copy.count = copy.capacity = 0;
    raft_payload_take(copy.configuration);
    for (size_t i = 0; i < from->count; i++)
        append(&copy, &from->entries[i]);
    expected_fini(to);
    *to = copy;
}

uint64_t expected_last_term(const struct expected *expected)
{
    return expected->count ? expected->entries[expected->count - 1].term
                           : expected->snapshot_term;
}

void expected_write(struct expected *expected, const struct store_write *write)
{
    if (write->has_state) {
        expected->term = write->term;
        expected->voted_for = write->voted_for;
    }
    if (write->from == 0)
        return;
    drop_from(expected, (size_t)(write->from - expected->first_index));
    for (size_t i = 0; i < write->entry_count; i++)
        append(expected, &write->entries[i]);
}

void expected_compact(struct expected *expected,
                      const struct store_compaction *compaction)
{
    expected->snapshot_index = compaction->snapshot_index;
    expected->snapshot_term = compaction->snapshot_term;
    memcpy(expected->snapshot_sha256, compaction->snapshot_sha256,
           sizeof expected->snapshot_sha256);
    raft_payload_drop(expected->configuration);
    expected->configuration = raft_payload_take(compaction->configuration);
    if (compaction->replaces_log) {
        drop_from(expected, 0);
        expected->first_index = compaction->snapshot_index + 1;
    } else if (compaction->keep_from > expected->first_index) {
        drop_before(expected,
                    (size_t)(compaction->keep_from - expected->first_index));
        expected->first_index = compaction->keep_from;
    }
}

/* ---- comparing ---- */

static bool same_payload(const struct raft_payload *a,
                         const struct raft_payload *b)
{
    size_t length = a ? a->length : 0;

    return length == (b ? b->length : 0) &&
           (length == 0 || memcmp(a->bytes, b->bytes, length) == 0);
}

static bool same_entry(const struct raft_entry *a, const struct raft_entry *b)
{
    return a->term == b->term && a->kind == b->kind &&
           same_payload(a->payload, b->payload);
}

static const char *number_differs(const char *what, uint64_t expected,
                                  uint64_t is)
{
    static char text[96];

    if (expected == is)
        return NULL;
    snprintf(text, sizeof text, "%s is %llu, not %llu", what,
             (unsigned long long)is, (unsigned long long)expected);
    return text;
}

static const char *log_differs(const struct expected *expected,
                               const struct store_content *content)
{
    const char *text = number_differs("the number of entries", expected->count,
                                      content->entry_count);

    for (size_t i = 0; !text && i < expected->count; i++)
        if (!same_entry(&expected->entries[i], &content->entries[i]))
            text = number_differs("an entry differs; what", 0,
                                  expected->first_index + i);
    return text;
}

const char *expected_differs(const struct expected *expected,
                             const struct store_content *content)
{
    const char *text = number_differs("term", expected->term, content->term);

    if (!text)
        text = number_differs("vote", expected->voted_for, content->voted_for);
    if (!text)
        text = number_differs("snapshot", expected->snapshot_index,
                              content->snapshot_index);
    if (!text)
        text = number_differs("snapshot's term", expected->snapshot_term,
                              content->snapshot_term);
    if (!text && memcmp(expected->snapshot_sha256, content->snapshot_sha256,
                        sizeof expected->snapshot_sha256) != 0)
        text = "the snapshot's checksum differs";
    if (!text && !same_payload(expected->configuration, content->configuration))
        text = "the members differ";
    if (!text)
        text = number_differs("first index", expected->first_index,
                              content->first_index);
    return text ? text : log_differs(expected, content);
}
