#include "client/exit.h"

#include "client/table.h"

int exit_report(const struct error *why)
{
    struct error said = *why;

    fflush(stdout);
    fprintf(stderr, "kctl: %s\n", terminal_clean(said.message));
    return exit_code_of((int)why->code);
}
