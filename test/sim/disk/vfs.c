/* vfs.c - SQLite's files on the model.
 *
 * Files have methods of version 1, so a write-ahead log with shared memory is
 * impossible: a store that did not lock its file for itself fails. */
#include "test/sim/disk/disk_parts.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum { SECTOR_BYTES = 4096 }; /* as unixSectorSize() */

struct file {
    sqlite3_file base;
    struct disk_node *node; /* gone when the file is dead */
    struct disk *disk;
    uint64_t generation;    /* of the process that opened it */
    bool folder_not_synced; /* unixSync() syncs it with a new log's first */
};

static sqlite3_vfs *unix_vfs;

static struct file *file_of(sqlite3_file *base)
{
    return container_of(base, struct file, base);
}

/* Its process is gone, or the power. */
static bool is_dead(const struct file *file)
{
    return file->generation != file->disk->generation ||
           disk_is_off(file->disk);
}

static int result_of(int error, int otherwise)
{
    errno = error;
    if (error == ENOSPC)
        return SQLITE_FULL;
    return error ? otherwise : SQLITE_OK;
}

/* ---- a file ---- */

static int on_close(sqlite3_file *base)
{
    struct file *file = file_of(base);

    if (file->generation == file->disk->generation)
        file->node->users--;
    return SQLITE_OK;
}

static int on_read(sqlite3_file *base, void *bytes, int length,
                   sqlite3_int64 at)
{
    struct file *file = file_of(base);
    size_t wanted = (size_t)length;
    size_t got;

    if (is_dead(file))
        return result_of(EIO, SQLITE_IOERR_READ);
    got = disk_read(file->node, bytes, wanted, (uint64_t)at);
    memset((uint8_t *)bytes + got, 0, wanted - got);
    return got == wanted ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int on_write(sqlite3_file *base, const void *bytes, int length,
                    sqlite3_int64 at)
{
    struct file *file = file_of(base);

    if (is_dead(file))
        return result_of(EIO, SQLITE_IOERR_WRITE);
    return result_of(
        disk_write(file->node, bytes, (size_t)length, (uint64_t)at),
        SQLITE_IOERR_WRITE);
}

static int on_truncate(sqlite3_file *base, sqlite3_int64 length)
{
    struct file *file = file_of(base);

    if (is_dead(file))
        return result_of(EIO, SQLITE_IOERR_TRUNCATE);
    return result_of(disk_truncate(file->node, (uint64_t)length),
                     SQLITE_IOERR_TRUNCATE);
}

static int on_sync(sqlite3_file *base, int flags)
{
    struct file *file = file_of(base);
    int error;

    (void)flags;
    if (is_dead(file))
        return result_of(EIO, SQLITE_IOERR_FSYNC);
    error = disk_sync(file->node);
    if (!error && file->folder_not_synced) {
        (void)disk_sync_folder(file->disk); /* as unixSync() */
        file->folder_not_synced = false;
    }
    return result_of(error, SQLITE_IOERR_FSYNC);
}

static int on_file_size(sqlite3_file *base, sqlite3_int64 *length)
{
    struct file *file = file_of(base);

    if (is_dead(file))
        return result_of(EIO, SQLITE_IOERR_FSTAT);
    *length = (sqlite3_int64)file->node->now.length;
    return SQLITE_OK;
}

/* One process at a time has a disk. */
static int on_lock(sqlite3_file *base, int level)
{
    (void)level;
    return is_dead(file_of(base)) ? result_of(EIO, SQLITE_IOERR_LOCK)
                                  : SQLITE_OK;
}

static int on_unlock(sqlite3_file *base, int level)
{
    (void)base;
    (void)level;
    return SQLITE_OK;
}

static int on_check_reserved_lock(sqlite3_file *base, int *locked)
{
    (void)base;
    *locked = 0;
    return SQLITE_OK;
}

static int on_file_control(sqlite3_file *base, int operation, void *argument)
{
    (void)base;
    (void)operation;
    (void)argument;
    return SQLITE_NOTFOUND;
}

static int on_sector_size(sqlite3_file *base)
{
    (void)base;
    return SECTOR_BYTES;
}

/* As unixDeviceCharacteristics(). */
static int on_device_characteristics(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 1,
    .xClose = on_close,
    .xRead = on_read,
    .xWrite = on_write,
    .xTruncate = on_truncate,
    .xSync = on_sync,
    .xFileSize = on_file_size,
    .xLock = on_lock,
    .xUnlock = on_unlock,
    .xCheckReservedLock = on_check_reserved_lock,
    .xFileControl = on_file_control,
    .xSectorSize = on_sector_size,
    .xDeviceCharacteristics = on_device_characteristics,
};

/* ---- the file system ---- */

static int on_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base,
                   int flags, int *out_flags)
{
    enum { JOURNALS = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL };
    struct file *file = file_of(base);
    const char *name = NULL;
    struct disk *disk = path ? disk_of(path, &name) : NULL;

    (void)vfs;
    if (!disk)
        return unix_vfs->xOpen(unix_vfs, path, base, flags, out_flags);
    *file = (struct file){
        .disk = disk,
        .generation = disk->generation,
        .folder_not_synced = (flags & SQLITE_OPEN_CREATE) && (flags & JOURNALS),
    };
    if (disk_is_off(disk))
        return result_of(EIO, SQLITE_CANTOPEN);
    if (!disk_find(disk, name) && (flags & SQLITE_OPEN_CREATE)) {
        errno = disk_create(disk, name);
        if (errno)
            return SQLITE_CANTOPEN;
    }
    file->node = disk_find(disk, name);
    if (!file->node)
        return result_of(ENOENT, SQLITE_CANTOPEN);
    file->node->users++;
    file->base.pMethods = &file_methods;
    if (out_flags)
        *out_flags = flags;
    return SQLITE_OK;
}

static int on_delete(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
    const char *name = NULL;
    struct disk *disk = disk_of(path, &name);
    struct disk_node *node;
    int error;

    (void)vfs;
    if (!disk)
        return unix_vfs->xDelete(unix_vfs, path, sync_folder);
    node = disk_find(disk, name);
    if (!node)
        return SQLITE_IOERR_DELETE_NOENT;
    error = disk_remove(node);
    if (!error && sync_folder)
        error = disk_sync_folder(disk);
    return result_of(error, SQLITE_IOERR_DELETE);
}

/* An empty file is none, as unixAccess() has it. */
static int on_access(sqlite3_vfs *vfs, const char *path, int flags, int *yes)
{
    const char *name = NULL;
    struct disk *disk = disk_of(path, &name);
    const struct disk_node *node = disk ? disk_find(disk, name) : NULL;

    (void)vfs;
    if (!disk)
        return unix_vfs->xAccess(unix_vfs, path, flags, yes);
    *yes = node && (flags != SQLITE_ACCESS_EXISTS || node->now.length > 0);
    return SQLITE_OK;
}

/* Paths on a disk have no links and no dots. */
static int on_full_pathname(sqlite3_vfs *vfs, const char *path, int length,
                            char *out)
{
    const char *name = NULL;

    (void)vfs;
    if (!disk_of(path, &name))
        return unix_vfs->xFullPathname(unix_vfs, path, length, out);
    return snprintf(out, (size_t)length, "%s", path) < length ? SQLITE_OK
                                                              : SQLITE_CANTOPEN;
}

/* The salts of the write-ahead log come from here. */
static int on_randomness(sqlite3_vfs *vfs, int length, char *out)
{
    struct disk *disk = disk_newest();

    (void)vfs;
    if (!disk)
        return unix_vfs->xRandomness(unix_vfs, length, out);
    for (int i = 0; i < length; i++)
        out[i] = (char)random_next(&disk->random);
    return length;
}

static int on_last_error(sqlite3_vfs *vfs, int length, char *out)
{
    (void)vfs;
    return unix_vfs->xGetLastError(unix_vfs, length, out);
}

void disk_register(void)
{
    static sqlite3_vfs vfs;

    /* No threads here, and nobody asks how much memory is used. */
    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    unix_vfs = sqlite3_vfs_find("unix");
    vfs = *unix_vfs;
    vfs.zName = "disk";
    if (vfs.szOsFile < (int)sizeof(struct file))
        vfs.szOsFile = (int)sizeof(struct file);
    vfs.xOpen = on_open;
    vfs.xDelete = on_delete;
    vfs.xAccess = on_access;
    vfs.xFullPathname = on_full_pathname;
    vfs.xRandomness = on_randomness;
    vfs.xGetLastError = on_last_error;
    sqlite3_vfs_register(&vfs, 1);
}
