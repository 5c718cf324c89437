/* loop.h - a file as a block device, for as long as somebody uses it. */
#pragma once

#include "base/error.h"

enum { LOOP_PATH_MAX = 32 };

/* Attach the open `file` to a free loop device with `flags` (LO_FLAGS_*) and
 * LO_FLAGS_AUTOCLEAR: it goes by itself when nobody has it open or mounted.
 * *out is the caller's, `path` what mount(2) takes. FAILED_PRECONDITION when no
 * device can be had. loop(4) */
int loop_attach(int file, unsigned flags, char path[LOOP_PATH_MAX], int *out,
                struct error *why);
