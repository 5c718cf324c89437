#include "base/random.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t random_below(struct random *random, uint64_t bound)
{
    uint64_t threshold = -bound % bound; /* reject: no modulo bias */
    uint64_t value;

    assert(bound > 0);
    do
        value = random_next(random);
    while (value < threshold);
    return value % bound;
}

void random_bytes(void *bytes, unsigned length)
{
    assert(length <= 256); /* getrandom(2): never partial up to 256 */
    if (getrandom(bytes, length, 0) != (ssize_t)length)
        abort();
}
