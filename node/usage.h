/* usage.h - what each pod uses of what it asked for. */
#pragma once

#include "node/pod/engine.h"
#include "rpc/call.h"

/* Answer a Usage call. Measured by one of libuv's workers. */
void usage_answer(struct call *call, struct pod_engine *engine);
