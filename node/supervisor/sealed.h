/* sealed.h - run from a copy of the program that nobody can write to. */
#pragma once

#include "base/error.h"

/* A container's process starts as a fork of this program, so for a moment
 * /proc/PID/exe in the pod leads to its file, and a container that makes
 * itself run "/proc/self/exe" keeps it at hand (CVE-2019-5736). Execute
 * the program again from a read-only mount of its file that is nowhere in
 * the tree: what is reached through it can never be opened for writing.
 * Returns 0 when that is so already, as when knode has started it. */
int sealed_exec(char **argv, struct error *why);
