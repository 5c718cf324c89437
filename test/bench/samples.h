/* samples.h - measured times, and what they come to. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct samples {
    uint64_t *ns; /* owned */
    size_t count;
    size_t capacity;
};

void samples_add(struct samples *samples, uint64_t ns);
void samples_fini(struct samples *samples);

/* Sorts. `per_mille` 500 is the median; 0 when there are none. */
uint64_t samples_quantile(struct samples *samples, unsigned per_mille);

/* "<label>: n 1000  p50 0.61 ms  p99 0.93 ms  max 1.20 ms" on stdout. */
void samples_print(struct samples *samples, const char *label);
