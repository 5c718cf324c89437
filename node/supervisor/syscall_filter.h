/* syscall_filter.h - the filter that knode compiled, put upon a process. */
#pragma once

#include "base/error.h"

/* From now on, whatever this process executes. `fd`: a sealed memory file of
 * struct sock_filter, as syscalls_compile() of node/pod makes it. The process
 * must have no_new_privs. */
int syscall_filter_enter(int fd, struct error *why);
