#include "node/supervisor/procfs.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* One of its files may be bound upon another one, so it does not do that what
 * is opened lies on a procfs: the way to it has to stay on the one mount. */
int procfs_write(const char *path, const char *value, struct error *why)
{
    CLEANUP(fd_close)
    int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct open_how how = {
        .flags = O_WRONLY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS,
    };
    CLEANUP(fd_close) int file = -1;
    struct statfs system;

    if (proc < 0 || fstatfs(proc, &system) != 0)
        return error_errno(why, "open /proc");
    if (system.f_type != PROC_SUPER_MAGIC)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "what is mounted on /proc is no procfs");
    file = (int)syscall(SYS_openat2, proc, path, &how, sizeof how);
    if (file < 0 && errno == EXDEV)
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "something is mounted upon /proc/%s", path);
    if (file < 0 || write(file, value, strlen(value)) != (ssize_t)strlen(value))
        return error_errno(why, "write to /proc/%s", path);
    return 0;
}
