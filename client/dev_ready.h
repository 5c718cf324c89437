/* dev_ready.h - waiting until a dev cluster can be used. */
#pragma once

#include "client/dev.h"

#include <stdio.h>

/* A process of the cluster that is not there, or NULL. */
const struct dev_process *dev_find_dead(const struct dev *dev);

/* Until all masters answer and all nodes are Ready; then the routes to the
 * nodes' pods are made. INTERNAL names a process that ended meanwhile,
 * CANCELLED: Ctrl-C. */
int dev_await_ready(const struct dev *dev, struct error *why);

/* The last line of each process's log. */
void dev_last_words(const struct dev *dev, FILE *out);
