#include "test/bench/samples.h"

#include "base/compare.h"
#include "base/memory.h"

#include <stdio.h>

void samples_add(struct samples *samples, uint64_t ns)
{
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity ? samples->capacity * 2 : 1024;
        samples->ns =
            memory_resize(samples->ns, samples->capacity * sizeof *samples->ns);
    }
    samples->ns[samples->count++] = ns;
}

void samples_fini(struct samples *samples)
{
    free(samples->ns);
    *samples = (struct samples){0};
}

uint64_t samples_quantile(struct samples *samples, unsigned per_mille)
{
    size_t at;

    if (samples->count == 0)
        return 0;
    qsort(samples->ns, samples->count, sizeof *samples->ns, compare_u64);
    at = samples->count * per_mille / 1000;
    return samples->ns[at < samples->count ? at : samples->count - 1];
}

void samples_print(struct samples *samples, const char *label)
{
    printf("%s: n %zu  p50 %.3f ms  p99 %.3f ms  max %.3f ms\n", label,
           samples->count, (double)samples_quantile(samples, 500) / 1e6,
           (double)samples_quantile(samples, 990) / 1e6,
           (double)samples_quantile(samples, 1000) / 1e6);
}
