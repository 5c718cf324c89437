/* watch.h - what the masters are told: every pod's status when they begin to
 * watch, then each change, and a heartbeat a second.
 *
 * The board holds each pod's latest status, the most recently changed last.
 * A watcher remembers how far it has read; what is behind that is its next
 * report. So changes of one turn of the loop travel together, a watcher that
 * reads slowly skips what was overtaken, and costs no memory. */
#pragma once

#include "kontor/v1/node.pb-c.h"
#include "rpc/call.h"

#include <uv.h>

struct watch_board;

enum {
    /* Statuses of pods that are gone, kept until every watcher has read
     * them; a watcher further behind is hung up on. */
    WATCH_GONE_MAX = 4096,
    WATCH_REPORT_PODS_MAX = 1024,
    WATCH_HEARTBEAT_MS = 1000,
};

struct watch_board *watch_board_open(uv_loop_t *loop);

/* A pod's status changed; copied. POD_STOPPED: the pod is gone. */
void watch_board_put(struct watch_board *board,
                     const Kontor__V1__PodStatus *status);

/* Answer a Watch call; it is the board's until it ends. */
void watch_board_add(struct watch_board *board, struct call *call);

size_t watch_board_watchers(const struct watch_board *board);

/* This node stops: end all watches with UNAVAILABLE. */
void watch_board_hang_up(struct watch_board *board);

/* Calls must have ended: close the server first. */
void watch_board_close(struct watch_board *board, void (*closed)(void *data),
                       void *data);
