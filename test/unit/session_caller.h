/* session_caller.h - one call to a session_fixture's server from a stock HTTP/2
 * client, without a socket between them. For fuzzers. */
#pragma once

#include "session_fixture.h"

struct session_caller;

/* Calls `path`; borrows `server`. */
struct session_caller *session_caller_new(struct session_fixture *server,
                                          const char *path);
/* Without end of call: the client is gone, and the server is not told. */
void session_caller_free(struct session_caller *caller);

/* More of the body, copied; `last`: there is no more. Goes out with turns. */
void session_caller_send(struct session_caller *caller, const void *bytes,
                         size_t length, bool last);
/* The same, as one message behind its five bytes of length. */
void session_caller_send_message(struct session_caller *caller,
                                 const ProtobufCMessage *message, bool last);

/* What each has for the other goes over, until both are silent. */
void session_caller_turn(struct session_caller *caller);

/* Did the server's end of the call come? */
bool session_caller_ended(const struct session_caller *caller);
