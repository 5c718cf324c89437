/* hollow.h - a node that takes every order, says at once that the pod runs,
 * and runs nothing; thousands of them in one process. They speak the real Node
 * service over real sockets, each with a certificate of its own.
 *
 * What they see stands on a board, a file that whoever measures maps, too. */
#pragma once

#include "base/map.h"
#include "kontor/v1/node.pb-c.h"
#include "rpc/server.h"

/* Times are CLOCK_MONOTONIC, which all processes share, unless they say wall.
 * 0: not yet. */
struct hollow_board {
    _Atomic uint64_t nodes;      /* that are registered */
    _Atomic uint64_t term;       /* the greatest that was heard of */
    _Atomic uint64_t sessions;   /* nodes that its leader has compared */
    _Atomic uint64_t all_at_ns;  /* since when that is all of them */
    _Atomic uint64_t created;    /* orders to create, ever */
    _Atomic uint64_t created_ns; /* the last one */
    _Atomic uint64_t first_ns;   /* the first one since it was set to 0 */
    _Atomic uint64_t moved;      /* orders for a pod that was elsewhere */
    _Atomic uint64_t moved_first_wall_ms;
    _Atomic uint64_t moved_last_wall_ms;
    /* Written by whoever measures: the node that fell silent, from 1. */
    _Atomic uint64_t vanished;
};

/* Make the board in file `path` (NULL: for this process and its children), or
 * find the one that is there. Mapped as long as the process lives. */
int hollow_board_open(struct hollow_board **out, const char *path, bool make,
                      struct error *why);

struct hollow {
    struct hollow_board *board; /* borrowed */
    uint64_t number;            /* from 1 */
    uint64_t term;              /* the greatest seen; an older one is refused */
    uint64_t routes_version;    /* of the last SetRoutes */
    struct call *watch;         /* the newest, or NULL */
    uint64_t sequence;
    uv_timer_t heartbeat;
    struct map pods; /* struct hollow_pod, by id */
    struct hollow_pod *newest;
};

/* Its data is a struct hollow. */
extern const struct service hollow_service;

void hollow_init(struct hollow *hollow, struct hollow_board *board,
                 uint64_t number, uv_loop_t *loop);
