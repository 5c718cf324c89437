#include "test/bench/figure.h"

#include <stdio.h>
#include <time.h>

static void line(const char *what, const char *ours, const char *target,
                 const char *met, const char *peers)
{
    printf("  %-44s %-12s %-16s %-4s %s\n", what, ours, target, met, peers);
    fflush(stdout);
}

void figure_head(void)
{
    line("what", "ours", "target", "met", "peers");
}

void figure(const char *what, const char *ours, const char *target, bool met,
            const char *peers)
{
    if (target[0])
        line(what, ours, target, met ? "yes" : "NO", peers);
    else
        line(what, ours, "-", "-", peers);
}

uint64_t spent_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
