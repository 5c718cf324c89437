/* disk.c - the disks, their faults, and the names of their files.
 *
 * Invariants:
 * 1. A file's content is the last written; `durable` with any choice among
 *    `writes` is what a crash may leave of it.
 * 2. A sync empties `writes`, also one that fails.
 * 3. Once the power is cut nothing changes but `writes` and `namings`: what
 *    was under way may be among what a crash leaves. Once the process has
 *    stopped nothing changes at all.
 * 4. A file goes when it has no name, will have none after a crash, and nobody
 *    has it open. */
#include "test/sim/disk/disk_parts.h"

#include "base/memory.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct disk *disks;

void disk_say(struct disk *disk, const char *format, ...)
{
    char line[160];
    va_list args;

    if (!disk->tell)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    disk->tell(disk->tell_data, line);
}

void disk_tell(struct disk *disk, void (*tell)(void *data, const char *line),
               void *data)
{
    disk->tell = tell;
    disk->tell_data = data;
}

const struct disk_counts *disk_counts(const struct disk *disk)
{
    return &disk->counts;
}

/* ---- beginning and end ---- */

struct disk *disk_new(const char *folder, uint64_t seed)
{
    struct disk *disk = memory_new(sizeof *disk);

    disk->folder = memory_format("%s/", folder);
    disk->random.state = seed;
    disk->next = disks;
    disks = disk;
    sqlite3_randomness(0, NULL); /* begins anew, with ours */
    return disk;
}

void disk_free_node(struct disk_node *node)
{
    free(node->writes);
    free(node->unsynced.bytes);
    free(node->now.bytes);
    free(node->durable.bytes);
    free(node->durable_name);
    free(node->name);
    free(node);
}

void disk_free(struct disk *disk)
{
    struct disk **at = &disks;

    while (*at != disk)
        at = &(*at)->next;
    *at = disk->next;
    for (struct disk_node *node = disk->nodes, *next; node; node = next) {
        next = node->next;
        disk_free_node(node);
    }
    for (size_t i = 0; i < disk->naming_count; i++)
        free(disk->namings[i].to);
    free(disk->namings);
    free(disk->folder);
    free(disk);
}

/* ---- finding ---- */

struct disk *disk_newest(void)
{
    return disks;
}

struct disk *disk_of(const char *path, const char **name)
{
    for (struct disk *disk = disks; disk; disk = disk->next) {
        size_t length = strlen(disk->folder);

        if (strncmp(path, disk->folder, length) == 0) {
            *name = path + length;
            return disk;
        }
    }
    return NULL;
}

/* How much of the disk's folder `path` is, without a slash at the end. */
static bool is_above(const struct disk *disk, const char *path, size_t *length)
{
    *length = strlen(path);
    return strncmp(disk->folder, path, *length) == 0 &&
           disk->folder[*length] == '/';
}

struct disk *disk_of_folder(const char *path)
{
    size_t length;

    for (struct disk *disk = disks; disk; disk = disk->next)
        if (is_above(disk, path, &length) && disk->folder[length + 1] == '\0')
            return disk;
    return NULL;
}

bool disk_is_folder(const char *path)
{
    size_t length;

    for (const struct disk *disk = disks; disk; disk = disk->next)
        if (is_above(disk, path, &length))
            return true;
    return false;
}

struct disk_node *disk_find(const struct disk *disk, const char *name)
{
    for (struct disk_node *node = disk->nodes; node; node = node->next)
        if (node->name && strcmp(node->name, name) == 0)
            return node;
    return NULL;
}

/* ---- faults ---- */

void disk_fault(struct disk *disk, enum disk_fault kind,
                unsigned after_operations)
{
    assert(!disk_is_off(disk));
    disk->fault = kind;
    disk->fault_after = disk->counts.operations + after_operations;
    disk->fault_happened = false;
    disk->full_for_all = random_below(&disk->random, 2) == 0;
}

bool disk_fault_happened(const struct disk *disk)
{
    return disk->fault_happened;
}

bool disk_is_off(const struct disk *disk)
{
    return disk->fault_happened &&
           (disk->fault == DISK_CUT || disk->fault == DISK_STOP);
}

bool disk_is_cut(const struct disk *disk)
{
    return disk->fault_happened && disk->fault == DISK_CUT;
}

void disk_stop(struct disk *disk)
{
    if (disk_is_off(disk))
        return;
    disk->fault = DISK_STOP;
    disk->fault_happened = true;
}

bool disk_strikes(struct disk *disk, enum disk_fault kind, bool suits)
{
    bool lasts = kind == DISK_FULL || kind == DISK_CUT || kind == DISK_STOP;

    if (disk->fault != kind || !suits ||
        disk->counts.operations <= disk->fault_after ||
        (disk->fault_happened && !lasts))
        return false;
    disk->fault_happened = true;
    return true;
}

/* ---- names ---- */

static void add_naming(struct disk *disk, struct disk_node *node,
                       const char *to)
{
    if (disk->naming_count == disk->naming_capacity) {
        disk->naming_capacity = 2 * disk->naming_capacity + 8;
        disk->namings = memory_resize(disk->namings, disk->naming_capacity *
                                                         sizeof *disk->namings);
    }
    disk->namings[disk->naming_count++] = (struct disk_naming){
        .node = node,
        .to = to ? memory_string(to) : NULL,
    };
}

static void set_name(char **name, const char *to)
{
    char *copy = to ? memory_string(to) : NULL;

    free(*name);
    *name = copy;
}

/* A new name, a file's other one, or none. */
static int begin_naming(struct disk *disk, const char *what, const char *name,
                        bool needs_room)
{
    disk->counts.operations++;
    disk_say(disk, "%llu: %s %s", (unsigned long long)disk->counts.operations,
             what, name);
    if (disk_is_off(disk) || disk_strikes(disk, DISK_STOP, true))
        return EIO;
    if (disk_strikes(disk, DISK_FULL, needs_room))
        return ENOSPC;
    return 0;
}

int disk_create(struct disk *disk, const char *name)
{
    int error = begin_naming(disk, "create", name, true);
    struct disk_node *node;

    if (error)
        return error;
    if (disk_strikes(disk, DISK_CUT, true))
        return EIO;
    node = memory_new(sizeof *node);
    node->disk = disk;
    node->name = memory_string(name);
    node->next = disk->nodes;
    disk->nodes = node;
    add_naming(disk, node, name);
    return 0;
}

int disk_rename(struct disk_node *node, const char *to)
{
    struct disk *disk = node->disk;
    int error = begin_naming(disk, "rename to", to, true);
    struct disk_node *other = disk_find(disk, to);

    if (error)
        return error;
    add_naming(disk, node, to);
    if (disk_strikes(disk, DISK_CUT, true))
        return EIO;
    if (other)
        set_name(&other->name, NULL);
    set_name(&node->name, to);
    return 0;
}

int disk_remove(struct disk_node *node)
{
    struct disk *disk = node->disk;
    int error = begin_naming(disk, "remove", node->name, false);

    if (error)
        return error;
    add_naming(disk, node, NULL);
    if (disk_strikes(disk, DISK_CUT, true))
        return EIO;
    set_name(&node->name, NULL);
    return 0;
}

void disk_settle_names(struct disk *disk, size_t kept)
{
    for (size_t i = 0; i < disk->naming_count; i++) {
        struct disk_naming *naming = &disk->namings[i];

        if (i < kept) {
            for (struct disk_node *node = disk->nodes; node; node = node->next)
                if (naming->to && node->durable_name &&
                    strcmp(node->durable_name, naming->to) == 0)
                    set_name(&node->durable_name, NULL);
            set_name(&naming->node->durable_name, naming->to);
        }
        free(naming->to);
    }
    disk->naming_count = 0;
}

static void drop_nameless(struct disk *disk)
{
    struct disk_node **at = &disk->nodes;

    while (*at) {
        struct disk_node *node = *at;

        if (node->name || node->durable_name || node->users > 0) {
            at = &node->next;
        } else {
            *at = node->next;
            disk_free_node(node);
        }
    }
}

/* A journal that cannot be written keeps what it was to save: names wait for
 * the next sync when one fails. */
int disk_sync_folder(struct disk *disk)
{
    int error = begin_naming(disk, "sync", "the folder", false);

    if (error)
        return error;
    disk->counts.syncs++;
    if (disk_strikes(disk, DISK_CUT, true) ||
        disk_strikes(disk, DISK_SYNC_EIO, true))
        return EIO;
    disk_settle_names(disk, disk->naming_count);
    drop_nameless(disk);
    return 0;
}
