/* nearest.h - which known word was probably meant. */
#pragma once

#include <stddef.h>

/* The number of letters to insert, drop, change or swap to make `a` into
 * `b` (optimal string alignment). Words longer than NEAREST_WORD_MAX are as
 * far from everything as they are long. */
size_t nearest_distance(const char *a, const char *b);

enum { NEAREST_WORD_MAX = 32 };

/* Is `known` near enough to `word` to be worth a "did you mean"? */
int nearest_likely(const char *word, const char *known);
