#include "step_killer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SYSCALL_STOP = SIGTRAP | 0x80 };

static bool lasts(uint64_t number, const uint64_t *arguments)
{
    static const int steps[] = {
        SYS_write,     SYS_pwrite64,    SYS_writev,     SYS_sendmsg,
        SYS_sendto,    SYS_connect,     SYS_bind,       SYS_listen,
        SYS_mkdir,     SYS_mkdirat,     SYS_rename,     SYS_renameat,
        SYS_renameat2, SYS_unlink,      SYS_unlinkat,   SYS_rmdir,
        SYS_link,      SYS_linkat,      SYS_symlink,    SYS_symlinkat,
        SYS_ftruncate, SYS_fallocate,   SYS_fchmodat,   SYS_flock,
        SYS_fsync,     SYS_fdatasync,   SYS_clone,      SYS_clone3,
        SYS_vfork,     SYS_fork,        SYS_unshare,    SYS_setns,
        SYS_mount,     SYS_umount2,     SYS_pivot_root, SYS_ioctl,
        SYS_kill,      SYS_execve,      SYS_execveat,   SYS_move_mount,
        SYS_open_tree, SYS_close_range, SYS_wait4,      SYS_pidfd_send_signal,
    };

    if (number == SYS_openat)
        return (arguments[2] & (O_CREAT | O_TRUNC)) != 0 ||
               (arguments[2] & O_TMPFILE) == O_TMPFILE;
    if (number == SYS_open)
        return (arguments[1] & (O_CREAT | O_TRUNC)) != 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (number == (uint64_t)steps[i])
            return true;
    return false;
}

static bool at_step(pid_t thread)
{
    struct __ptrace_syscall_info info;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) <= 0 ||
        info.op != PTRACE_SYSCALL_INFO_ENTRY)
        return false;
    return lasts(info.entry.nr, (const uint64_t *)info.entry.args);
}

/* From its gate on, every system call stops it. */
static void seize(pid_t pid, int opener)
{
    const long options =
        PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;

    if (ptrace(PTRACE_SEIZE, pid, 0, options) != 0 ||
        ptrace(PTRACE_INTERRUPT, pid, 0, 0) != 0 ||
        waitpid(pid, NULL, __WALL) != pid ||
        ptrace(PTRACE_SYSCALL, pid, 0, 0) != 0) {
        perror("trace a process");
        abort();
    }
    if (write(opener, "x", 1) != 1)
        abort();
}

bool step_killer_run(pid_t pid, int opener, unsigned step, int *status)
{
    unsigned seen = 0;
    bool killed = false;
    pid_t thread;
    int what;

    seize(pid, opener);
    while ((thread = waitpid(-1, &what, __WALL)) > 0 || errno == EINTR) {
        int number = WIFSTOPPED(what) ? WSTOPSIG(what) : 0;
        bool event = what >> 16 != 0;

        if (thread == pid && !WIFSTOPPED(what)) {
            *status = what;
            return killed;
        }
        if (!WIFSTOPPED(what))
            continue;
        if (number == SYSCALL_STOP && !killed && at_step(thread) &&
            ++seen == step) {
            killed = true;
            kill(pid, SIGKILL);
            continue;
        }
        if (number == SYSCALL_STOP || event)
            number = 0; /* no signal that it is to have */
        ptrace(PTRACE_SYSCALL, thread, 0, number);
    }
    abort(); /* it cannot vanish unseen */
}
