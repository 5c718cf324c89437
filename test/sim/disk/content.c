/* content.c - the bytes of files. */
#include "test/sim/disk/disk_parts.h"

#include "base/memory.h"

#include <errno.h>
#include <string.h>

enum { SMALL_BYTES = 64 << 10 }; /* what a file has room for at first */

static void reserve(struct disk_bytes *content, size_t length)
{
    if (length <= content->capacity)
        return;
    content->capacity = length < SMALL_BYTES ? SMALL_BYTES : 2 * length;
    content->bytes = memory_resize(content->bytes, content->capacity);
}

void disk_bytes_set_length(struct disk_bytes *content, size_t length)
{
    reserve(content, length);
    if (length > content->length)
        memset(content->bytes + content->length, 0, length - content->length);
    content->length = length;
}

void disk_bytes_put(struct disk_bytes *content, size_t at, const void *bytes,
                    size_t length)
{
    if (at > content->length)
        disk_bytes_set_length(content, at);
    if (at + length > content->length) {
        reserve(content, at + length);
        content->length = at + length;
    }
    if (bytes)
        memcpy(content->bytes + at, bytes, length);
    else
        memset(content->bytes + at, 0, length);
}

static bool all_zero(const uint8_t *bytes, size_t length)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

size_t disk_read(const struct disk_node *node, void *bytes, size_t length,
                 uint64_t at)
{
    const struct disk_bytes *now = &node->now;

    if (at >= now->length)
        return 0;
    if (length > now->length - at)
        length = now->length - (size_t)at;
    memcpy(bytes, now->bytes + at, length);
    return length;
}

static void add_write(struct disk_node *node, const void *bytes, size_t length,
                      uint64_t at)
{
    bool zeros = length == 0 || all_zero(bytes, length);

    if (node->write_count == node->write_capacity) {
        node->write_capacity = 2 * node->write_capacity + 8;
        node->writes = memory_resize(node->writes, node->write_capacity *
                                                       sizeof *node->writes);
    }
    node->writes[node->write_count++] = (struct disk_write){
        .number = node->disk->counts.operations,
        .at = at,
        .length = length,
        .zeros = zeros,
        .from = node->unsynced.length,
    };
    if (!zeros)
        disk_bytes_put(&node->unsynced, node->unsynced.length, bytes, length);
}

int disk_write(struct disk_node *node, const void *bytes, size_t length,
               uint64_t at)
{
    struct disk *disk = node->disk;
    bool grows = at + length > node->now.length;
    int error = 0;

    disk->counts.operations++;
    disk->counts.writes++;
    disk_say(disk, "%llu: write %s at %llu, %zu bytes",
             (unsigned long long)disk->counts.operations,
             node->name ? node->name : "?", (unsigned long long)at, length);
    if (disk_is_off(disk) || disk_strikes(disk, DISK_STOP, true))
        return EIO;
    if (disk_strikes(disk, DISK_CUT, true)) {
        add_write(node, bytes, length, at);
        return EIO;
    }
    if (disk_strikes(disk, DISK_WRITE_EIO, true))
        error = EIO;
    else if (disk_strikes(disk, DISK_FULL, grows || disk->full_for_all))
        error = ENOSPC;
    if (error)
        length = (size_t)random_below(&disk->random, length + 1);
    if (length > 0) {
        add_write(node, bytes, length, at);
        disk_bytes_put(&node->now, (size_t)at, bytes, length);
    }
    return error;
}

int disk_truncate(struct disk_node *node, uint64_t length)
{
    struct disk *disk = node->disk;

    disk->counts.operations++;
    disk->counts.writes++;
    disk_say(disk, "%llu: truncate %s to %llu",
             (unsigned long long)disk->counts.operations,
             node->name ? node->name : "?", (unsigned long long)length);
    if (disk_is_off(disk) || disk_strikes(disk, DISK_STOP, true) ||
        disk_strikes(disk, DISK_WRITE_EIO, true))
        return EIO;
    add_write(node, NULL, 0, length);
    if (disk_strikes(disk, DISK_CUT, true))
        return EIO;
    disk_bytes_set_length(&node->now, (size_t)length);
    return 0;
}

int disk_sync(struct disk_node *node)
{
    static const struct disk_loss nothing = {.kind = LOSS_NONE};
    static const struct disk_loss half = {.kind = LOSS_SCATTERED,
                                          .kept_percent = 50};
    struct disk *disk = node->disk;

    disk->counts.operations++;
    disk->counts.syncs++;
    disk_say(disk, "%llu: sync %s", (unsigned long long)disk->counts.operations,
             node->name ? node->name : "?");
    if (disk_is_off(disk) || disk_strikes(disk, DISK_STOP, true) ||
        disk_strikes(disk, DISK_CUT, true))
        return EIO;
    if (disk_strikes(disk, DISK_SYNC_EIO, true)) {
        disk_settle(node, &half);
        return EIO;
    }
    disk_settle(node, &nothing);
    return 0;
}
