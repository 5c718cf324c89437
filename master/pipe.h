/* pipe.h - messages of one call passed on into another, no faster than they
 * are taken. */
#pragma once

#include "rpc/call.h"

/* Pass `message` on. When `down` has enough to do, `up` is held back until
 * pipe_writable(). Should it not be sendable, `up` is cancelled and `down`
 * ended with why. */
void pipe_pass(struct call *up, struct call *down,
               const ProtobufCMessage *message);

/* `down` takes more again. */
void pipe_writable(struct call *up);

/* Give a call up without hearing of it again. NULL-safe. */
void pipe_drop(struct call **call);

/* Events for a call that nobody listens to any more. */
extern const struct call_events pipe_deaf;
