/* sandbox.h - what a process that reads a hostile archive is left with.
 *
 * Both: no sockets, no new privileges, no dumps, bounded memory, and only
 * the system calls they need; the first forbidden one kills them. */
#pragma once

#include "base/error.h"

/* For the process that the others are forked from: they share a network with
 * nothing in it, as one takes the kernel milliseconds to make and to remove. */
int sandbox_leave_network(struct error *why);

/* For the process that inflates: it reads and writes what is open, nothing
 * else; no capabilities. */
int sandbox_enter_filter(struct error *why);

/* For the process that unpacks into the open folder `root`, which becomes
 * its whole world; capabilities to give files their owners, modes and
 * overlayfs marks. */
int sandbox_enter_folder(int root, struct error *why);
