/* child.h - a forked child that works on a copy of our memory, as Redis does
 * for its snapshots.
 *
 * It is a fork of a process with threads, so whatever lock one of those held
 * stays locked in it. It may use memory (glibc makes malloc whole again after
 * fork), plain system calls and SHA-256; no log, no loop. */
#pragma once

#include <sys/types.h>

enum { CHILD_FD = 3 }; /* where the child has `fd` */

/* As fork(). In the child all signals are blocked, all descriptors but stdin,
 * stdout, stderr and CHILD_FD are closed - who is killed while its child lives
 * must look dead to its peers - and it dies with its parent. `name` is shown
 * by ps. The child is to end with _exit(). */
pid_t child_fork(int fd, const char *name);

/* Wait for one that has ended, or is being killed; its status as waitpid(). */
int child_reap(pid_t child);
