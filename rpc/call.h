/* call.h - one RPC, seen from either end.
 *
 * A call is made by channel_call() on the client's side and handed to a
 * method's handler on the server's. From then on both ends see the same:
 * messages come in through callbacks, go out through call_send(), and the
 * call ends exactly once, with `ended`.
 *
 *            call_send()*   call_half_close()
 *   client  ------------------------------------>  server
 *           <------------------------------------
 *                    call_send()*  call_finish()
 *
 * Everything runs on the loop's thread. No callback runs from inside a
 * function of this header; `ended` is the last one and the call may not be
 * touched after it returns. */
#pragma once

#include "base/error.h"
#include "rpc/identity.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

/* A message larger than this is RESOURCE_EXHAUSTED, in either direction. */
enum { CALL_MESSAGE_MAX_BYTES = 4 << 20 };

/* What may wait in a call to be sent, before call_send() refuses. */
enum { CALL_QUEUE_MAX_BYTES = 8 << 20 };

/* call_send() has queued enough to keep the wire busy: wait for writable. */
enum { CALL_QUEUE_HIGH_BYTES = 256 << 10 };

struct call;

/* Any of them but `ended` may be NULL. */
struct call_events {
    /* A message; borrowed for the duration of the callback. */
    void (*message)(struct call *call, const ProtobufCMessage *message);
    /* Server: the client will send no more messages. */
    void (*half_closed)(struct call *call);
    /* The queue fell below CALL_QUEUE_HIGH_BYTES after having been above. */
    void (*writable)(struct call *call);
    /* The call is over. On the client: the server's status. On the server:
     * code 0 when its own status was sent, else CANCELLED (reset by the
     * client), DEADLINE_EXCEEDED or UNAVAILABLE (connection lost). */
    void (*ended)(struct call *call, const struct error *why);
};

/* The events to come go to `events` (borrowed, static) with `data`. */
void call_listen(struct call *call, const struct call_events *events,
                 void *data);
void *call_data(const struct call *call);

/* Queue a message. RESOURCE_EXHAUSTED when it is too large, or the queue or
 * those of all calls on its connection are full (nothing is queued then);
 * ignored when the call is over on the wire and `ended` is still to come. The
 * message is serialised before returning. */
int call_send(struct call *call, const ProtobufCMessage *message,
              struct error *why);

/* Bytes that wait to be sent. */
size_t call_queued_bytes(const struct call *call);

/* Stop or go on taking messages in. While stopped, the peer is held back by
 * flow control and at most one window is buffered. */
void call_pause(struct call *call);
void call_resume(struct call *call);

/* Client: no more messages from here. */
void call_half_close(struct call *call);

/* Client: give the call up. `ended` comes with CANCELLED. */
void call_cancel(struct call *call);

/* Server: send the status and end the call; `why->code` 0 is success. */
void call_finish(struct call *call, const struct error *why);

/* Server: call_send() and call_finish() with success. */
void call_reply(struct call *call, const ProtobufCMessage *message);

/* Server: call_finish() with a code and a message. */
void call_fail(struct call *call, enum error_code code, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Milliseconds left until the deadline; UINT64_MAX when there is none. */
uint64_t call_remaining_ms(const struct call *call);

/* Server: who is calling. When a master forwards a person's call, the
 * person. Borrowed. */
const struct rpc_identity *call_peer(const struct call *call);

/* "/kontor.v1.Cluster/Schedule". Borrowed. */
const char *call_path(const struct call *call);

/* Server: what was registered with the service. */
void *call_service_data(const struct call *call);
