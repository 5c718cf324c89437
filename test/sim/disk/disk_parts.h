/* disk_parts.h - what the model's files share. */
#pragma once

#include "base/lang.h"
#include "base/random.h"
#include "test/sim/disk/disk.h"

#include <stddef.h>

struct disk_bytes {
    uint8_t *bytes; /* owned */
    size_t length;
    size_t capacity;
};

/* Not yet synced. */
struct disk_write {
    uint64_t number; /* of the operation */
    uint64_t at;
    size_t length; /* 0: a truncation to `at` */
    bool zeros;    /* else its bytes are in `unsynced`, */
    size_t from;   /* beginning there */
};

/* A file, whatever it is called. */
struct disk_node {
    struct disk *disk;
    struct disk_node *next;
    char *name;                 /* in the folder; NULL when removed */
    char *durable_name;         /* after a crash; NULL: none */
    unsigned users;             /* of this generation, that have it open */
    struct disk_bytes now;      /* what a read sees: the page cache */
    struct disk_bytes durable;  /* after a crash, less `writes` */
    struct disk_bytes unsynced; /* what `writes` have written */
    struct disk_write *writes;  /* oldest first */
    size_t write_count;
    size_t write_capacity;
};

/* Not yet synced: the node takes the name, or loses its own. */
struct disk_naming {
    struct disk_node *node;
    char *to; /* owned */
};

struct disk {
    struct disk *next;
    char *folder; /* with a slash at the end */
    struct random random;
    struct disk_node *nodes;
    struct disk_naming *namings; /* oldest first */
    size_t naming_count;
    size_t naming_capacity;
    struct disk_counts counts;
    enum disk_fault fault;
    uint64_t fault_after; /* operations */
    bool fault_happened;
    bool full_for_all;   /* overwriting needs room, too */
    uint64_t generation; /* of processes and crashes */
    void (*tell)(void *data, const char *line);
    void *tell_data;
};

/* ---- disk.c: finding; NULL when it is not there ---- */

/* The disk of a path, and the name in its folder. */
struct disk *disk_of(const char *path, const char **name);
/* The one whose folder this is. */
struct disk *disk_of_folder(const char *path);
/* Is `path` a folder, a disk's or above one? */
bool disk_is_folder(const char *path);
struct disk_node *disk_find(const struct disk *disk, const char *name);
/* The one that was made last. */
struct disk *disk_newest(void);

/* ---- disk.c: operations. 0 or an errno ---- */

int disk_create(struct disk *disk, const char *name);
int disk_rename(struct disk_node *node, const char *to);
int disk_remove(struct disk_node *node);
int disk_sync_folder(struct disk *disk);

/* Does the fault that waits happen to the operation just counted, which it
 * may (`suits`)? Those that last happen again. */
bool disk_strikes(struct disk *disk, enum disk_fault kind, bool suits);
void disk_say(struct disk *disk, const char *format, ...) PRINTF_LIKE(2, 3);
/* The first `kept` changes of names are durable, the others forgotten. */
void disk_settle_names(struct disk *disk, size_t kept);
void disk_free_node(struct disk_node *node);

/* ---- content.c: 0 or an errno ---- */

/* What is there of `length` bytes; returns how many. */
size_t disk_read(const struct disk_node *node, void *bytes, size_t length,
                 uint64_t at);
int disk_write(struct disk_node *node, const void *bytes, size_t length,
               uint64_t at);
int disk_truncate(struct disk_node *node, uint64_t length);
int disk_sync(struct disk_node *node);

void disk_bytes_set_length(struct disk_bytes *content, size_t length);
/* It grows as needed. `bytes` NULL: zeros. */
void disk_bytes_put(struct disk_bytes *content, size_t at, const void *bytes,
                    size_t length);

/* ---- crash.c ---- */

/* What stays of unsynced work. */
struct disk_loss {
    enum { LOSS_NONE, LOSS_ALL, LOSS_AFTER, LOSS_SCATTERED } kind;
    uint64_t after; /* number of the write that was under way */
    unsigned kept_percent;
};

/* Bring the node's durable content up to what stays of its writes. */
void disk_settle(struct disk_node *node, const struct disk_loss *loss);
