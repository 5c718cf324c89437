#include "node/supervisor/terminal.h"

#include "base/fd.h"
#include "node/supervisor/exec.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

/* /dev/pts is a file system that we mounted; what a container may lay in its
 * place is not taken for it (CVE-2025-52565). */
static bool is_multiplexer(int fd)
{
    struct statfs system;
    struct stat info;

    return fstatfs(fd, &system) == 0 && system.f_type == DEVPTS_SUPER_MAGIC &&
           fstat(fd, &info) == 0 && S_ISCHR(info.st_mode) &&
           major(info.st_rdev) == 5 && minor(info.st_rdev) == 2;
}

static int send_end(int to, int fd, struct error *why)
{
    struct exec_note note = {.kind = EXEC_TERMINAL};
    struct iovec part = {&note, sizeof note};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {{0}};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    if (sendmsg(to, &message, MSG_NOSIGNAL) < 0)
        return error_errno(why, "send the terminal");
    return 0;
}

int terminal_take(const struct winsize *size, uid_t owner, int to,
                  struct error *why)
{
    CLEANUP(fd_close)
    int end = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP(fd_close) int own = -1;
    int unlocked = 0;

    if (end < 0)
        return error_errno(why, "open /dev/pts/ptmx");
    if (!is_multiplexer(end))
        return error_set(why, ERROR_FAILED_PRECONDITION,
                         "/dev/pts/ptmx of the container makes no terminals");
    if (ioctl(end, TIOCSPTLCK, &unlocked) != 0 ||
        (own = ioctl(end, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
        return error_errno(why, "make a terminal");
    if (ioctl(end, TIOCSWINSZ, size) != 0 || fchown(own, owner, (gid_t)-1) != 0)
        return error_errno(why, "set up the terminal");
    if (ioctl(own, TIOCSCTTY, 0) != 0 || dup2(own, STDIN_FILENO) < 0 ||
        dup2(own, STDOUT_FILENO) < 0 || dup2(own, STDERR_FILENO) < 0)
        return error_errno(why, "take the terminal");
    return send_end(to, end, why);
}
