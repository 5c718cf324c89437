/* uv.h - what the loop of process.c asks of the handles of uv.c. */
#pragma once

#include "base/list.h"

/* Call those of a list of prepare or check handles, the newest first. */
void uv_run_watchers(struct list *watchers);
/* Tell the closed handles. */
void uv_run_closing(struct list *closing);
