/* stream.h - a call whose answers come one by one, read downward. */
#pragma once

#include "client/contact.h"

struct stream;

/* Start `method` of Cluster at a master that is connected, waiting for one
 * until `deadline_ms`. */
int stream_open(struct stream **out, struct contact *contact,
                const char *method, const ProtobufCMessage *request,
                uint64_t deadline_ms, struct error *why);
void stream_close(struct stream *stream);

/* The next message, the caller's; NULL when the stream ended well.
 * DEADLINE_EXCEEDED: nothing came until `deadline_ms` on the monotonic clock
 * and the stream goes on. CANCELLED: Ctrl-C. Otherwise the stream's error.
 * When it has ended, the master that served it is avoided for a moment. */
int stream_next(struct stream *stream, uint64_t deadline_ms,
                ProtobufCMessage **out, struct error *why);
