/* logs.h - Logs calls: a pod's output, as far as the caller can take it, and
 * on as it is written. */
#pragma once

#include "kontor/v1/node.pb-c.h"
#include "node/pod/engine.h"
#include "rpc/call.h"

#include <uv.h>

struct log_streams;

/* `engine` is borrowed. */
struct log_streams *log_streams_new(uv_loop_t *loop, struct pod_engine *engine);

/* Answer a call; it belongs to the streams until it ends. */
void log_streams_add(struct log_streams *streams, struct call *call,
                     const Kontor__V1__NodeLogsRequest *request);

/* A pod's status changed: what follows an ended pod's log ends. */
void log_streams_changed(struct log_streams *streams, uint64_t pod_id);

/* This node stops: end all calls with UNAVAILABLE. */
void log_streams_hang_up(struct log_streams *streams);

/* Calls must have ended: close the server first. */
void log_streams_free(struct log_streams *streams);
