/* dev_ready.h - waiting until a dev cluster can be used. */
#pragma once

#include "client/dev.h"

/* Until a leader is elected and all nodes are Ready; then the routes to the
 * nodes' pods are made. Names the process that ended, with its last words,
 * when one did. */
int dev_await_ready(const struct dev *dev, struct error *why);
