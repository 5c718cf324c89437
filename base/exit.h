/* exit.h - the exit codes that all programs share: which kind of error it
 * was, for scripts and service managers. */
#pragma once

#include "base/error.h"

enum exit_code {
    EXIT_CODE_DONE = 0,
    EXIT_CODE_FAILED = 1,
    EXIT_CODE_USAGE = 2,
    EXIT_CODE_UNSCHEDULABLE = 3, /* by the deadline */
    EXIT_CODE_NOT_FOUND = 4,
    EXIT_CODE_CONFLICT = 5,
    EXIT_CODE_NOT_ALLOWED = 6,
    EXIT_CODE_UNREACHABLE = 7, /* or no leader */
    EXIT_CODE_TIMEOUT = 124,
    EXIT_CODE_INTERRUPTED = 130,
};

/* The exit code for an error code; EXIT_CODE_DONE for 0. */
int exit_code_of(int error_code);
