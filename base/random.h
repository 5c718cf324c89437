/* random.h - a seeded generator (splitmix64, Steele et al. 2014): the same
 * seed gives the same numbers. Not for secrets. */
#pragma once

#include <stdint.h>

struct random {
    uint64_t state;
};

uint64_t random_next(struct random *random);

/* Uniform in [0, bound); bound > 0. */
uint64_t random_below(struct random *random, uint64_t bound);

/* From the kernel, good for secrets and for seeds (getrandom(2)). */
void random_bytes(void *bytes, unsigned length);
