#include "node/supervisor/users.h"

#include "node/supervisor/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

int users_find(struct users *out, int netns, uint32_t first_id,
               struct error *why)
{
    int fd = -1;

    if (first_id && (fd = ioctl(netns, NS_GET_USERNS)) < 0)
        return error_errno(why, "find the pod's user namespace");
    *out = (struct users){fd, first_id};
    return 0;
}

int users_own(const struct users *users, struct error *why)
{
    if (users->fd < 0)
        return 0;
    setfsgid(users->first_id);
    setfsuid(users->first_id);
    if ((uint32_t)setfsuid((uid_t)-1) != users->first_id)
        return error_set(why, ERROR_PERMISSION_DENIED,
                         "make files as user %u: not allowed", users->first_id);
    return privileges_raise(why); /* those about files went with it */
}

int users_map(const struct users *users, int mounted, struct error *why)
{
    struct mount_attr mapped = {.attr_set = MOUNT_ATTR_IDMAP,
                                .userns_fd = (unsigned)users->fd};

    if (users->fd < 0 ||
        mount_setattr(mounted, "", AT_EMPTY_PATH, &mapped, sizeof mapped) == 0)
        return 0;
    if (errno == EINVAL)
        return error_set(why, ERROR_UNIMPLEMENTED,
                         "its file system cannot map ids for a user namespace "
                         "on this kernel");
    return error_errno(why, "map its ids for the pod's user namespace");
}

int users_enter(const struct users *users, struct error *why)
{
    if (users->fd < 0)
        return 0;
    if (setns(users->fd, CLONE_NEWUSER) != 0)
        return error_errno(why, "enter the pod's user namespace");
    if (setgroups(0, NULL) != 0 || setresgid(0, 0, 0) != 0 ||
        setresuid(0, 0, 0) != 0)
        return error_errno(why, "become root of the pod's user namespace");
    /* That made it what fs.suid_dumpable says. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return error_errno(why, "hide the process");
    return 0;
}
