/* signals.h - signals by the names that images use. Pure. */
#pragma once

#include "base/error.h"

#include <stdint.h>

/* "SIGQUIT", "quit", "3", "SIGRTMIN+3", "RTMAX-1"; "" is SIGTERM.
 * INVALID_ARGUMENT for anything else. */
int signal_parse(const char *text, uint32_t *number, struct error *why);
