#include "test/sim/disk.h"

#include "base/memory.h"

#include <assert.h>
#include <string.h>

struct snapshot *snapshot_take(struct snapshot *snapshot)
{
    if (snapshot)
        snapshot->references++;
    return snapshot;
}

void snapshot_drop(struct snapshot *snapshot)
{
    if (!snapshot || --snapshot->references > 0)
        return;
    raft_payload_drop(snapshot->configuration);
    free(snapshot);
}

static void write_fini(struct disk_write *write)
{
    for (size_t i = 0; i < write->entry_count; i++)
        raft_payload_drop(write->entries[i].payload);
    free(write->entries);
    snapshot_drop(write->snapshot);
}

void disk_init(struct disk *disk, struct raft_payload *founders)
{
    *disk = (struct disk){.first_index = 1, .founders = founders};
}

uint64_t disk_last_index(const struct disk *disk)
{
    return disk->first_index + disk->entry_count - 1;
}

static void truncate_to(struct disk *disk, uint64_t last_index)
{
    while (disk->entry_count && disk_last_index(disk) > last_index)
        raft_payload_drop(disk->entries[--disk->entry_count].payload);
}

void disk_fini(struct disk *disk)
{
    truncate_to(disk, 0);
    for (size_t i = 0; i < disk->waiting_count; i++)
        write_fini(&disk->waiting[i]);
    free(disk->waiting);
    free(disk->entries);
    snapshot_drop(disk->snapshot);
    raft_payload_drop(disk->founders);
}

void disk_submit(struct disk *disk, const struct disk_write *write)
{
    if (disk->waiting_count == disk->waiting_capacity) {
        disk->waiting_capacity =
            disk->waiting_capacity ? 2 * disk->waiting_capacity : 16;
        disk->waiting = memory_resize(disk->waiting, disk->waiting_capacity *
                                                         sizeof *disk->waiting);
    }
    disk->waiting[disk->waiting_count++] = *write;
    if (write->store_id)
        disk->submitted_id = write->store_id;
}

bool disk_sync_begin(struct disk *disk)
{
    if (disk->syncing || disk->waiting_count == 0)
        return false;
    disk->syncing = disk->waiting_count;
    return true;
}

static void drop_before(struct disk *disk, uint64_t keep_from)
{
    size_t dropped = 0;

    while (dropped < disk->entry_count &&
           disk->first_index + dropped < keep_from)
        raft_payload_drop(disk->entries[dropped++].payload);
    disk->entry_count -= dropped;
    disk->first_index += dropped;
    if (dropped)
        memmove(disk->entries, disk->entries + dropped,
                disk->entry_count * sizeof *disk->entries);
}

static void record_snapshot(struct disk *disk, const struct disk_write *write)
{
    if (disk->snapshot && disk->snapshot->index >= write->snapshot->index)
        return; /* a newer one was installed meanwhile */
    snapshot_drop(disk->snapshot);
    disk->snapshot = snapshot_take(write->snapshot);
    if (write->replaces_log) {
        truncate_to(disk, 0);
        disk->first_index = write->snapshot->index + 1;
    } else {
        drop_before(disk, write->keep_from);
    }
}

static bool write_entries(struct disk *disk, const struct disk_write *write)
{
    if (write->from < disk->first_index ||
        write->from > disk_last_index(disk) + 1)
        return false;
    truncate_to(disk, write->from - 1);
    while (disk->entry_count + write->entry_count > disk->entry_capacity) {
        disk->entry_capacity =
            disk->entry_capacity ? 2 * disk->entry_capacity : 256;
        disk->entries = memory_resize(disk->entries, disk->entry_capacity *
                                                         sizeof *disk->entries);
    }
    for (size_t i = 0; i < write->entry_count; i++) {
        disk->entries[disk->entry_count++] = write->entries[i];
        raft_payload_take(write->entries[i].payload);
    }
    return true;
}

static bool write_through(struct disk *disk, const struct disk_write *write)
{
    if (write->has_state) {
        disk->term = write->term;
        disk->voted_for = write->voted_for;
    }
    if (write->snapshot)
        record_snapshot(disk, write);
    if (write->store_id)
        disk->durable_id = write->store_id;
    return write->from == 0 || write_entries(disk, write);
}

/* Forget the first `count` that wait. */
static void forget(struct disk *disk, size_t count)
{
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        write_fini(&disk->waiting[i]);
    disk->waiting_count -= count;
    memmove(disk->waiting, disk->waiting + count,
            disk->waiting_count * sizeof *disk->waiting);
}

bool disk_sync_end(struct disk *disk)
{
    bool follows = true;

    for (size_t i = 0; i < disk->syncing; i++)
        follows = write_through(disk, &disk->waiting[i]) && follows;
    return follows;
}

void disk_sync_forget(struct disk *disk)
{
    forget(disk, disk->syncing);
    disk->syncing = 0;
}

void disk_crash(struct disk *disk, struct random *random)
{
    size_t made_it = 0;

    if (disk->syncing)
        made_it = (size_t)random_below(random, disk->syncing + 1);
    for (size_t i = 0; i < made_it; i++)
        write_through(disk, &disk->waiting[i]);
    forget(disk, disk->waiting_count);
    disk->syncing = 0;
    disk->hangs_until_us = 0;
    disk->submitted_id = 0;
    disk->durable_id = 0;
}

bool disk_has(const struct disk *disk, uint64_t index, uint64_t term)
{
    if (disk->snapshot && index <= disk->snapshot->index)
        return true;
    return index >= disk->first_index && index <= disk_last_index(disk) &&
           disk->entries[index - disk->first_index].term == term;
}

struct raft_restart disk_content(const struct disk *disk)
{
    return (struct raft_restart){
        .term = disk->term,
        .voted_for = disk->voted_for,
        .snapshot_index = disk->snapshot ? disk->snapshot->index : 0,
        .snapshot_term = disk->snapshot ? disk->snapshot->term : 0,
        .configuration =
            disk->snapshot ? disk->snapshot->configuration : disk->founders,
        .first_index = disk->first_index,
        .entries = disk->entries,
        .entry_count = disk->entry_count,
    };
}
