/* machine.h - the state machine that a replica drives, its caller's: it is told
 * of each committed entry in order, is written to a file in a forked child, and
 * read from one. */
#pragma once

#include "base/error.h"
#include "raft/core/message.h"

struct replica_machine {
    /* Committed entries; the same calls in the same order on every member. */
    void (*apply)(void *data, uint64_t index, const uint8_t *bytes,
                  size_t length);
    /* Runs in a forked child: nothing but reading memory and writing `fd`. */
    int (*save)(void *data, int fd, struct error *why);
    /* Make a state of what `fd` holds, beside the one in use; on any thread. */
    int (*load)(void *, int fd, uint64_t index, void **out, struct error *why);
    /* Take `state` into use; returns the one that was. */
    void *(*exchange)(void *data, void *state);
    void (*drop)(void *state); /* one that is not in use; on any thread */
    /* Role, term, leader, readiness or members changed. */
    void (*changed)(void *data);
    void *data;
    uint32_t (*format)(const void *data); /* that the state needs; NULL: 0 */
    /* One command that does what so many do, in their order; NULL: they stay
     * apart. NULL for `join`: always. */
    struct raft_payload *(*join)(const void *data,
                                 struct raft_payload *const *commands,
                                 size_t count);
};
