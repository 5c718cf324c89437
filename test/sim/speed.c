#include "test/sim/speed.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { JUDGED_MS = 2000 };

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

static uint64_t used_ms(int whose)
{
    struct rusage usage;

    if (getrusage(whose, &usage) != 0)
        return 0;
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

bool speed_suffices(uint64_t virtual_ms, unsigned jobs, uint64_t least)
{
    uint64_t total_ms = used_ms(RUSAGE_SELF) + used_ms(RUSAGE_CHILDREN);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t times;

    if (cores > 0 && jobs > (unsigned long)cores)
        jobs = (unsigned)cores;
    times = virtual_ms * jobs / (total_ms ? total_ms : 1);
    printf("%" PRIu64 " s in %" PRIu64 " ms: %" PRIu64
           " times real time (jobs: %u, by processor time)\n",
           virtual_ms / 1000, total_ms / jobs, times, jobs);
    if (SANITIZED || total_ms < JUDGED_MS || times >= least)
        return true;
    printf("too slow: less than %" PRIu64 " times real time\n", least);
    return false;
}
