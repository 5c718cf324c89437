/* disk.c - what is on the disk, and the operations on it.
 *
 * Invariants:
 * 1. A file's content is the last written; `durable` with any choice among
 *    `writes` is what a crash may leave of it.
 * 2. A sync empties `writes`, also one that fails.
 * 3. Once the power is cut nothing changes but `writes` and `namings`: what
 *    was under way may be among what a crash leaves. */
#include "test/sim/disk/disk_parts.h"

#include "base/fd.h"
#include "base/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct disk *disks;

_Noreturn void disk_give_up(void)
{
    perror("disk: the test's own disk");
    abort();
}

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
    char path[PATH_MAX];
    struct stat info;

    if (!realpath(folder, path) || stat(path, &info) != 0)
        disk_give_up();
    disk->folder = memory_format("%s/", path);
    disk->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    disk->inode = info.st_ino;
    disk->random.state = seed;
    disk->next = disks;
    disks = disk;
    sqlite3_randomness(0, NULL); /* begins anew, with ours */
    return disk;
}

static void free_node(struct disk_node *node)
{
    for (size_t i = 0; i < node->write_count; i++)
        free(node->writes[i].bytes);
    close(node->fd);
    free(node->writes);
    free(node->durable);
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
        free_node(node);
    }
    for (size_t i = 0; i < disk->naming_count; i++)
        free(disk->namings[i].to);
    close(disk->fd);
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

struct disk_node *disk_find(const struct disk *disk, const char *name)
{
    for (struct disk_node *node = disk->nodes; node; node = node->next)
        if (node->name && strcmp(node->name, name) == 0)
            return node;
    return NULL;
}

struct disk_node *disk_find_fd(int fd)
{
    struct stat info;

    if (!disks || fstat(fd, &info) != 0)
        return NULL;
    for (struct disk *disk = disks; disk; disk = disk->next)
        for (struct disk_node *node = disk->nodes; node; node = node->next)
            if (node->inode == info.st_ino)
                return node;
    return NULL;
}

struct disk *disk_find_folder_fd(int fd)
{
    struct stat info;

    if (!disks || fstat(fd, &info) != 0)
        return NULL;
    for (struct disk *disk = disks; disk; disk = disk->next)
        if (disk->inode == info.st_ino)
            return disk;
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
    return disk->fault == DISK_CUT && disk->fault_happened;
}

/* Does the fault that waits happen to an operation, which it may (`suits`)?
 * Those that last happen again. */
static bool strikes(struct disk *disk, enum disk_fault kind, bool suits)
{
    bool lasts = kind == DISK_FULL || kind == DISK_CUT;

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
    if (disk_is_off(disk))
        return EIO;
    if (strikes(disk, DISK_FULL, needs_room))
        return ENOSPC;
    return 0;
}

/* openat() and its like are not wrapped (posix.c). */
static void make_file(struct disk_node *node, const char *name)
{
    struct stat info;

    fd_close(&node->fd);
    node->fd = openat(node->disk->fd, name,
                      O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (node->fd < 0 || fstat(node->fd, &info) != 0)
        disk_give_up();
    node->inode = info.st_ino;
}

static struct disk_node *add_node(struct disk *disk, const char *name)
{
    struct disk_node *node = memory_new(sizeof *node);

    node->disk = disk;
    node->fd = -1;
    make_file(node, name);
    node->name = memory_string(name);
    node->next = disk->nodes;
    disk->nodes = node;
    return node;
}

int disk_create(struct disk *disk, const char *name)
{
    int error = begin_naming(disk, "create", name, true);

    if (error)
        return error;
    if (strikes(disk, DISK_CUT, true))
        return EIO;
    add_naming(disk, add_node(disk, name), name);
    return 0;
}

int disk_rename(struct disk_node *node, const char *to)
{
    struct disk *disk = node->disk;
    int error = begin_naming(disk, "rename to", to, true);
    CLEANUP(free_pointer) char *from = memory_string(node->name);
    struct disk_node *other = disk_find(disk, to);

    if (error)
        return error;
    add_naming(disk, node, to);
    if (strikes(disk, DISK_CUT, true))
        return EIO;
    if (other)
        set_name(&other->name, NULL);
    set_name(&node->name, to);
    return renameat(disk->fd, from, disk->fd, to) == 0 ? 0 : errno;
}

int disk_remove(struct disk_node *node)
{
    struct disk *disk = node->disk;
    int error = begin_naming(disk, "remove", node->name, false);
    CLEANUP(free_pointer) char *name = memory_string(node->name);

    if (error)
        return error;
    add_naming(disk, node, NULL);
    if (strikes(disk, DISK_CUT, true))
        return EIO;
    set_name(&node->name, NULL);
    return unlinkat(disk->fd, name, 0) == 0 ? 0 : errno;
}

static void settle_names(struct disk *disk, size_t kept)
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

/* A journal that cannot be written keeps what it was to save: names wait for
 * the next sync when one fails. */
int disk_sync_folder(struct disk *disk)
{
    int error = begin_naming(disk, "sync", "the folder", false);

    if (error)
        return error;
    disk->counts.syncs++;
    if (strikes(disk, DISK_CUT, true) || strikes(disk, DISK_SYNC_EIO, true))
        return EIO;
    settle_names(disk, disk->naming_count);
    return 0;
}

/* ---- content ---- */

static uint64_t file_length(const struct disk_node *node)
{
    struct stat info;

    if (fstat(node->fd, &info) != 0)
        disk_give_up();
    return (uint64_t)info.st_size;
}

static bool all_zero(const uint8_t *bytes, size_t length)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

static void add_write(struct disk_node *node, const void *bytes, size_t length,
                      uint64_t at)
{
    if (node->write_count == node->write_capacity) {
        node->write_capacity = 2 * node->write_capacity + 8;
        node->writes = memory_resize(node->writes, node->write_capacity *
                                                       sizeof *node->writes);
    }
    node->writes[node->write_count++] = (struct disk_write){
        .number = node->disk->counts.operations,
        .at = at,
        .length = length,
        .bytes = length && !all_zero(bytes, length) ? memory_copy(bytes, length)
                                                    : NULL,
    };
}

/* Zeros are holes: a log that is cleared costs little. */
static void write_file(const struct disk_node *node, const void *bytes,
                       size_t length, uint64_t at)
{
    enum { HOLE = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE };
    off_t end = (off_t)(at + length);
    bool done;

    if (all_zero(bytes, length))
        done = fallocate(node->fd, HOLE, (off_t)at, (off_t)length) == 0 &&
               ((uint64_t)end <= file_length(node) ||
                ftruncate(node->fd, end) == 0);
    else
        done = pwrite(node->fd, bytes, length, (off_t)at) == (ssize_t)length;
    if (!done)
        disk_give_up();
}

int disk_write(struct disk_node *node, const void *bytes, size_t length,
               uint64_t at)
{
    struct disk *disk = node->disk;
    bool grows = at + length > file_length(node);
    int error = 0;

    disk->counts.operations++;
    disk->counts.writes++;
    disk_say(disk, "%llu: write %s at %llu, %zu bytes",
             (unsigned long long)disk->counts.operations,
             node->name ? node->name : "?", (unsigned long long)at, length);
    if (disk_is_off(disk))
        return EIO;
    if (strikes(disk, DISK_CUT, true)) {
        add_write(node, bytes, length, at);
        return EIO;
    }
    if (strikes(disk, DISK_WRITE_EIO, true))
        error = EIO;
    else if (strikes(disk, DISK_FULL, grows || disk->full_for_all))
        error = ENOSPC;
    if (error)
        length = (size_t)random_below(&disk->random, length + 1);
    if (length > 0) {
        add_write(node, bytes, length, at);
        write_file(node, bytes, length, at);
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
    if (disk_is_off(disk) || strikes(disk, DISK_WRITE_EIO, true))
        return EIO;
    add_write(node, NULL, 0, length);
    if (strikes(disk, DISK_CUT, true))
        return EIO;
    return ftruncate(node->fd, (off_t)length) == 0 ? 0 : errno;
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
    if (disk_is_off(disk) || strikes(disk, DISK_CUT, true))
        return EIO;
    if (strikes(disk, DISK_SYNC_EIO, true)) {
        disk_settle(node, &half);
        return EIO;
    }
    disk_settle(node, &nothing);
    return 0;
}

/* ---- crashes ---- */

void disk_abandon(struct disk *disk)
{
    disk->generation++;
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

/* The name and the content that are durable, in a file of its own: whoever
 * has the old one open changes nothing. */
static void write_out(struct disk_node *node)
{
    make_file(node, node->durable_name);
    if (ftruncate(node->fd, (off_t)node->length) != 0)
        disk_give_up();
    for (size_t at = 0; at < node->length; at += DISK_SECTOR_BYTES) {
        static const uint8_t zeros[DISK_SECTOR_BYTES];
        size_t length = node->length - at < DISK_SECTOR_BYTES
                            ? node->length - at
                            : DISK_SECTOR_BYTES;

        if (memcmp(node->durable + at, zeros, length) != 0 &&
            pwrite(node->fd, node->durable + at, length, (off_t)at) !=
                (ssize_t)length)
            disk_give_up();
    }
    set_name(&node->name, node->durable_name);
}

void disk_crash(struct disk *disk)
{
    struct disk_loss loss = draw_loss(disk);
    struct disk_node **at = &disk->nodes;

    disk_say(disk, "power cut: loss %d, after %llu, %u %%", (int)loss.kind,
             (unsigned long long)loss.after, loss.kept_percent);
    settle_names(disk, draw_kept_names(disk, &loss));
    for (struct disk_node *node = disk->nodes; node; node = node->next) {
        disk_settle(node, &loss);
        if (node->name)
            unlinkat(disk->fd, node->name, 0);
    }
    while (*at) {
        struct disk_node *node = *at;

        if (node->durable_name) {
            write_out(node);
            at = &node->next;
        } else {
            *at = node->next;
            free_node(node);
        }
    }
    disk->fault = DISK_SOUND;
    disk_abandon(disk);
}
