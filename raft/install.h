/* install.h - a snapshot's way to a follower that fell behind.
 *
 *   leader                                follower
 *   install_send: file -> chunks ------>  install_receive: FILE.part
 *                                         size and SHA-256 agree: sync, rename
 *   done(index) <------ SnapshotEnd ----  install_receive_answer()
 *
 * A chunk leaves when the wire takes it, so that neither side holds more than
 * CALL_QUEUE_HIGH_BYTES and heartbeats pass beside it on their own stream. */
#pragma once

#include "raft/snapshot.h"
#include "rpc/channel.h"

enum { INSTALL_CHUNK_BYTES = 256 << 10 };

/* A snapshot larger than this is refused. */
#define INSTALL_TOTAL_MAX_BYTES ((uint64_t)16 << 30)

/* ---- the leader's side ---- */

/* All zero at first, one stream at a time. */
struct install_send {
    /* `index`: what the follower has durably; 0: the stream failed. */
    void (*done)(struct install_send *send, uint64_t index,
                 const struct error *why);
    void *data;
    struct call *call; /* NULL: none is under way */
    uint64_t again_ms; /* the caller's: after a failure not before then */

    struct snapshot snapshot; /* owned; kept until the next one or the end */
    /* The rest is the operation's. */
    uint64_t term;
    uint32_t from;
    int fd;
    uint64_t total_bytes;
    uint64_t sent_bytes;
    bool complete;   /* the last chunk is queued */
    uint64_t answer; /* 0: none yet */
    uint8_t *chunk;  /* owned */
    struct error trouble;
};

/* Stream `snapshot` of `folder` as leader `from` of `term`. */
struct install_send_to {
    struct channel *channel;
    const char *folder;
    uint32_t from;
    uint64_t term;
};
/* An error: the file could not be opened; `done` is not called then. */
int install_send_start(struct install_send *send,
                       const struct snapshot *snapshot,
                       const struct install_send_to *to, struct error *why);

/* ---- the follower's side ---- */

struct install_receive;

struct install_receive_events {
    /* A chunk from `from`, leader of `term`, came. Anything but 0 refuses the
     * stream. */
    int (*chunk)(void *data, uint32_t from, uint64_t term, struct error *why);
    /* Is the snapshot, begun or whole, still of use? When not, the stream is
     * answered with *settled, what is durable here. */
    bool (*wanted)(void *data, const struct snapshot *snapshot,
                   uint64_t *settled);
    /* The file is durable under its name: install it, then answer or fail. */
    void (*ready)(void *data, struct install_receive *receive,
                  const struct snapshot *snapshot);
    /* It is over, whatever became of it; `receive` is freed. */
    void (*ended)(void *data, struct install_receive *receive);
};

/* Take what comes on `call` into `folder`. `from` RAFT_NOBODY: whoever the
 * first chunk names. `events` is borrowed, static. */
struct install_receive *
install_receive_new(uv_loop_t *loop, const char *folder, uint32_t from,
                    const struct install_receive_events *events, void *data);
void install_receive_start(struct install_receive *receive, struct call *call);

/* Has all come, and is it not over yet? */
bool install_receive_whole(const struct install_receive *receive);

/* Give it up, unless it is whole: false then. */
bool install_receive_cancel(struct install_receive *receive,
                            enum error_code code, const char *text);

/* Snapshot `index` is durably installed. */
void install_receive_answer(struct install_receive *receive, uint64_t index);

/* It could not be installed; its file is removed. */
void install_receive_fail(struct install_receive *receive,
                          const struct error *why);
