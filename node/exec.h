/* exec.h - Exec calls: a program in a pod, joined to a stream.
 *
 * knode makes the pipes and hands the pod's kpod their other ends, so what
 * the program reads and writes passes through no supervisor. */
#pragma once

#include "node/pod/engine.h"
#include "rpc/call.h"

struct exec_streams;

struct exec_streams *exec_streams_new(uv_loop_t *loop,
                                      struct pod_engine *engine);

/* A call was opened; its first message is awaited. */
void exec_streams_add(struct exec_streams *streams, struct call *call);

/* End all of them; their programs are killed. */
void exec_streams_hang_up(struct exec_streams *streams);

/* When every call has ended. NULL-safe. */
void exec_streams_free(struct exec_streams *streams);
