#include "node/supervisor/process.h"

#include "base/fd.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* argv[0] to the end of the last one: the kernel lays them side by side. */
static char *command_line;
static size_t command_line_bytes;

pid_t process_fork(uint64_t flags, int *pidfd)
{
    struct clone_args arguments = {
        .flags = flags | CLONE_CLEAR_SIGHAND | (pidfd ? CLONE_PIDFD : 0),
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        /* A sibling's is the caller's own. */
        .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
    };

    return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

/* It is the next child's namespace that changes by setns(2), not the
 * caller's. */
pid_t process_fork_in(int init, struct error *why)
{
    CLEANUP(fd_close)
    int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    pid_t pid;

    if (own < 0 || setns(init, CLONE_NEWPID) != 0) {
        error_errno(why, "enter the pod's pid namespace");
        return -1;
    }
    pid = process_fork(0, NULL);
    if (pid == 0)
        return 0;
    if (pid < 0)
        error_errno(why, "fork");
    /* The namespace is our own: there is no way to fail. */
    if (setns(own, CLONE_NEWPID) != 0)
        abort();
    return pid;
}

void process_arguments(int argc, char **argv)
{
    char *last = argv[argc - 1];

    command_line = argv[0];
    command_line_bytes = (size_t)(last + strlen(last) + 1 - argv[0]);
}

void process_rename(const char *name)
{
    const char *end = command_line + strlen(name) + 1;

    prctl(PR_SET_NAME, name, 0, 0, 0);
    if (command_line_bytes == 0)
        return;
    memset(command_line, 0, command_line_bytes);
    snprintf(command_line, command_line_bytes, "%s", name);
    if (end < command_line + command_line_bytes)
        prctl(PR_SET_MM, PR_SET_MM_ARG_END, end, 0, 0);
}
