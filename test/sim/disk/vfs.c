/* vfs.c - SQLite's files on the model: reads and locks go to SQLite's own unix
 * VFS, everything that changes something to disk.c.
 *
 * Files have methods of version 1, so a write-ahead log with shared memory is
 * impossible: a store that did not lock its file for itself fails. */
#include "test/sim/disk/disk_parts.h"

#include <errno.h>
#include <sqlite3.h>
#include <string.h>

/* SQLite allocates one with room for the real file behind it. */
struct file {
    sqlite3_file base;
    struct disk_node *node;
    struct disk *disk;
    uint64_t generation;    /* of the process that opened it */
    bool folder_not_synced; /* unixSync() syncs it with a new log's first */
    sqlite3_file *real;
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

    return file->real->pMethods->xClose(file->real);
}

static int on_read(sqlite3_file *base, void *bytes, int length,
                   sqlite3_int64 at)
{
    struct file *file = file_of(base);

    if (is_dead(file))
        return result_of(EIO, SQLITE_IOERR_READ);
    return file->real->pMethods->xRead(file->real, bytes, length, at);
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

    return file->real->pMethods->xFileSize(file->real, length);
}

static int on_lock(sqlite3_file *base, int level)
{
    struct file *file = file_of(base);

    if (is_dead(file))
        return result_of(EIO, SQLITE_IOERR_LOCK);
    return file->real->pMethods->xLock(file->real, level);
}

static int on_unlock(sqlite3_file *base, int level)
{
    struct file *file = file_of(base);

    return file->real->pMethods->xUnlock(file->real, level);
}

static int on_check_reserved_lock(sqlite3_file *base, int *locked)
{
    struct file *file = file_of(base);

    return file->real->pMethods->xCheckReservedLock(file->real, locked);
}

static int on_file_control(sqlite3_file *base, int operation, void *argument)
{
    struct file *file = file_of(base);

    return file->real->pMethods->xFileControl(file->real, operation, argument);
}

static int on_sector_size(sqlite3_file *base)
{
    struct file *file = file_of(base);

    return file->real->pMethods->xSectorSize(file->real);
}

static int on_device_characteristics(sqlite3_file *base)
{
    struct file *file = file_of(base);

    return file->real->pMethods->xDeviceCharacteristics(file->real);
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
    int result;

    (void)vfs;
    if (!disk)
        return unix_vfs->xOpen(unix_vfs, path, base, flags, out_flags);
    *file = (struct file){
        .disk = disk,
        .generation = disk->generation,
        .folder_not_synced = (flags & SQLITE_OPEN_CREATE) && (flags & JOURNALS),
        .real = (sqlite3_file *)(void *)(file + 1),
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
    result = unix_vfs->xOpen(unix_vfs, path, file->real, flags, out_flags);
    if (result == SQLITE_OK)
        file->base.pMethods = &file_methods;
    return result;
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

static int on_access(sqlite3_vfs *vfs, const char *path, int flags, int *yes)
{
    (void)vfs;
    return unix_vfs->xAccess(unix_vfs, path, flags, yes);
}

static int on_full_pathname(sqlite3_vfs *vfs, const char *path, int length,
                            char *out)
{
    (void)vfs;
    return unix_vfs->xFullPathname(unix_vfs, path, length, out);
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

    unix_vfs = sqlite3_vfs_find("unix");
    vfs = *unix_vfs;
    vfs.zName = "disk";
    vfs.szOsFile = (int)sizeof(struct file) + unix_vfs->szOsFile;
    vfs.xOpen = on_open;
    vfs.xDelete = on_delete;
    vfs.xAccess = on_access;
    vfs.xFullPathname = on_full_pathname;
    vfs.xRandomness = on_randomness;
    vfs.xGetLastError = on_last_error;
    sqlite3_vfs_register(&vfs, 1);
}
