#include "node/image/layer_attributes.h"

#include "node/image/layer.h"

#include <archive.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { NANOSECONDS = 1000000000 };

/* Ids are 32 bits; the largest means "leave as it is" to chown(2). */
static int entry_owner(struct archive_entry *entry, uid_t *uid, gid_t *gid,
                       struct error *why)
{
    int64_t user = archive_entry_uid(entry);
    int64_t group = archive_entry_gid(entry);

    if (user < 0 || group < 0 || user >= UINT32_MAX || group >= UINT32_MAX)
        return error_set(why, ERROR_INVALID_ARGUMENT,
                         "owner %lld:%lld is no user and group",
                         (long long)user, (long long)group);
    *uid = (uid_t)user;
    *gid = (gid_t)group;
    return 0;
}

static int set_xattr(int fd, const char *name, const void *value, size_t size,
                     struct error *why)
{
    bool capability = strcmp(name, "security.capability") == 0;
    bool user = strncmp(name, "user.", strlen("user.")) == 0 &&
                strncmp(name, "user.overlay.", strlen("user.overlay.")) != 0;

    if (!capability && !user)
        return 0;
    if (size > LAYER_XATTR_MAX_BYTES)
        return error_set(why, ERROR_RESOURCE_EXHAUSTED,
                         "attribute \"%.100s\" of %zu bytes", name, size);
    if (fsetxattr(fd, name, value, size, 0) == 0)
        return 0;
    if (user && (errno == ENOTSUP || errno == EPERM))
        return 0; /* this file system, or this kind of file, has none */
    return error_errno(why, "set attribute \"%.100s\"", name);
}

static int set_xattrs(int fd, struct archive_entry *entry, struct error *why)
{
    const char *name;
    const void *value;
    size_t size;

    archive_entry_xattr_reset(entry);
    while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
        if (name && set_xattr(fd, name, value, size, why) != 0)
            return (int)why->code;
    return 0;
}

int layer_set_attributes(int fd, struct archive_entry *entry, struct error *why)
{
    mode_t mode = archive_entry_perm(entry) & 07777;
    struct stat now;
    uid_t uid = 0;
    gid_t gid = 0;

    if (entry_owner(entry, &uid, &gid, why) != 0)
        return (int)why->code;
    if (fstat(fd, &now) != 0)
        return error_errno(why, "stat");
    if ((now.st_uid != uid || now.st_gid != gid) && fchown(fd, uid, gid) != 0)
        return error_errno(why, "set owner %u:%u", uid, gid);
    if ((now.st_mode & 07777) != mode && fchmod(fd, mode) != 0)
        return error_errno(why, "set mode %o", mode);
    return set_xattrs(fd, entry, why);
}

struct timespec layer_entry_time(struct archive_entry *entry)
{
    long nanoseconds = archive_entry_mtime_nsec(entry);

    if (nanoseconds < 0 || nanoseconds >= NANOSECONDS)
        nanoseconds = 0;
    return (struct timespec){archive_entry_mtime(entry), nanoseconds};
}

int layer_set_time(int fd, struct archive_entry *entry, struct error *why)
{
    struct timespec time = layer_entry_time(entry);
    const struct timespec times[] = {time, time};

    if (futimens(fd, times) != 0)
        return error_errno(why, "set time");
    return 0;
}

int layer_set_attributes_at(int parent, const char *name,
                            struct archive_entry *entry, struct error *why)
{
    struct timespec time = layer_entry_time(entry);
    const struct timespec times[] = {time, time};
    mode_t mode = archive_entry_perm(entry) & 07777;
    bool link = archive_entry_filetype(entry) == AE_IFLNK;
    uid_t uid = 0;
    gid_t gid = 0;

    if (entry_owner(entry, &uid, &gid, why) != 0)
        return (int)why->code;
    if (fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
        return error_errno(why, "set owner %u:%u", uid, gid);
    /* A link has no mode. What else comes here was made just now by this
     * process, the only one in this folder: it is no link. */
    if (!link && fchmodat(parent, name, mode, 0) != 0)
        return error_errno(why, "set mode %o", mode);
    if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) != 0)
        return error_errno(why, "set time");
    return 0;
}
