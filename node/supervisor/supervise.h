/* supervise.h - a pod, from its bundle to its end. */
#pragma once

#include "base/error.h"

/* Run the pod whose folder is the current one; `folder` is its absolute
 * path. Blocks until the pod has ended and its last status is on disk. An
 * error is one of the supervisor itself, and is in the status too. */
int supervise(const char *folder, struct error *why);
