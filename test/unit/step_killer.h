/* step_killer.h - let a process come as far as its n-th step, then SIGKILL it.
 *
 * A step is a system call that leaves something behind: a file, a mount, a
 * message to the kernel or to another process, a process. Between two of them
 * nothing changes that outlives the process, so killing it before each is to
 * kill it everywhere. Done by ptrace(2), of all its threads and of none of
 * its children. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* `pid`, a process that this one may trace, waits for a byte from `gate`,
 * whose writing end is `opener`. Let it go, and kill it before step `step`
 * (from 1 on). Returns when it is gone (a child of the caller is waited for,
 * with *status, as waitpid(2) says): true if it was killed, false if it had
 * fewer steps. */
bool step_killer_run(pid_t pid, int opener, unsigned step, int *status);
