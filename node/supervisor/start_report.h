/* start_report.h - how a process that is being set up tells kpod why it
 * cannot go on.
 *
 * One message on a pipe, written whole; the pipe closes at exec. So its end
 * without a message means success, unless the process died. */
#pragma once

#include "base/error.h"

struct start_report {
    int exit_code; /* what the process ends with: 125, 126 or 127 */
    struct error why;
};

enum {
    EXIT_SETUP = 125,
    EXIT_NOT_EXECUTABLE = 126,
    EXIT_NOT_FOUND = 127,
};

/* Tell and end the process. */
_Noreturn void start_report_fail(int pipe, int exit_code,
                                 const struct error *why);
