/* agent.h - knode at work: everything joined on one loop, until a signal. */
#pragma once

#include "node/options.h"

/* Returns when SIGTERM or SIGINT came and all is closed; pods run on. Or
 * before, with what kept it from starting. */
int agent_run(const struct node_options *options, struct error *why);
