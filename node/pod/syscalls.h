/* syscalls.h - which system calls a container may make. */
#pragma once

#include "base/error.h"

#include <stdint.h>

/* Compile the filter for a container that has `capabilities` (a bit each)
 * beyond the default ones: what Docker's default profile allows, less what
 * syscalls.c says. *fd, the caller's, is a sealed memory file of struct
 * sock_filter, which is how kpod, being small, gets it. Takes milliseconds:
 * the filter for 0 is compiled once. */
int syscalls_compile(uint64_t capabilities, int *fd, struct error *why);
