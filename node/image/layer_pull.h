/* layer_pull.h - one layer: fetched, verified, unpacked into a work folder.
 *
 *   FETCHING --> UNPACKING --> DONE
 *      | ^           |
 *      v |           +-------> FAILED
 *   PAUSING (after a broken connection: resumes where it broke off)
 *
 * Invariants:
 * 1. The compressed bytes are hashed exactly once each, in order, across all
 *    connections; DONE only when their digest, their number and the tar
 *    archive's diffID are what manifest and config say.
 * 2. Nothing is received that the unpacker's ring has no room for. */
#pragma once

#include "node/image/image_registry.h"
#include "node/image/layout.h"
#include "node/image/unpacker.h"

enum { LAYER_PULL_NAME_MAX = 24 };

enum layer_pull_state {
    LAYER_PULL_WAITING,
    LAYER_PULL_FETCHING,
    LAYER_PULL_PAUSING,
    LAYER_PULL_UNPACKING,
    LAYER_PULL_DONE,
    LAYER_PULL_FAILED,
};

struct layer_pull {
    /* Set by the caller, borrowed. One of registry and layout is not NULL. */
    const struct descriptor *blob;
    const struct digest *diff_id;
    struct image_registry *registry;
    const struct layout *layout;

    enum layer_pull_state state;
    struct error why;               /* FAILED */
    char name[LAYER_PULL_NAME_MAX]; /* of its folder in the work folder */
    uint64_t received_bytes;
    uint64_t tar_bytes; /* DONE: of its archive */

    /* Internal. */
    struct unpacker unpacker;
    struct digest_stream digest;
    int file; /* the layout's */
    struct http_request request;
    char *url;
    size_t paused_bytes; /* the request waits for room for so many */
    bool authorized;     /* since the last bytes came */
    unsigned tries;      /* since the last bytes came */
    bool begun;          /* the answer's first bytes were seen */
    uint64_t skip_bytes; /* sent again by a server without ranges */
    uint64_t resume_ms;
};

/* WAITING; `number` names its folder. */
void layer_pull_init(struct layer_pull *pull, size_t number);
void layer_pull_fini(struct layer_pull *pull);

/* Begin to fetch and unpack. A failure shows in the state. */
void layer_pull_start(struct layer_pull *pull, const struct unpack_site *site);

enum { LAYER_PULL_FDS = 1 + UNPACKER_REPORTS };

/* What it waits for besides the network; returns how many of `fds`. */
unsigned layer_pull_fds(const struct layer_pull *pull,
                        struct curl_waitfd fds[LAYER_PULL_FDS]);

/* How long it may wait for them: `most_ms` or less. */
uint64_t layer_pull_wait_ms(const struct layer_pull *pull, uint64_t most_ms);

/* Do what can be done without waiting. */
void layer_pull_step(struct layer_pull *pull);
