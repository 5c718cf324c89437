/* process.h - fork(2) with what clone3(2) adds. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* Fork into the namespaces of `flags` (CLONE_NEW...); SIGCHLD comes at the
 * end. *pidfd, when given, is the parent's, close-on-exec. 0 in the child,
 * -1 and errno on failure. The caller must have a single thread. */
pid_t process_fork(uint64_t flags, int *pidfd);
