/* crash.c - what stays of unsynced writes, and what rots.
 *
 * Within a sector writes keep their order, as the page cache writes whole
 * sectors: once one is lost or torn, so are those after it. Sectors are
 * independent of each other. A file's length is like one more sector. */
#include "test/sim/disk/disk_parts.h"

#include "base/memory.h"

#include <string.h>

enum { TORN_ONE_IN = 16 };

/* One node being settled. */
struct settling {
    struct disk_node *node;
    const struct disk_loss *loss;
    bool *lost; /* by sector: nothing more gets there */
    bool length_lost;
};

static bool stays(struct settling *settling, const struct disk_write *write)
{
    struct random *random = &settling->node->disk->random;

    switch (settling->loss->kind) {
    case LOSS_NONE:
        return true;
    case LOSS_ALL:
        return false;
    case LOSS_AFTER:
        if (write->number != settling->loss->after)
            return write->number < settling->loss->after;
        return random_below(random, 2) == 0;
    case LOSS_SCATTERED:
        return random_below(random, 100) < settling->loss->kept_percent;
    }
    return false;
}

static void change_length(struct settling *settling,
                          const struct disk_write *write, size_t length)
{
    if (!settling->length_lost && stays(settling, write))
        disk_bytes_set_length(&settling->node->durable, length);
    else
        settling->length_lost = true;
}

static void copy(struct disk_node *node, const struct disk_write *write,
                 uint64_t at, size_t length)
{
    const uint8_t *bytes = node->unsynced.bytes + write->from;

    disk_bytes_put(&node->durable, (size_t)at,
                   write->zeros ? NULL : bytes + (at - write->at), length);
}

/* The part of a write that is in one sector. */
static void settle_piece(struct settling *settling,
                         const struct disk_write *write, uint64_t at,
                         size_t length)
{
    struct disk_node *node = settling->node;
    bool *lost = &settling->lost[at / DISK_SECTOR_BYTES];
    struct random *random = &node->disk->random;

    if (*lost)
        return;
    if (!stays(settling, write)) {
        *lost = true;
        return;
    }
    if (settling->loss->kind >= LOSS_AFTER &&
        random_below(random, TORN_ONE_IN) == 0) {
        *lost = true;
        length = (size_t)random_below(random, length);
    }
    if (at >= node->durable.length)
        return; /* the file did not grow to there */
    if (length > node->durable.length - at)
        length = node->durable.length - at;
    copy(node, write, at, length);
}

static void settle_write(struct settling *settling,
                         const struct disk_write *write)
{
    struct disk_node *node = settling->node;
    uint64_t end = write->at + write->length;

    if (write->length == 0) {
        change_length(settling, write, write->at);
        return;
    }
    if (settling->loss->kind == LOSS_NONE) { /* in one go */
        copy(node, write, write->at, write->length);
        return;
    }
    if (end > node->durable.length)
        change_length(settling, write, end);
    for (uint64_t at = write->at, next; at < end; at = next) {
        next = (at / DISK_SECTOR_BYTES + 1) * DISK_SECTOR_BYTES;
        settle_piece(settling, write, at,
                     (size_t)((next < end ? next : end) - at));
    }
}

/* One flag for each sector that is written to. */
static bool *flags_of(const struct disk_node *node)
{
    uint64_t end = 0;

    for (size_t i = 0; i < node->write_count; i++)
        if (node->writes[i].at + node->writes[i].length > end)
            end = node->writes[i].at + node->writes[i].length;
    return memory_new((size_t)(end / DISK_SECTOR_BYTES) + 1);
}

void disk_settle(struct disk_node *node, const struct disk_loss *loss)
{
    struct settling settling = {.node = node, .loss = loss};

    if (loss->kind != LOSS_NONE)
        settling.lost = flags_of(node);
    for (size_t i = 0; i < node->write_count; i++)
        settle_write(&settling, &node->writes[i]);
    node->write_count = 0;
    node->unsynced.length = 0;
    free(settling.lost);
}

/* ---- crashes ---- */

void disk_abandon(struct disk *disk)
{
    disk->generation++;
    if (disk->fault == DISK_STOP)
        disk->fault = DISK_SOUND;
    for (struct disk_node *node = disk->nodes; node; node = node->next)
        node->users = 0;
}

static struct disk_loss draw_loss(struct disk *disk)
{
    static const unsigned percents[] = {2, 20, 50, 80, 98};
    uint64_t latest = disk->counts.operations;
    struct disk_loss loss = {
        .kind = (unsigned)random_below(&disk->random, 4),
        .after = latest - random_below(&disk->random, latest < 12 ? 1 : 12),
        .kept_percent =
            percents[random_below(&disk->random, ARRAY_LEN(percents))],
    };

    return loss;
}

static size_t draw_kept_names(struct disk *disk, const struct disk_loss *loss)
{
    if (loss->kind == LOSS_NONE)
        return disk->naming_count;
    if (loss->kind == LOSS_ALL)
        return 0;
    return (size_t)random_below(&disk->random, disk->naming_count + 1);
}

/* The name and the content that are durable. */
static void bring_back(struct disk_node *node)
{
    node->now.length = 0;
    if (node->durable.length > 0)
        disk_bytes_put(&node->now, 0, node->durable.bytes,
                       node->durable.length);
    free(node->name);
    node->name = memory_string(node->durable_name);
}

void disk_crash(struct disk *disk)
{
    struct disk_loss loss = draw_loss(disk);
    struct disk_node **at = &disk->nodes;

    disk_say(disk, "power cut: loss %d, after %llu, %u %%", (int)loss.kind,
             (unsigned long long)loss.after, loss.kept_percent);
    disk_settle_names(disk, draw_kept_names(disk, &loss));
    while (*at) {
        struct disk_node *node = *at;

        disk_settle(node, &loss);
        if (node->durable_name) {
            bring_back(node);
            at = &node->next;
        } else {
            *at = node->next;
            disk_free_node(node);
        }
    }
    disk->fault = DISK_SOUND;
    disk_abandon(disk);
}

/* ---- rot ---- */

static bool anything_in(const struct disk_node *node, size_t sector)
{
    size_t at = sector * DISK_SECTOR_BYTES;

    for (size_t i = at; i < at + DISK_SECTOR_BYTES && i < node->durable.length;
         i++)
        if (node->durable.bytes[i])
            return true;
    return false;
}

/* A sector in which something stands, if any. */
static void draw_sector(struct disk_node *node, size_t *chosen)
{
    size_t sectors =
        (node->durable.length + DISK_SECTOR_BYTES - 1) / DISK_SECTOR_BYTES;
    uint64_t seen = 0;

    for (size_t sector = 0; sector < sectors; sector++)
        if (anything_in(node, sector) &&
            random_below(&node->disk->random, ++seen) == 0)
            *chosen = sector;
}

static struct disk_node *draw_node(struct disk *disk, const char *prefix)
{
    struct disk_node *chosen = NULL;
    uint64_t seen = 0;

    for (struct disk_node *node = disk->nodes; node; node = node->next)
        if (node->name && strncmp(node->name, prefix, strlen(prefix)) == 0 &&
            node->durable_name && node->durable.length > 0 &&
            random_below(&disk->random, ++seen) == 0)
            chosen = node;
    return chosen;
}

/* Mostly where something stands, often where a file's format does. */
static size_t draw_place(struct disk_node *node)
{
    struct random *random = &node->disk->random;
    size_t sector = 0;

    switch (random_below(random, 8)) {
    case 0:
        return (size_t)random_below(random, node->durable.length);
    case 1:
    case 2:
        break;
    default:
        draw_sector(node, &sector);
        break;
    }
    return sector * DISK_SECTOR_BYTES +
           (size_t)random_below(random, DISK_SECTOR_BYTES);
}

bool disk_rot(struct disk *disk, const char *prefix)
{
    struct disk_node *node = draw_node(disk, prefix);
    size_t at = node ? draw_place(node) : 0;
    uint8_t bit = (uint8_t)(1U << random_below(&disk->random, 8));

    if (!node || at >= node->durable.length)
        return false;
    node->durable.bytes[at] ^= bit;
    if (at < node->now.length)
        node->now.bytes[at] ^= bit;
    disk_say(disk, "rot: %s, byte %zu, bit %02x", node->name, at, bit);
    return true;
}
