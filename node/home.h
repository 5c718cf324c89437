/* home.h - the node's data folder.
 *
 *   knode.lock      held while a knode works here
 *   names           how this node is called: for `knode remove`
 *   registered.pb   RegisterNodeResponse: what the masters gave it
 *   term            the greatest term seen (term.h)
 *   pods/ images/   the engine's and the image store's */
#pragma once

#include "base/error.h"

enum { HOME_NAME_MAX = 255 };

/* What a node made outside its folder, by name. */
struct home_names {
    char cgroup[HOME_NAME_MAX + 1];
    char bridge[HOME_NAME_MAX + 1];
    char table[HOME_NAME_MAX + 1];
};

struct home {
    char *path;   /* owned; absolute */
    char *pods;   /* owned */
    char *images; /* owned */
    int folder;   /* owned */
    int lock;     /* owned */
};

/* Open the folder, made if missing, and lock it. FAILED_PRECONDITION: another
 * knode works there. PERMISSION_DENIED: not root, who alone can be a node. */
int home_open(struct home *home, const char *path, struct error *why);
void home_close(struct home *home);

/* These are the node's names, from its first start until it is removed: under
 * others it would leave what it made behind. FAILED_PRECONDITION says which
 * name was another before. */
int home_keep_names(const struct home *home, const struct home_names *names,
                    struct error *why);

/* NOT_FOUND when no knode ever worked here. */
int home_read_names(const struct home *home, struct home_names *names,
                    struct error *why);

/* Remove all that knode put there, the names last, so that a removal which
 * was cut off can be done again; then the folder, if nothing else is in it and
 * nothing is mounted on it. */
int home_remove(struct home *home, struct error *why);
