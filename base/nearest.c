#include "base/nearest.h"

#include <string.h>

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t nearest_distance(const char *a, const char *b)
{
    size_t rows = strlen(a);
    size_t columns = strlen(b);
    size_t cost[NEAREST_WORD_MAX + 1][NEAREST_WORD_MAX + 1];

    if (rows > NEAREST_WORD_MAX || columns > NEAREST_WORD_MAX)
        return rows + columns;
    for (size_t i = 0; i <= rows; i++) {
        for (size_t j = 0; j <= columns; j++) {
            if (i == 0 || j == 0) {
                cost[i][j] = i + j;
                continue;
            }
            cost[i][j] = least(least(cost[i - 1][j], cost[i][j - 1]) + 1,
                               cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                cost[i][j] = least(cost[i][j], cost[i - 2][j - 2] + 1);
        }
    }
    return cost[rows][columns];
}

int nearest_likely(const char *word, const char *known)
{
    size_t length = strlen(word);

    /* What was begun but not finished is meant, too: "--res" for restart. */
    if (length >= 3 && strncmp(word, known, length) == 0)
        return 1;
    return nearest_distance(word, known) <= (length < 5 ? 1 : 2);
}
