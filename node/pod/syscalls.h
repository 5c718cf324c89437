/* syscalls.h - which system calls a container may make. */
#pragma once

#include "base/error.h"

#include <stdint.h>

/* Compile the filter for a container that has `capabilities` (a bit each)
 * beyond the default ones: what Docker's default profile allows, less what
 * syscalls.c says. *fd, the caller's, is a sealed memory file of struct
 * sock_filter, which is how kpod, being small, gets it. Takes milliseconds. */
int syscalls_compile(uint64_t capabilities, int *fd, struct error *why);

enum { SYSCALLS_KEPT_MAX = 16 };

/* Filters that were compiled before; of any thread. */
struct syscalls;

struct syscalls *syscalls_new(void);
void syscalls_free(struct syscalls *filters);

/* As syscalls_compile(), which is done once for all capabilities that open
 * the same calls, as long as no more than SYSCALLS_KEPT_MAX sets of these
 * come in between. */
int syscalls_open(struct syscalls *filters, uint64_t capabilities, int *fd,
                  struct error *why);
