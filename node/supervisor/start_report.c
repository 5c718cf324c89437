#include "node/supervisor/start_report.h"

#include "base/fd.h"

#include <limits.h>
#include <unistd.h>

_Static_assert(sizeof(struct start_report) <= PIPE_BUF, "written at once");

_Noreturn void start_report_fail(int pipe, int exit_code,
                                 const struct error *why)
{
    struct start_report report = {.exit_code = exit_code, .why = *why};
    struct error ignored;

    fd_write_all(pipe, &report, sizeof report, &ignored);
    _exit(exit_code);
}
