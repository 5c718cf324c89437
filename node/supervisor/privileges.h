/* privileges.h - what a pod's processes may do. */
#pragma once

#include "base/error.h"

#include <stdint.h>
#include <sys/types.h>

enum { PRIVILEGES_GROUPS_MAX = 256 };

/* Whom a container runs as. */
struct identity {
    uid_t uid;
    gid_t gid;
    gid_t groups[PRIVILEGES_GROUPS_MAX]; /* supplementary */
    size_t group_count;
    char home[256];
};

/* Resolve "1000:1000", "www", "www:group" or "" (root) against /etc/passwd
 * and /etc/group beneath the current root, as Docker does: a number that has
 * no entry stands for itself, with group 0; a name that has none is
 * NOT_FOUND. The files are the image's and nothing in them is trusted. */
int identity_resolve(const char *user, struct identity *out, struct error *why);

/* Docker's default capabilities less NET_RAW and MKNOD, a bit each, less
 * those of `drop`, and those of `add`. */
uint64_t privileges_of(uint64_t add, uint64_t drop);

/* Become `identity` for good: `capabilities` as the most that any program
 * started from here can have, and for root also what it has; none inheritable
 * or ambient (CVE-2022-24769); no_new_privs. */
int privileges_take(const struct identity *identity, uint64_t capabilities,
                    struct error *why);

/* Use again all that it is permitted to use. */
int privileges_raise(struct error *why);

/* No capability at all, for the pod's pid 1. */
int privileges_drop_all(struct error *why);
