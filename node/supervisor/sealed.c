#include "node/supervisor/sealed.h"

#include "base/fd.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

static bool is_sealed(int exe)
{
    struct statvfs info;

    return fstatvfs(exe, &info) == 0 && (info.f_flag & ST_RDONLY);
}

int sealed_exec(char **argv, struct error *why)
{
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    CLEANUP(fd_close)
    int exe = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    CLEANUP(fd_close) int mounted = -1;

    if (exe < 0)
        return error_errno(why, "open /proc/self/exe");
    if (is_sealed(exe))
        return 0;
    mounted =
        open_tree(exe, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (mounted < 0 || mount_setattr(mounted, "", AT_EMPTY_PATH, &read_only,
                                     sizeof read_only) != 0)
        return error_errno(why, "mount the program read-only");
    /* Without this a mount that does not stay so would be a loop. */
    if (!is_sealed(mounted))
        return error_set(why, ERROR_INTERNAL,
                         "the program's mount is not read-only");
    execveat(mounted, "", argv, environ, AT_EMPTY_PATH);
    return error_errno(why, "execute the program again");
}
