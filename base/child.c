#include "base/child.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_NICE = 10 };

static void settle(pid_t parent, int fd, const char *name)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || (fd != CHILD_FD && dup2(fd, CHILD_FD) < 0) ||
        close_range(CHILD_FD + 1, ~0U, 0) != 0)
        _exit(EXIT_FAILURE);
    prctl(PR_SET_NAME, name);
    setpriority(PRIO_PROCESS, 0, CHILD_NICE); /* without the parent's sockets */
}

/* Signals stay blocked in the child: their handlers are the parent's. */
pid_t child_fork(int fd, const char *name)
{
    pid_t parent = getpid();
    sigset_t all;
    sigset_t kept;
    pid_t child;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &kept);
    child = fork();
    if (child == 0)
        settle(parent, fd, name);
    else
        pthread_sigmask(SIG_SETMASK, &kept, NULL);
    return child;
}

int child_reap(pid_t child)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}
