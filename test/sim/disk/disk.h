/* disk.h - a disk that loses what was not synced, fails, fills up and rots.
 *
 * Its files are in memory and nowhere else. SQLite reaches those beneath a
 * disk's folder by a VFS, the rest of the program by the calls of the C library
 * (posix.c); both see what was written last, as from the page cache. What is
 * durable is kept beside that, with every write, truncation and change of a
 * name since the sync that would have saved it; disk_crash() makes the files
 * what a power cut may leave. A program may have many disks.
 *
 * Not modelled: reads that fail; syncs that hang, as the calls are
 * synchronous: who drives the store decides when it returns. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct disk;

enum { DISK_SECTOR_BYTES = 512 };

enum disk_fault {
    DISK_SOUND,
    DISK_WRITE_EIO, /* one write fails, a part of it done */
    DISK_SYNC_EIO,  /* one sync fails: a part is saved, the rest never will be,
                       though the page cache shows it (Rebello et al., 2020) */
    DISK_FULL,      /* from now on what needs room fails with ENOSPC */
    DISK_CUT,       /* the power: nothing has an effect until disk_crash() */
    DISK_STOP,      /* the process: nothing has, until disk_abandon() */
};

/* Make the model SQLite's default VFS. Once, before any disk. */
void disk_register(void);

/* An empty disk, to be reached as `folder`: any path of which no other disk's
 * is a part, without a slash at the end. Equal seeds and calls give equal
 * disks; SQLite's random numbers are the newest one's. */
struct disk *disk_new(const char *folder, uint64_t seed);
/* Whatever had files open was closed before. */
void disk_free(struct disk *disk);

/* Let `kind` happen to the first operation that it suits after so many more;
 * each write, truncation, sync and change of a name is one. One fault waits
 * at a time; those that an operation suffers are over then, others last. */
void disk_fault(struct disk *disk, enum disk_fault kind,
                unsigned after_operations);

/* Has the fault last asked for happened? */
bool disk_fault_happened(const struct disk *disk);

/* Was the power cut, or the process stopped? Whatever returned since then,
 * nobody saw. */
bool disk_is_off(const struct disk *disk);

/* Was it the power? */
bool disk_is_cut(const struct disk *disk);

/* DISK_STOP happens now, unless it is off already. */
void disk_stop(struct disk *disk);

/* Power off and on: each sector of each unsynced write is kept, lost or torn,
 * in whatever order; so are growth and truncation; of the names made, moved
 * and removed since the folder was synced the first few remain, as file
 * systems with a journal have it. Implies disk_abandon(). */
void disk_crash(struct disk *disk);

/* The process died: files that are open now do nothing more and can only be
 * closed. What was written is there, synced or not. */
void disk_abandon(struct disk *disk);

/* Flip a bit of what is durable, mostly where something stands, in a file whose
 * name begins with `prefix`. False when there is nothing. */
bool disk_rot(struct disk *disk, const char *prefix);

struct disk_counts {
    uint64_t operations; /* all of them */
    uint64_t writes;
    uint64_t syncs;
};

const struct disk_counts *disk_counts(const struct disk *disk);

/* Every operation and decision, a line each. */
void disk_tell(struct disk *disk, void (*tell)(void *data, const char *line),
               void *data);
