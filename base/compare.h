/* compare.h - for qsort(3) and bsearch(3). */
#pragma once

#include <stdint.h>

/* Of uint64_t, the least first. */
static inline int compare_u64(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}
