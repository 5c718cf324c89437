/* process.h - fork(2) with what clone3(2) adds, and a process's name. */
#pragma once

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

/* Fork into the namespaces of `flags` (CLONE_NEW...); SIGCHLD comes at the
 * end. The child has none of the caller's signal handlers. With CLONE_PARENT to
 * the caller's parent, whose child it is. *pidfd, when given, is the parent's,
 * close-on-exec. 0 in the child, -1 and errno on failure. The caller must have
 * a single thread. */
pid_t process_fork(uint64_t flags, int *pidfd);

/* Fork into the pid namespace of `init`, a pidfd: 0 in the child, else its
 * pid, or -1 and `why`. */
pid_t process_fork_in(int init, struct error *why);

/* Where main() found its arguments; process_rename() writes over them. */
void process_arguments(int argc, char **argv);

/* Show `name` to ps(1), as the command and as the command line: a fork of
 * kpod would show the pod the path of its folder on the host. Cut where the
 * arguments end. With CAP_SYS_RESOURCE the command line is no longer than
 * the name, else zeros follow. */
void process_rename(const char *name);
