/* forward.h - a call that came to the wrong master, brought to the leader.
 *
 *   WAITING --leader known--> SENT --status--> ended
 *      ^                        |
 *      +---- UNAVAILABLE, or another leads, and nothing is answered yet
 *
 * A leader that is cut off or stopped does not answer: who waits for it is
 * brought to the next one as soon as that is known.
 * With no leader a call waits for its deadline or two election timeouts,
 * whichever is first, then fails with UNAVAILABLE; each leader that is found
 * makes it wait anew. Sending again is safe: reads change nothing and writes
 * carry a request id. */
#pragma once

#include "base/list.h"
#include "rpc/channel.h"
#include "rpc/server.h"

struct master;

struct forwarder {
    struct master *master; /* borrowed */
    struct list waiting;
    struct list sent;
    uv_timer_t timer; /* runs while calls wait */
    size_t count;     /* of calls, waiting or sent */
    size_t bytes;     /* of their requests */
};

/* More are RESOURCE_EXHAUSTED. */
enum { FORWARDS_MAX = 65536, FORWARDS_MAX_BYTES = 32 << 20 };

void forwarder_init(struct forwarder *forwarder, struct master *master);

/* Take over a call to one of our services that cannot be answered here; its
 * request is copied. When we come to lead ourselves, the method's handler
 * gets it back. */
void forward_call(struct forwarder *forwarder, struct call *call,
                  const ProtobufCMessage *request);

/* The same for a serialised request. */
void forward_bytes(struct forwarder *forwarder, struct call *call,
                   const uint8_t *bytes, size_t length);

/* Who leads may have changed: look after those that wait, for a leader or for
 * the answer of one that is none any more. */
void forwarder_kick(struct forwarder *forwarder);

/* Fail those that wait, and stop the timer (closed with the loop). */
void forwarder_close(struct forwarder *forwarder);
